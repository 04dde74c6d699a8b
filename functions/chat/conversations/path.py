"""Visible path of a conversation: which of its turns are shown and remembered.

Numbers of turns only grow, and a turn that is hidden never comes back. So the visible turns are ranges of
numbers in ascending order: each change of the path ends the last range and begins one more. The last range is
open: what is begun belongs to it without a word, so that a turn needs to know nothing of the path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

type NumberRange = tuple[int, int]
"""The first and the last of adjacent numbers."""

RANGES_IN_HEAD = 64
"""The most ended ranges that a head has; beyond them the oldest are moved into a segment."""

RANGES_IN_SEGMENT = 32


class Spill(NamedTuple):
    """Ranges that a head has no room for, and the index of the segment that they are moved into."""

    segment: int
    ranges: tuple[NumberRange, ...]


@dataclass(frozen=True, slots=True)
class VisiblePath:
    """The last part of a path, as a head has it.

    Attributes:
        segments: How many segments are before it.
        ended: The ranges that have ended.
        open_from: The first number of the range that has not ended.
        last: The last number that was given.
    """

    segments: int
    ended: tuple[NumberRange, ...]
    open_from: int
    last: int

    @property
    def ranges(self) -> tuple[NumberRange, ...]:
        """Return all of its ranges."""
        return (*self.ended, (self.open_from, self.last)) if self.open_from <= self.last else self.ended

    def cut(self, last_kept: int, open_from: int) -> VisiblePath:
        """Hide what comes after a number, and go on with another one."""
        return VisiblePath(self.segments, clip(self.ranges, last=last_kept), open_from, self.last)

    def spill(self) -> tuple[VisiblePath, Spill | None]:
        """Move the oldest ranges into a segment where there are too many."""
        if len(self.ended) <= RANGES_IN_HEAD:
            return self, None
        moved, kept = self.ended[:RANGES_IN_SEGMENT], self.ended[RANGES_IN_SEGMENT:]
        return VisiblePath(self.segments + 1, kept, self.open_from, self.last), Spill(self.segments, moved)


def clip(
    ranges: Iterable[NumberRange], *, first: int = 1, last: int | None = None
) -> tuple[NumberRange, ...]:
    """Return the parts of ranges from one number to another one, both included."""
    cut = ((max(low, first), high if last is None else min(high, last)) for low, high in ranges)
    return tuple((low, high) for low, high in cut if low <= high)


def contains(ranges: Iterable[NumberRange], number: int) -> bool:
    """Tell whether a number is in one of the ranges."""
    return any(low <= number <= high for low, high in ranges)
