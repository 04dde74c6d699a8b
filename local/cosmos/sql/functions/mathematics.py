"""Mathematical functions."""

from __future__ import annotations

import math
import random
from typing import Final

from local.cosmos.sql.functions.signature import Function, number, of_numbers, whole
from local.cosmos.values import UNDEFINED, Value, normal_number


def _round(value: float) -> float:
    # Away from zero at the middle, where Python rounds to even.
    return math.copysign(math.floor(abs(value) + 0.5), value) if abs(value) < 2**52 else value


def _round_to(value: Value, digits: Value = 0) -> Value:
    found, places = number(value), whole(digits)
    if found is None or places is None:
        return UNDEFINED
    try:
        scale = 10.0**places
        return normal_number(_round(found * scale) / scale)
    except OverflowError:
        return UNDEFINED


def _sign(value: float) -> float:
    return (value > 0) - (value < 0)


def _log(value: Value, base: Value = math.e) -> Value:
    found, root = number(value), number(base)
    if found is None or root is None:
        return UNDEFINED
    try:
        return normal_number(math.log(found) if root == math.e else math.log(found, root))
    except (ValueError, ZeroDivisionError):
        return UNDEFINED


def _power(base: float, exponent: float) -> float:
    return math.pow(base, exponent)


def _number_bin(value: Value, size: Value = 1) -> Value:
    found, width = number(value), number(size)
    if found is None or width is None or width <= 0:
        return UNDEFINED
    return normal_number(math.floor(found / width) * width)


def _integer(compute: object) -> Function:
    """Declare a 64-bit integer function; a fraction makes it undefined."""

    def evaluate(*arguments: Value) -> Value:
        numbers = [whole(argument) for argument in arguments]
        if None in numbers or not callable(compute):
            return UNDEFINED
        try:
            result = compute(*numbers)
        except (ZeroDivisionError, ValueError, OverflowError):
            return UNDEFINED
        wrapped = (int(result) + 2**63) % 2**64 - 2**63
        return normal_number(wrapped)

    return Function(evaluate, 2, 2)


def _int_div(left: int, right: int) -> int:
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def _int_mod(left: int, right: int) -> int:
    return left - _int_div(left, right) * right


def _int_bit_not(value: Value) -> Value:
    found = whole(value)
    return UNDEFINED if found is None else normal_number(~found)


MATHEMATICS: Final[dict[str, Function]] = {
    "ABS": of_numbers(abs),
    "ACOS": of_numbers(math.acos),
    "ASIN": of_numbers(math.asin),
    "ATAN": of_numbers(math.atan),
    "ATN2": of_numbers(math.atan2, 2),
    "CEILING": of_numbers(math.ceil),
    "COS": of_numbers(math.cos),
    "COT": of_numbers(lambda value: 1 / math.tan(value)),
    "DEGREES": of_numbers(lambda value: 180 / math.pi * value),
    "EXP": of_numbers(math.exp),
    "FLOOR": of_numbers(math.floor),
    "LOG": Function(_log, 1, 2),
    "LOG10": of_numbers(math.log10),
    "NUMBERBIN": Function(_number_bin, 1, 2),
    "PI": Function(lambda: math.pi, 0, 0),
    "POWER": of_numbers(_power, 2),
    "RADIANS": of_numbers(lambda value: math.pi * value / 180),
    "RAND": Function(random.random, 0, 0),
    "ROUND": Function(_round_to, 1, 2),
    "SIGN": of_numbers(_sign),
    "SIN": of_numbers(math.sin),
    "SQRT": of_numbers(math.sqrt),
    "SQUARE": of_numbers(lambda value: value * value),
    "TAN": of_numbers(math.tan),
    "TRUNC": of_numbers(math.trunc),
    "INTADD": _integer(lambda left, right: left + right),
    "INTSUB": _integer(lambda left, right: left - right),
    "INTMUL": _integer(lambda left, right: left * right),
    "INTDIV": _integer(_int_div),
    "INTMOD": _integer(_int_mod),
    "INTBITAND": _integer(lambda left, right: left & right),
    "INTBITOR": _integer(lambda left, right: left | right),
    "INTBITXOR": _integer(lambda left, right: left ^ right),
    "INTBITLEFTSHIFT": _integer(lambda left, right: left << (right % 64)),
    "INTBITRIGHTSHIFT": _integer(lambda left, right: left >> (right % 64)),
    "INTBITNOT": Function(_int_bit_not, 1, 1),
}
