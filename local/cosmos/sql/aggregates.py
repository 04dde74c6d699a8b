"""COUNT, SUM, AVG, MIN and MAX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from local.cosmos.values import UNDEFINED, Kind, Value, kind_of, normal_number, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable


class Accumulator(Protocol):
    """Takes the argument's value of each row of a group and gives the aggregate.

    Undefined values are not passed in.
    """

    def add(self, value: Value) -> None:
        """Take one defined value."""
        ...

    def result(self) -> Value:
        """Give the aggregate of all values taken."""
        ...


class Count:
    """COUNT: how many values were defined."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, _value: Value) -> None:
        """Take one defined value."""
        self._count += 1

    def result(self) -> Value:
        """Give the number of values."""
        return self._count


class CountIf:
    """COUNTIF: how many values were true."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Value) -> None:
        """Take one defined value."""
        self._count += value is True

    def result(self) -> Value:
        """Give the number of true values."""
        return self._count


class Sum:
    """SUM: undefined as soon as one value is no number, 0 for none at all."""

    def __init__(self) -> None:
        self._sum: float = 0
        self._count = 0
        self._numeric = True

    def add(self, value: Value) -> None:
        """Take one defined value."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._numeric = False
            return
        self._sum += value
        self._count += 1

    def result(self) -> Value:
        """Give the sum."""
        return normal_number(self._sum) if self._numeric else UNDEFINED


class Average(Sum):
    """AVG: undefined as soon as one value is no number, and for none at all."""

    def result(self) -> Value:
        """Give the mean."""
        return normal_number(self._sum / self._count) if self._numeric and self._count else UNDEFINED


class Extreme:
    """MIN or MAX across types.

    Undefined for none at all and as soon as one value is an array or an object.
    """

    def __init__(self, *, highest: bool) -> None:
        self._highest = highest
        self._best: Value = UNDEFINED
        self._primitive = True

    def add(self, value: Value) -> None:
        """Take one defined value."""
        if kind_of(value) in {Kind.ARRAY, Kind.OBJECT}:
            self._primitive = False
        elif self._best is UNDEFINED or (
            sort_key(value) > sort_key(self._best)
            if self._highest
            else sort_key(value) < sort_key(self._best)
        ):
            self._best = value

    def result(self) -> Value:
        """Give the lowest or the highest value."""
        return self._best if self._primitive else UNDEFINED


AGGREGATES: Final[dict[str, Callable[[], Accumulator]]] = {
    "AVG": Average,
    "COUNT": Count,
    "COUNTIF": CountIf,
    "MAX": lambda: Extreme(highest=True),
    "MIN": lambda: Extreme(highest=False),
    "SUM": Sum,
}
