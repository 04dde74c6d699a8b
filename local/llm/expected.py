"""Fields of a request with OpenAI's words for what is wrong with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from local.llm.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST_NAME = 64


def boolean(body: Mapping[str, Any], name: str, place: str = "") -> bool:
    """Read a boolean; absent is False."""
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise type_error(place + name, value, "a boolean")


def text(body: Mapping[str, Any], name: str, place: str = "") -> str | None:
    """Read a text."""
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise type_error(place + name, value, "a string")


def whole_number(body: Mapping[str, Any], name: str, *, least: int) -> int | None:
    """Read an integer."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise type_error(name, value, "an integer")
    if value < least:
        raise RefusedError(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value} "
            "instead.",
            name,
            "integer_below_min_value",
        )
    return value


def name(body: Mapping[str, Any], field: str, place: str) -> str:
    """Read a name that has to be there: of a function, of a schema."""
    value = text(body, field, place)
    if value is None:
        raise missing(place + field)
    if not _NAME.fullmatch(value):
        raise RefusedError(
            f"Invalid '{place}{field}': string does not match pattern. Expected a string that matches the "
            "pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            place + field,
            "invalid_value",
        )
    if len(value) > _LONGEST_NAME:
        raise RefusedError(
            f"Invalid '{place}{field}': string too long. Expected a string with maximum length "
            f"{_LONGEST_NAME}, but "
            f"got a string with length {len(value)} instead.",
            place + field,
            "string_above_max_length",
        )
    return value


def missing(place: str) -> RefusedError:
    """Say that a field has to be there."""
    return RefusedError(f"Missing required parameter: '{place}'.", place, "missing_required_parameter")


def type_error(place: str, value: object, wanted: str) -> RefusedError:
    """Say that a field is of another type."""
    about = f"Invalid type for '{place}'" if place else "Invalid body"
    message = f"{about}: expected {wanted}, but got {_kind(value)} instead."
    return RefusedError(message, place or None, "invalid_type")


def value_error(place: str, value: object, supported: Sequence[str]) -> RefusedError:
    """Say that a field can only have certain values."""
    if not isinstance(value, str):
        return missing(place) if value is None else type_error(place, value, "a string")
    quoted = [f"'{name}'" for name in supported]
    listed = f"{', '.join(quoted[:-1])}, and {quoted[-1]}" if len(quoted) > 1 else quoted[0]
    return RefusedError(f"Invalid value: '{value}'. Supported values are: {listed}.", place, "invalid_value")


def _kind(value: object) -> str:  # noqa: PLR0911 - a line for each type
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
