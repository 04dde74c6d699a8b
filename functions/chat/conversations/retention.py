"""Retention of conversations: until when a turn is kept, and what the store is told about it.

The store counts an item's time to live from its last change. A turn has its own end from its beginning on:
whoever changes its item later says again how much of its time is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from shared.clock import Clock

FOR_EVER = -1
"""A time to live that never ends, in a container where items have none of themselves."""

SECONDS_PER_DAY = 86_400

_LONGEST = 2**31 - 1
_LONGER_THAN_ITS_TURNS = 3_600
"""A head stays an hour longer than its last turn: no number of a turn that is still there is given again."""


def shortest_days(*days: int | None) -> int | None:
    """Return the least of the given numbers of days; None where none is given."""
    return min((one for one in days if one), default=None)


def end_of(begun: datetime, days: int | None) -> int | None:
    """Return the end of what is kept for so many days, in seconds of Unix time; None for never."""
    return None if days is None else int(begun.timestamp()) + days * SECONDS_PER_DAY


def later(one: int | None, other: int | None) -> int | None:
    """Return the later of two ends, where None is never."""
    return None if one is None or other is None else max(one, other)


def seconds_left(end: int | None, clock: Clock) -> int:
    """Return the time to live of what ends then, at least a second."""
    if end is None:
        return FOR_EVER
    return min(max(end - int(clock.now().timestamp()), 1), _LONGEST)


def seconds_left_of_head(end: int | None, clock: Clock) -> int:
    """Return the time to live of a head whose last turn ends then."""
    return FOR_EVER if end is None else seconds_left(end + _LONGER_THAN_ITS_TURNS, clock)


def is_over(end: int | None, clock: Clock) -> bool:
    """Tell whether the time of something is over, whether or not the store has removed it."""
    return end is not None and end <= clock.now().timestamp()
