"""One process's memory of a tenant's ledger between exchanges: only ever a hint.

Each write is conditional on what is really stored: a stale snapshot costs a round trip, nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

from shared.resilience.concurrency import side_by_side
from shared.tokens.counters import COUNTER_PREFIX, WindowCounter
from shared.tokens.limits import LimitsInForce
from shared.tokens.stored_models import ClockItem, LockGroup, UsageItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.clock import Clock
    from shared.cosmos.container import BatchOperation
    from shared.cosmos.partition import Partition
    from shared.tokens.store_clock import StoreClock, StoreClocks

_MOST_ITEMS = 2048
"""The most items of a kind that are remembered of one tenant."""

_MOST_GROUPS = 256
"""Each exchange leaves one, so that all of these are soon there. A batch touches 100 at most."""

_READS_AT_ONCE = 16
_LEAST_MARGIN_SECONDS = 0.1
_MOST_MARGIN_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class CounterReading:
    """A counter, or None where there is none, from the answer to a request that was sent at `sent`."""

    counter: WindowCounter | None
    sent: float


class ExchangeLatency:
    """Duration of this process's exchanges: slowness is learned fast and forgotten slowly."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Learn the duration of an exchange."""
        change = seconds - self._seconds
        self._seconds += change / 2 if change > 0 else change / 16

    def margin(self) -> float:
        """Return the seconds that an exchange may take which is no slower than usual."""
        return min(max(_LEAST_MARGIN_SECONDS, 1.5 * self._seconds), _MOST_MARGIN_SECONDS)


class LedgerSnapshot:
    """One tenant's part of the ledger as this process last read it, and bounds of the store's time.

    Args:
        partition: The tenant's part of the ledger.
        clock: The process's time; its monotonic side times the store's answers.
        store_clocks: The clocks of physical partitions. Until an answer has told where the tenant is, or if
            none does, the tenant has a clock of its own.
        latency: The duration of exchanges, of whichever tenant.
    """

    def __init__(
        self, partition: Partition, clock: Clock, store_clocks: StoreClocks, latency: ExchangeLatency
    ) -> None:
        self.partition = partition
        self.counters: LRUCache[str, CounterReading] = LRUCache(_MOST_ITEMS)
        self.groups: LRUCache[str, int | None] = LRUCache(_MOST_GROUPS)
        """The locks of a group that are settled, as bits; None where no such group is stored."""
        self.usages: LRUCache[str, UsageItem | None] = LRUCache(_MOST_ITEMS)
        """Usage items that are stored, in whatever state; None where none is."""
        self.limits = LimitsInForce()
        self._clock = clock
        self._store_clocks = store_clocks
        self._own_clock = store_clocks.create()
        self._store_clock = self._own_clock
        self._located = -math.inf
        self._latency = latency

    def now(self) -> float:
        """Return the monotonic clock."""
        return self._clock.monotonic()

    def earliest(self) -> float:
        """Return a time that the store's clock has certainly reached."""
        return self._store_clock.earliest(self._clock.monotonic())

    def latest(self) -> float:
        """Return a time that the store's clock has certainly not passed."""
        return self._store_clock.latest(self._clock.monotonic())

    def charging_second(self) -> int:
        """Return a second to charge to now: one that the store's clock will not have passed."""
        return math.ceil(self.latest() + self._latency.margin())

    def counter(self, counter_id: str) -> WindowCounter | None:
        """Return a counter as it was last read; None where there was none, or it was never read."""
        reading = self.counters.get(counter_id)
        return None if reading is None else reading.counter

    def is_fresh(self, counter_ids: Iterable[str], since: float) -> bool:
        """Tell whether all of the counters are known from requests that were sent since a moment."""
        return all(
            (reading := self.counters.get(name)) is not None and reading.sent >= since for name in counter_ids
        )

    async def sync_clock(self) -> None:
        """Learn the store's time, unless it is known precisely enough.

        Raises:
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        if not self._store_clock.is_precise(self._clock.monotonic()):
            sent = self.now()
            self._observe(await self.partition.upsert(ClockItem()), sent)

    async def refresh(
        self, counter_ids: Iterable[str], groups: Iterable[str] = (), usages: Iterable[str] = ()
    ) -> None:
        """Read counters, lock groups and usage items as they are now.

        Raises:
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """

        async def read_counter(counter_id: str) -> None:
            sent = self.now()
            found = await self.partition.read(WindowCounter, counter_id)
            if found is not None:
                self._locate(found.answered_by, sent)
            self._remember(counter_id, CounterReading(found, sent))

        async def read_group(group: str) -> None:
            found = await self.partition.read(LockGroup, LockGroup.id_of(group))
            self.groups[group] = None if found is None else found.bits

        async def read_usage(usage_id: str) -> None:
            self.usages[usage_id] = await self.partition.read(UsageItem, usage_id)

        reads = [read_counter(counter_id) for counter_id in counter_ids]
        reads += [read_group(group) for group in groups]
        reads += [read_usage(usage_id) for usage_id in usages]
        if reads:
            await side_by_side(reads, at_once=_READS_AT_ONCE)

    async def write(self, operations: Sequence[BatchOperation]) -> None:
        """Do all of the operations or none, and remember the counters as they are then.

        Raises:
            BatchFailedError: One of them cannot be done.
            DependencyUnavailableError: The store is down; they may be done or not.
            DependencyTimeoutError: Likewise.
        """
        sent = self.now()
        bodies = await self.partition.batch(operations)
        self._latency.observe(self.now() - sent)
        written = {operation.item_id: body for operation, body in zip(operations, bodies, strict=True)}
        for item_id, body in written.items():
            if item_id.startswith(COUNTER_PREFIX):
                counter = WindowCounter.from_json(body)
                self._observe(counter, sent)
                self._remember(item_id, CounterReading(counter, sent))

    def _remember(self, counter_id: str, reading: CounterReading) -> None:
        known = self.counters.get(counter_id)
        if known is None or known.sent <= reading.sent:
            self.counters[counter_id] = reading

    def _observe(self, written: WindowCounter | ClockItem, sent: float) -> None:
        clock = self._locate(written.answered_by, sent)
        clock.observe(written.ts, sent, self._clock.monotonic())

    def _locate(self, partition: str | None, sent: float) -> StoreClock:
        """Turn to the clock of the physical partition that answered, unless a later request knows better."""
        clock = self._own_clock if partition is None else self._store_clocks.of(partition)
        if sent >= self._located:
            self._located, self._store_clock = sent, clock
        return clock
