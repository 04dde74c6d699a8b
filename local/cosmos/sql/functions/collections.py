"""Array, object and type functions."""

from __future__ import annotations

import math
from typing import Final

from local.cosmos.sql.functions.signature import Function, whole
from local.cosmos.values import UNDEFINED, Json, Kind, Value, deep_equal, kind_of, sort_key


def _array_concat(*arrays: Value) -> Value:
    joined: list[Json] = []
    for array in arrays:
        if not isinstance(array, list):
            return UNDEFINED
        joined.extend(array)
    return joined


def _matches_partly(element: Value, wanted: Value) -> bool:
    if isinstance(element, dict) and isinstance(wanted, dict):
        return all(name in element and deep_equal(element[name], value) for name, value in wanted.items())
    return deep_equal(element, wanted)


def _array_contains(array: Value, wanted: Value, partly: Value = False) -> Value:  # noqa: FBT002 - the service's own
    if not isinstance(array, list) or wanted is UNDEFINED or not isinstance(partly, bool):
        return UNDEFINED if not isinstance(array, list) else False
    test = _matches_partly if partly else deep_equal
    return any(test(element, wanted) for element in array)


def _array_contains_any(array: Value, *wanted: Value) -> Value:
    if not isinstance(array, list):
        return UNDEFINED
    return any(deep_equal(element, value) for value in wanted for element in array)


def _array_contains_all(array: Value, *wanted: Value) -> Value:
    if not isinstance(array, list):
        return UNDEFINED
    return all(any(deep_equal(element, value) for element in array) for value in wanted)


def _array_length(array: Value) -> Value:
    return len(array) if isinstance(array, list) else UNDEFINED


def _array_slice(array: Value, start: Value, count: Value = 2**53) -> Value:
    begin, length = whole(start), whole(count)
    if not isinstance(array, list) or begin is None or length is None:
        return UNDEFINED
    first = max(len(array) + begin, 0) if begin < 0 else begin
    return array[first : first + max(length, 0)]


def _distinct(values: list[Json]) -> list[Json]:
    return list({sort_key(value): value for value in reversed(values)}.values())[::-1]


def _set_intersect(left: Value, right: Value) -> Value:
    if not isinstance(left, list) or not isinstance(right, list):
        return UNDEFINED
    keys = {sort_key(value) for value in right}
    return _distinct([value for value in left if sort_key(value) in keys])


def _set_union(left: Value, right: Value) -> Value:
    if not isinstance(left, list) or not isinstance(right, list):
        return UNDEFINED
    return _distinct([*left, *right])


def _set_difference(left: Value, right: Value) -> Value:
    if not isinstance(left, list) or not isinstance(right, list):
        return UNDEFINED
    keys = {sort_key(value) for value in right}
    return _distinct([value for value in left if sort_key(value) not in keys])


def _choose(index: Value, *choices: Value) -> Value:
    at = whole(index)
    return choices[at - 1] if at is not None and 1 <= at <= len(choices) else UNDEFINED


def _object_to_array(value: Value, key_name: Value = "k", value_name: Value = "v") -> Value:
    if not isinstance(value, dict) or not isinstance(key_name, str) or not isinstance(value_name, str):
        return UNDEFINED
    return [{key_name: name, value_name: item} for name, item in value.items()]


def _is_kind(*kinds: Kind) -> Function:
    return Function(lambda value: kind_of(value) in kinds, 1, 1)


def _is_finite_number(value: Value) -> Value:
    return kind_of(value) is Kind.NUMBER and isinstance(value, int | float) and math.isfinite(value)


def _is_integer(value: Value) -> Value:
    return whole(value) is not None


def _iif(condition: Value, then: Value, otherwise: Value) -> Value:
    return then if condition is True else otherwise


COLLECTIONS: Final[dict[str, Function]] = {
    "ARRAY_CONCAT": Function(_array_concat, 2, None),
    "ARRAY_CONTAINS": Function(_array_contains, 2, 3),
    "ARRAY_CONTAINS_ALL": Function(_array_contains_all, 2, None),
    "ARRAY_CONTAINS_ANY": Function(_array_contains_any, 2, None),
    "ARRAY_LENGTH": Function(_array_length, 1, 1),
    "ARRAY_SLICE": Function(_array_slice, 2, 3),
    "CHOOSE": Function(_choose, 2, None),
    "IIF": Function(_iif, 3, 3),
    "IS_ARRAY": _is_kind(Kind.ARRAY),
    "IS_BOOL": _is_kind(Kind.BOOLEAN),
    "IS_DEFINED": Function(lambda value: value is not UNDEFINED, 1, 1),
    "IS_FINITE_NUMBER": Function(_is_finite_number, 1, 1),
    "IS_INTEGER": Function(_is_integer, 1, 1),
    "IS_NULL": _is_kind(Kind.NULL),
    "IS_NUMBER": _is_kind(Kind.NUMBER),
    "IS_OBJECT": _is_kind(Kind.OBJECT),
    "IS_PRIMITIVE": _is_kind(Kind.NULL, Kind.BOOLEAN, Kind.NUMBER, Kind.STRING),
    "IS_STRING": _is_kind(Kind.STRING),
    "OBJECTTOARRAY": Function(_object_to_array, 1, 3),
    "SETDIFFERENCE": Function(_set_difference, 2, 2),
    "SETINTERSECT": Function(_set_intersect, 2, 2),
    "SETUNION": Function(_set_union, 2, 2),
}
