"""How a built-in function is declared: its implementation and how many arguments it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cosmos.values import UNDEFINED, Value, normal_number

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Function:
    """A built-in function; `most` of None means any number of arguments."""

    evaluate: Callable[..., Value]
    least: int
    most: int | None

    def takes(self, count: int) -> bool:
        """Tell whether the function may be called with this many arguments."""
        return self.least <= count and (self.most is None or count <= self.most)


def number(value: Value) -> float | None:
    """Give a number as it is, None for everything else."""
    return value if type(value) is int or type(value) is float else None


def whole(value: Value) -> int | None:
    """Give a number without a fraction as an integer, None for everything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def of_numbers(compute: Callable[..., float], count: int = 1) -> Function:
    """Declare a function of numbers; another type, or a result that is no number, is undefined."""

    def evaluate(*arguments: Value) -> Value:
        numbers = [number(argument) for argument in arguments]
        if None in numbers:
            return UNDEFINED
        try:
            return normal_number(compute(*numbers))
        except (ValueError, OverflowError, ZeroDivisionError):
            return UNDEFINED

    return Function(evaluate, count, count)


def of_strings(compute: Callable[..., Value], count: int = 1) -> Function:
    """Declare a function of strings; another type is undefined."""

    def evaluate(*arguments: Value) -> Value:
        if not all(isinstance(argument, str) for argument in arguments):
            return UNDEFINED
        return compute(*arguments)

    return Function(evaluate, count, count)
