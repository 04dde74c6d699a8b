"""What the operators mean: type-strict comparison, three-valued logic, arithmetic on doubles.

Equality between defined values of different types is false. An order comparison across types, or between
arrays or objects, is undefined, as is everything with an undefined operand.
"""

from __future__ import annotations

import math
import operator
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from local.cosmos.values import UNDEFINED, Value, deep_equal, normal_number

if TYPE_CHECKING:
    from collections.abc import Callable

type BinaryOperator = Callable[[Value, Value], Value]

_ORDERED_TYPES: Final[dict[type, type]] = {
    bool: bool,
    int: float,
    float: float,
    str: str,
    type(None): type(None),
}


def equal(left: Value, right: Value) -> Value:
    """Evaluate `=`."""
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    return deep_equal(left, right)


def not_equal(left: Value, right: Value) -> Value:
    """Evaluate `!=`."""
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    return not deep_equal(left, right)


def _comparison(compare: Callable[[float, float], bool]) -> BinaryOperator:
    def evaluate(left: Value, right: Value) -> Value:
        kind = _ORDERED_TYPES.get(type(left))
        if kind is None or kind is not _ORDERED_TYPES.get(type(right)):
            return UNDEFINED
        if left is None:
            return compare(0, 0)
        return compare(left, right)  # type: ignore[arg-type] # both are of one ordered type

    return evaluate


def negate(value: Value) -> Value:
    """Evaluate `NOT`."""
    return not value if isinstance(value, bool) else UNDEFINED


def _arithmetic(compute: Callable[[float, float], float]) -> BinaryOperator:
    def evaluate(left: Value, right: Value) -> Value:
        if isinstance(left, bool) or isinstance(right, bool):
            return UNDEFINED
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            return UNDEFINED
        try:
            return normal_number(compute(left, right))
        except (OverflowError, ZeroDivisionError, ValueError):
            return UNDEFINED

    return evaluate


def _remainder(left: float, right: float) -> float:
    return math.fmod(left, right)


def to_int32(value: float) -> int:
    """Take the low 32 bits of the integral part as a signed integer, as JavaScript does."""
    bits = math.trunc(value) & 0xFFFFFFFF
    return bits - (1 << 32) if bits & (1 << 31) else bits


def _bitwise(compute: Callable[[int, int], int]) -> BinaryOperator:
    return _arithmetic(lambda left, right: compute(to_int32(left), to_int32(right)))


def _concatenate(left: Value, right: Value) -> Value:
    return left + right if isinstance(left, str) and isinstance(right, str) else UNDEFINED


BINARY: Final[dict[str, BinaryOperator]] = {
    "=": equal,
    "!=": not_equal,
    "<": _comparison(operator.lt),
    "<=": _comparison(operator.le),
    ">": _comparison(operator.gt),
    ">=": _comparison(operator.ge),
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(operator.truediv),
    "%": _arithmetic(_remainder),
    "&": _bitwise(operator.and_),
    "|": _bitwise(operator.or_),
    "^": _bitwise(operator.xor),
    "||": _concatenate,
}


def _unary_number(compute: Callable[[float], float]) -> Callable[[Value], Value]:
    def evaluate(value: Value) -> Value:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return UNDEFINED
        return normal_number(compute(value))

    return evaluate


UNARY: Final[dict[str, Callable[[Value], Value]]] = {
    "NOT": negate,
    "-": _unary_number(operator.neg),
    "+": _unary_number(operator.pos),
    "~": _unary_number(lambda value: ~to_int32(value)),
}


def index_into(base: Value, index: Value) -> Value:
    """Evaluate `base[index]`."""
    if isinstance(base, dict):
        return base.get(index, UNDEFINED) if isinstance(index, str) else UNDEFINED
    if not isinstance(base, list) or isinstance(index, bool) or not isinstance(index, int | float):
        return UNDEFINED
    if index != int(index) or not 0 <= index < len(base):
        return UNDEFINED
    return base[int(index)]


@lru_cache(maxsize=512)
def like_pattern(pattern: str, escape: str | None) -> re.Pattern[str]:
    """Translate a LIKE pattern: `%`, `_`, `[abc]`, `[a-c]`, `[^abc]`, and an escape character."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        mark = pattern[at]
        at += 1
        if escape is not None and mark == escape and at < len(pattern):
            out.append(re.escape(pattern[at]))
            at += 1
        elif mark == "%":
            out.append(".*")
        elif mark == "_":
            out.append(".")
        elif mark == "[" and (end := pattern.find("]", at)) > at:
            out.append(_character_class(pattern[at:end]))
            at = end + 1
        else:
            out.append(re.escape(mark))
    return re.compile("".join(out), re.DOTALL)


def _character_class(body: str) -> str:
    negation, members = ("^", body[1:]) if body[0] == "^" else ("", body)
    escaped = re.sub(r"[\\\[\]^&~|]", lambda match: "\\" + match[0], members)
    return f"[{negation}{escaped}]" if members else re.escape("[" + body + "]")


def like(value: Value, pattern: Value, escape: str | None) -> Value:
    """Evaluate LIKE."""
    if not isinstance(value, str) or not isinstance(pattern, str):
        return UNDEFINED
    try:
        return like_pattern(pattern, escape).fullmatch(value) is not None
    except re.error:
        return UNDEFINED
