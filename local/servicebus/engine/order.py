"""Orderings that tolerate entries gone stale: by due time, and by sequence number."""

from __future__ import annotations

import bisect
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

_SLACK = 64


class DueTimes[K]:
    """Keys by the time at which they fall due.

    An entry is not removed when its key is settled; `is_current` tells whether it still means something, and
    when most do not, the heap is rebuilt. So a message that may live 14 days costs no more than its stay.
    """

    def __init__(self, is_current: Callable[[K, int], bool]) -> None:
        self._is_current = is_current
        self._heap: list[tuple[int, int, K]] = []
        self._pushed = 0
        self._compact_at = _SLACK

    def __len__(self) -> int:
        """Count the entries, stale ones included."""
        return len(self._heap)

    def push(self, due: int, key: K) -> None:
        """Have `key` fall due."""
        self._pushed += 1  # orders equal times by arrival, and keeps keys from being compared
        heapq.heappush(self._heap, (due, self._pushed, key))
        if len(self._heap) > self._compact_at:
            self._heap = [entry for entry in self._heap if self._is_current(entry[2], entry[0])]
            heapq.heapify(self._heap)
            self._compact_at = 2 * len(self._heap) + _SLACK

    def next_due(self) -> int | None:
        """Give when the first key falls due."""
        while self._heap:
            due, _, key = self._heap[0]
            if self._is_current(key, due):
                return due
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now: int) -> Iterator[K]:
        """Take out each key that has fallen due by `now`."""
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._is_current(key, due):
                yield key


class NumberOrder:
    """Sequence numbers in ascending order, for browsing."""

    def __init__(self, alive: Container[int]) -> None:
        self._alive = alive
        self._numbers: list[int] = []
        self._dead = 0

    def add(self, number: int) -> None:
        """Take in a number."""
        if not self._numbers or number > self._numbers[-1]:
            self._numbers.append(number)
        else:
            bisect.insort(self._numbers, number)

    def removed(self) -> None:
        """Note that one number is no longer alive."""
        self._dead += 1
        if self._dead > _SLACK and 2 * self._dead > len(self._numbers):
            self._numbers = [number for number in self._numbers if number in self._alive]
            self._dead = 0

    def from_number(self, first: int) -> Iterator[int]:
        """Give the numbers that are alive from `first` upwards."""
        for index in range(bisect.bisect_left(self._numbers, first), len(self._numbers)):
            if self._numbers[index] in self._alive:
                yield self._numbers[index]
