"""JSON values as the service sees them: undefined beside null, and one order across all types."""

from __future__ import annotations

import enum
import math
from typing import Final

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type JsonObject = dict[str, Json]


class Undefined(enum.Enum):
    """The value of a property that is not there, which is not null."""

    UNDEFINED = "undefined"

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined.UNDEFINED

type Value = Json | Undefined


class Kind(enum.IntEnum):
    """The types of values in the order in which ORDER BY sorts them."""

    UNDEFINED = 0
    NULL = 1
    BOOLEAN = 2
    NUMBER = 3
    STRING = 4
    ARRAY = 5
    OBJECT = 6


_KINDS: Final[dict[type, Kind]] = {
    Undefined: Kind.UNDEFINED,
    type(None): Kind.NULL,
    bool: Kind.BOOLEAN,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    str: Kind.STRING,
    list: Kind.ARRAY,
    dict: Kind.OBJECT,
}


def kind_of(value: Value) -> Kind:
    """Tell the type of a value."""
    return _KINDS[type(value)]


type SortKey = tuple[int, object]


def sort_key(value: Value) -> SortKey:
    """Give a key by which Python orders values as the service does; equal values have equal keys.

    Strings compare by code point. Arrays and objects have no documented order among themselves; they get a
    stable one, so that a page ends and resumes at the same place.
    """
    kind = kind_of(value)
    match value:
        case list():
            return (kind, tuple(sort_key(element) for element in value))
        case dict():
            return (kind, tuple((name, sort_key(value[name])) for name in sorted(value)))
        case Undefined.UNDEFINED | None:
            return (kind, 0)
        case _:
            return (kind, value)


def deep_equal(left: Value, right: Value) -> bool:
    """Compare two values of any type; true and 1 differ, 1 and 1.0 do not."""
    kind = kind_of(left)
    if kind is not kind_of(right):
        return False
    if kind is Kind.ARRAY or kind is Kind.OBJECT:
        return sort_key(left) == sort_key(right)
    return left == right


def normal_number(value: float) -> Value:
    """Give a computed number its JSON form: integral doubles are integers, NaN and infinity undefined."""
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE_INTEGER else normal_number(float(value))
    if not math.isfinite(value):
        return UNDEFINED
    if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER:
        return int(value)
    return value


LARGEST_NUMBER: Final = 2**63 - 1
"""The largest number that the store can count to."""

MAX_SAFE_INTEGER: Final = 2**53
"""Numbers are IEEE doubles in the service; above this, integers lose digits there."""
