"""YAML of prompt files: bounded before it is built, and written so that it comes back to the character."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import JsonValue, TypeAdapter
from pydantic import ValidationError as PydanticError
from yaml.constructor import ConstructorError

from tenantry_client.errors import InvalidPromptFileError
from tenantry_client.prompts.models import Facts, json_bytes

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_LEVELS = 20
"""Mappings and lists within each other: those of a prompt's config, and what is around it."""

MAX_VALUES = 100_000
_LONGEST_NUMBER = 100
"""Characters; PyYAML takes long sums of minutes and seconds for numbers, in quadratic time."""

_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_OTHER_LINE_BREAKS = re.compile("[\\x85\\u2028\\u2029]")
_PLAIN_LINES = re.compile(r"(?:\S|\S[^\n]*\S)(?:\n(?:\S|\S[^\n]*\S))+\n?")
"""Lines that neither begin nor end with space."""

_JSON: TypeAdapter[Facts] = TypeAdapter(Facts)


def build_loader(parser: Any) -> Any:  # noqa: ANN401  # PyYAML's own two, which have no type in common
    """Return a loader of plain values over one of PyYAML's two parsers, which read the same."""

    class Loader(parser):  # type: ignore[misc]  # chosen by what is installed
        """Refuses a field that is there twice, as YAML itself does: one of the two would be lost."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002  # PyYAML's
            seen: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if key.value in seen:
                    raise ConstructorError(problem=f"'{key.value}' is there twice")
                seen.add(key.value)
            mapping: dict[Hashable, object] = super().construct_mapping(node, deep)
            return mapping

        def construct_number(self, node: yaml.ScalarNode) -> object:
            """Refuse what no number needs, and build the rest as PyYAML does."""
            if len(node.value) > _LONGEST_NUMBER:
                raise ConstructorError(problem=f"a number has at most {_LONGEST_NUMBER} characters")
            is_int = node.tag == _INT
            return self.construct_yaml_int(node) if is_int else self.construct_yaml_float(node)

    for tag in (_INT, _FLOAT):
        Loader.add_constructor(tag, Loader.construct_number)
    return Loader


_loader = build_loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader))
"""Over libyaml's parser where PyYAML was built with it, as its wheels are: it is much faster."""


class _Dumper(yaml.SafeDumper):
    """Writes texts so that they come back to the character, and those of several lines as lines."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if _OTHER_LINE_BREAKS.search(text):
        style = '"'  # in any other style they are folded into spaces
    elif _PLAIN_LINES.fullmatch(text):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


def read_yaml(text: str) -> Facts:
    """Read a mapping of JSON values; without aliases, of which a few lines could make gigabytes.

    Raises:
        InvalidPromptFileError: It is none, or has more levels or values than a prompt can.
    """
    problem: str
    try:
        _check_size(text)
        value = _load(text)
        facts = _JSON.validate_python({} if value is None else value, strict=True)
        json_bytes(facts)
    except PydanticError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"list", "dict"})
        problem = f"The YAML holds what is no JSON value at '{where}'" if where else "The YAML is no mapping"
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        # All but the first are what PyYAML raises for a date or a number that is none.
        problem = f"The file is not YAML: {error}"
    else:
        return facts
    raise InvalidPromptFileError(problem)


def write_yaml(facts: Facts) -> str:
    """Write a mapping of JSON values."""
    return yaml.dump(facts, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _check_size(text: str) -> None:
    """Refuse what is too deep or too much, while it is parsed and before anything is built of it."""
    level = values = 0
    for event in yaml.parse(text, Loader=_loader):
        if isinstance(event, yaml.AliasEvent):
            raise InvalidPromptFileError("YAML aliases are not read")
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1
        values += isinstance(event, yaml.NodeEvent)
        if level > MAX_LEVELS:
            raise InvalidPromptFileError(f"The YAML is nested too deeply: {MAX_LEVELS} levels at most")
        if values > MAX_VALUES:
            raise InvalidPromptFileError(f"The YAML has too many values: {MAX_VALUES} at most")


def _load(text: str) -> JsonValue:
    loader = _loader(text)
    try:
        value: JsonValue = loader.get_single_data()
        return value
    finally:
        loader.dispose()
