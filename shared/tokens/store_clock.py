"""Bounds of the store's time, learned from its answers: no worker's wall clock is trusted.

An answer tells the whole second at which the store wrote. It wrote between sending and receiving, which
bounds the distance of its clock from this process's monotonic one; each further answer can only narrow it.

A physical partition has one clock, that of the replica which writes, for all of the tenants in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

SKEW_SECONDS = 0.1
"""By how much the clocks of one partition's replicas may differ."""

DRIFT = 200e-6
"""By how much this process's and the store's clock may differ in rate; crystals stay well below."""

MAX_WIDTH_SECONDS = 2.0
"""Wider bounds are renewed before they are used: a whole second, the skew, and what a slow answer adds."""

_MOST_PARTITIONS = 2048


@dataclass(frozen=True, slots=True)
class _Offset:
    """Bounds of the distance between the store's clock and ours, as they were `at` a moment of ours."""

    low: float
    high: float
    at: float

    def drift(self, now: float) -> float:
        """Return by how much each bound has moved since."""
        return DRIFT * max(0.0, now - self.at)

    def widened(self, now: float) -> _Offset:
        drift = self.drift(now)
        return _Offset(self.low - drift, self.high + drift, now)


class StoreClock:
    """Bounds of a physical partition's clock; all arguments are seconds of the process's monotonic clock."""

    def __init__(self) -> None:
        self._offset: _Offset | None = None

    def observe(self, second: int, sent: float, received: float) -> None:
        """Learn that the store's clock read `second` at some moment between two of ours."""
        told = _Offset(second - SKEW_SECONDS - received, second + 1 + SKEW_SECONDS - sent, received)
        if self._offset is None:
            self._offset = told
            return
        known = self._offset.widened(received)
        low, high = max(known.low, told.low), min(known.high, told.high)
        if low > high:
            # One of the two clocks has jumped: a suspended machine, a failover. Until the next answer tells
            # which, everything between is possible.
            low, high = min(known.low, told.low), max(known.high, told.high)
        self._offset = _Offset(low, high, received)

    def is_precise(self, now: float) -> bool:
        """Tell whether the bounds are narrow enough to be used."""
        if self._offset is None:
            return False
        known = self._offset
        return known.high - known.low + 2 * known.drift(now) <= MAX_WIDTH_SECONDS

    def earliest(self, now: float) -> float:
        """Return a time that the store's clock has certainly reached.

        Raises:
            RuntimeError: No answer has told the store's time yet.
        """
        known = self._known()
        return known.low - known.drift(now) + now

    def latest(self, now: float) -> float:
        """Return a time that the store's clock has certainly not passed.

        Raises:
            RuntimeError: No answer has told the store's time yet.
        """
        known = self._known()
        return known.high + known.drift(now) + now

    def _known(self) -> _Offset:
        if self._offset is None:
            raise RuntimeError("the store's time was asked for before an answer told it")
        return self._offset


class StoreClocks:
    """Clocks of all physical partitions, as far as this process knows them.

    Args:
        create: Makes the clock of one that is not known yet.
    """

    def __init__(self, create: Callable[[], StoreClock]) -> None:
        self.create = create
        self._by_partition: LRUCache[str, StoreClock] = LRUCache(_MOST_PARTITIONS)

    def of(self, partition: str) -> StoreClock:
        """Return the clock of a physical partition; one that a split has made is not known yet."""
        clock = self._by_partition.get(partition)
        if clock is None:
            clock = self._by_partition[partition] = self.create()
        return clock
