"""Binding expressions: `{name}` in blob paths, matched against a blob or filled from a trigger's data."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN = re.compile(r"\{([^{}]+)\}")

# .NET's date format letters in the forms that paths use.
_DATE_FORMATS = (
    ("yyyy", "%Y"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("dd", "%d"),
    ("HH", "%H"),
    ("mm", "%M"),
    ("ss", "%S"),
)


class ExpressionError(Exception):
    """An expression names something that the trigger does not have."""


@dataclass(frozen=True, slots=True)
class BlobPattern:
    """A blob trigger's path: a container and a pattern of blob names."""

    container: str
    pattern: re.Pattern[str]
    prefix: str

    @classmethod
    def parse(cls, path: str) -> BlobPattern:
        """Parse `container/folder/{name}.{extension}`.

        Raises:
            ExpressionError: It names no container, or a token twice.
        """
        container, _, blob = path.lstrip("/").partition("/")
        if not container or "{" in container:
            raise ExpressionError(f"'{path}' does not begin with the name of a container")
        names = _TOKEN.findall(blob)
        if len(set(names)) != len(names):
            raise ExpressionError(f"'{path}' has a token twice")
        parts = _TOKEN.split(blob)
        # The even parts are literal, the odd ones are the tokens' names. A token takes as much as it can.
        expression = "".join(
            re.escape(part) if index % 2 == 0 else f"(?P<{_group(part)}>.+)"
            for index, part in enumerate(parts)
        )
        return cls(container, re.compile(expression or ".+", re.DOTALL), parts[0])

    def match(self, blob: str) -> dict[str, str] | None:
        """Return the tokens of a blob's name, or None if it is not meant."""
        found = self.pattern.fullmatch(blob)
        return found.groupdict() if found else None


def _group(name: str) -> str:
    if not name.isidentifier():
        raise ExpressionError(f"'{{{name}}}' is not the name of a token")
    return name


def render(template: str, data: Mapping[str, Any]) -> str:
    """Fill a template from a trigger's data.

    Raises:
        ExpressionError: The data has no such name.
    """
    return _TOKEN.sub(lambda match: _value(match[1].strip(), data), template)


def _value(expression: str, data: Mapping[str, Any]) -> str:
    name, _, form = expression.partition(":")
    match name.lower():
        case "rand-guid":
            return str(uuid.uuid4()) if not form or form == "D" else uuid.uuid4().hex
        case "datetime":
            return _now(form)
    value: Any = data
    for part in name.split("."):
        found = {key.lower(): item for key, item in value.items()} if isinstance(value, dict) else {}
        if part.lower() not in found:
            raise ExpressionError(f"no value for the named parameter '{name}'")
        value = found[part.lower()]
    return str(value)


def _now(form: str) -> str:
    for dotnet, strftime in _DATE_FORMATS:
        form = form.replace(dotnet, strftime)
    return datetime.now(UTC).strftime(form or "%Y-%m-%dT%H-%M-%SZ")
