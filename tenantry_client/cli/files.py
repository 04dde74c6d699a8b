"""One prompt is one file: Markdown with front matter for a text, YAML for a chat."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import JsonValue, TypeAdapter
from pydantic import ValidationError as PydanticError

from shared.errors import ValidationError
from shared.prompts.batches import check_name, parse_draft
from shared.prompts.models import NamedDraft
from shared.prompts.rendering import check_draft

if TYPE_CHECKING:
    from collections.abc import Hashable

    from shared.prompts.models import PromptDraft

MAX_FILE_BYTES = 1_000_000
TEXT_SUFFIX = ".md"
CHAT_SUFFIXES = (".yaml", ".yml")

_FRONT_MATTER = re.compile(r"\A---(?P<newline>\r?\n)(?P<front>.*?\r?\n|)---\r?\n(?P<body>.*)\Z", re.DOTALL)
_OTHER_LINE_BREAKS = re.compile("[\\x85\\u2028\\u2029]")
_PLAIN_LINES = re.compile(r"(?:\S|\S[^\n]*\S)(?:\n(?:\S|\S[^\n]*\S))+\n?")
"""Lines that neither begin nor end with space."""

_JSON: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])
_FIELDS = {"description", "tags", "config", "declared_variables", "examples"}


class NoPromptFileError(Exception):
    """The file is something else, such as the folder's README."""


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder that may be prompts, by name; hidden ones and folders are none."""
    suffixes = {TEXT_SUFFIX, *CHAT_SUFFIXES}
    return sorted(
        file for file in folder.iterdir() if file.suffix in suffixes and not file.name.startswith(".")
    )


def read_prompt(file: Path) -> NamedDraft:
    """Read a prompt; where the file gives no name, it is the file's own.

    Raises:
        NoPromptFileError: It is Markdown without front matter.
        ValidationError: It is no prompt that could be saved, and it says why.
    """
    if file.is_symlink() or not file.is_file():
        raise ValidationError("Only plain files are read, no links")
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ValidationError(f"A file has at most {MAX_FILE_BYTES} bytes")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationError(f"The file is not UTF-8: {error}") from error
    fields = _markdown(text) if file.suffix == TEXT_SUFFIX else _yaml(text)
    fields.setdefault("name", file.stem)
    draft = parse_draft(NamedDraft, fields)
    check_draft(draft)
    return draft


def write_prompt(folder: Path, name: str, draft: PromptDraft) -> tuple[Path, bool]:
    """Write a prompt to the file of its name; return that, and whether it changed.

    A file that is there is replaced at once and whole, never written into or through.

    Raises:
        ValidationError: The name is no prompt's, so that no path may be made of it.
        OSError: The folder takes no such file.
    """
    check_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    fields = draft.model_dump(mode="json", include=_FIELDS, exclude_defaults=True)
    if isinstance(draft.template, str):
        file = folder / f"{name}{TEXT_SUFFIX}"
        # One newline ends the file and is not the template's, as editors want it.
        text = f"---\n{_dumped({'name': name} | fields)}---\n{draft.template}\n"
    else:
        file = folder / f"{name}{CHAT_SUFFIXES[0]}"
        template = draft.model_dump(mode="json", include={"template"})
        text = _dumped({"name": name} | fields | template)
    content = text.encode()
    if file.is_file() and not file.is_symlink() and file.read_bytes() == content:
        return file, False
    _replace(file, content)
    return file, True


def _replace(file: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as written:
            written.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _markdown(text: str) -> dict[str, JsonValue]:
    parts = _FRONT_MATTER.match(text)
    if parts is None:
        raise NoPromptFileError("no front matter")
    fields = _yaml(parts["front"])
    if "template" in fields:
        raise ValidationError("The template is what follows the front matter, not a field in it")
    return fields | {"template": parts["body"].removesuffix(parts["newline"])}


def _yaml(text: str) -> dict[str, JsonValue]:
    """Read YAML into JSON values; without aliases, of which a few lines could make gigabytes."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ValidationError("YAML aliases are not read")
        return _JSON.validate_python(_loaded(text) or {}, strict=True)
    except RecursionError as error:
        raise ValidationError("The YAML is nested too deeply") from error
    except PydanticError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"] if part not in {"list", "dict"})
        raise ValidationError(f"The YAML holds what is no JSON value at '{where}'") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        # All but the first are what PyYAML raises for a date or a number that is none.
        raise ValidationError(f"The file is not YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """Refuses a field that is there twice, as YAML itself does: one of the two would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002  # PyYAML's
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(problem=f"'{key.value}' is there twice")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _loaded(text: str) -> object:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


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


def _dumped(fields: dict[str, JsonValue]) -> str:
    return yaml.dump(fields, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
