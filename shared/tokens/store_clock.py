"""Bounds of the store's time, learned from its answers: no worker's wall clock is trusted.

An answer tells the whole second at which the store wrote. It wrote between sending and receiving, which
bounds the distance of its clock from this process's monotonic one; each further answer can only narrow it.

A physical partition has one clock, that of the replica which writes, for all of the tenants in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.tokens.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable

SKEW_SECONDS = 0.1
"""By how much the clocks of one partition's replicas may differ."""

DRIFT = 200e-6
"""By how much this process's and the store's clock may differ in rate; crystals stay well below."""

MAX_WIDTH_SECONDS = 2.0
"""Wider bounds are renewed before they are used: a whole second, the skew, and what a slow answer adds."""


@dataclass(frozen=True, slots=True)
class _Offset:
    low: float
    high: float
    at: float

    def widened(self, now: float) -> _Offset:
        drift = DRIFT * max(0.0, now - self.at)
        return _Offset(self.low - drift, self.high + drift, now)


class StoreClock:
    """What is known of one partition's clock. All arguments are seconds of this process's monotonic clock."""

    def __init__(self) -> None:
        self._offset: _Offset | None = None

    def observe(self, second: int, sent: float, received: float) -> None:
        """Learn that the store's clock read `second` at some moment between two of ours."""
        seen = _Offset(second - SKEW_SECONDS - received, second + 1 + SKEW_SECONDS - sent, received)
        if self._offset is None:
            self._offset = seen
            return
        known = self._offset.widened(received)
        low, high = max(known.low, seen.low), min(known.high, seen.high)
        if low > high:
            # One of the two clocks has jumped: a suspended machine, a failover. Until the next answer tells
            # which, everything between is possible.
            low, high = min(known.low, seen.low), max(known.high, seen.high)
        self._offset = _Offset(low, high, received)

    def is_precise(self, now: float) -> bool:
        """Tell whether the bounds are narrow enough to be used."""
        if self._offset is None:
            return False
        known = self._offset.widened(now)
        return known.high - known.low <= MAX_WIDTH_SECONDS

    def earliest(self, now: float) -> float:
        """Return a time that the store's clock has certainly reached."""
        return self._known(now).low + now

    def latest(self, now: float) -> float:
        """Return a time that the store's clock has certainly not passed."""
        return self._known(now).high + now

    def _known(self, now: float) -> _Offset:
        if self._offset is None:
            raise RuntimeError("the store's time was asked for before an answer told it")
        return self._offset.widened(now)


class StoreClocks:
    """What one process knows of the clocks of all physical partitions.

    Args:
        new: Makes what learns one of them.
    """

    def __init__(self, new: Callable[[], StoreClock]) -> None:
        self.new = new
        self._by_partition: Memory[StoreClock] = Memory()

    def of(self, partition: str) -> StoreClock:
        """Return the clock of a physical partition; one that a split has made is not known yet."""
        clock = self._by_partition.get(partition)
        if clock is None:
            clock = self.new()
            self._by_partition.put(partition, clock)
        return clock
