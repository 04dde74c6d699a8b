"""What one process remembers of each tenant's ledger between exchanges: only ever a hint.

Each write is conditional on what is really stored, so that a stale account costs a round trip, nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.resilience.concurrency import side_by_side
from shared.tokens.counters import Scope
from shared.tokens.memory import Memory
from shared.tokens.stored_models import ClockItem, LockGroup, UsageItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.clock import Clock
    from shared.cosmos.container import BatchOperation
    from shared.cosmos.partition import Partition
    from shared.tokens.store_clock import StoreClock, StoreClocks

_READS_AT_ONCE = 16
_LEAST_MARGIN_SECONDS = 0.1
_MOST_MARGIN_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A scope, or that there is none, as an answer told whose request was sent at `sent`."""

    scope: Scope | None
    sent: float


class Pace:
    """How long exchanges take in this process: it learns fast that the store is slow, and forgets slowly."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Learn how long one took."""
        change = seconds - self._seconds
        self._seconds += change / 2 if change > 0 else change / 16

    def margin(self) -> float:
        """Return how long one may take that is no slower than usual."""
        return min(max(_LEAST_MARGIN_SECONDS, 1.5 * self._seconds), _MOST_MARGIN_SECONDS)


class Account:
    """One tenant's part of the ledger as this process last saw it, and what is known of the store's time.

    Args:
        partition: The tenant's part of the ledger.
        clock: Its monotonic side times the store's answers.
        store_clocks: What is known of the store's time, by physical partition. Until an answer has told where
            the tenant is, or if none does, the tenant has a clock of its own.
        pace: How long exchanges take, of whichever tenant.
    """

    def __init__(self, partition: Partition, clock: Clock, store_clocks: StoreClocks, pace: Pace) -> None:
        self.partition = partition
        self.scopes: Memory[Seen] = Memory()
        self.groups: Memory[int | None] = Memory()
        """The locks of a group that are settled, as bits; None where no such group is stored."""
        self.usages: Memory[UsageItem | None] = Memory()
        """Usage items that are stored, in whatever state; None where none is."""
        self._clock = clock
        self._store_clocks = store_clocks
        self._own_clock = store_clocks.new()
        self._store_clock = self._own_clock
        self._located = -math.inf
        self._pace = pace

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
        return math.ceil(self.latest() + self._pace.margin())

    def scope(self, scope_id: str) -> Scope | None:
        """Return a scope as it was last seen; None where there was none, or nobody looked."""
        seen = self.scopes.get(scope_id)
        return None if seen is None else seen.scope

    def seen_since(self, scope_ids: Iterable[str], moment: float) -> bool:
        """Tell whether all of the scopes are known from requests that were sent after a moment."""
        return all((seen := self.scopes.get(name)) is not None and seen.sent >= moment for name in scope_ids)

    async def know_the_time(self) -> None:
        """Learn the store's time, unless it is known precisely enough."""
        if not self._store_clock.is_precise(self._clock.monotonic()):
            sent = self.now()
            self._observe(await self.partition.upsert(ClockItem()), sent)

    async def look(
        self, scope_ids: Iterable[str], groups: Iterable[str] = (), usages: Iterable[str] = ()
    ) -> None:
        """Read how things are now."""

        async def look_at_scope(scope_id: str) -> None:
            sent = self.now()
            found = await self.partition.read(Scope, scope_id)
            if found is not None:
                self._locate(found.answered_by, sent)
            self._saw(scope_id, Seen(found, sent))

        async def look_at_group(group: str) -> None:
            found = await self.partition.read(LockGroup, LockGroup.id_of(group))
            self.groups.put(group, None if found is None else found.bits)

        async def look_at_usage(usage_id: str) -> None:
            self.usages.put(usage_id, await self.partition.read(UsageItem, usage_id))

        looks = [look_at_scope(scope_id) for scope_id in scope_ids]
        looks += [look_at_group(group) for group in groups]
        looks += [look_at_usage(usage_id) for usage_id in usages]
        await side_by_side(looks, at_once=_READS_AT_ONCE)

    async def write(self, operations: Sequence[BatchOperation]) -> None:
        """Do all of the operations or none, and remember how they left the scopes.

        Raises:
            BatchFailedError: One of them cannot be done.
        """
        sent = self.now()
        bodies = await self.partition.batch(operations)
        self._pace.observe(self.now() - sent)
        left = {operation.item_id: body for operation, body in zip(operations, bodies, strict=True)}
        for item_id, body in left.items():
            if item_id.startswith("scope:"):
                scope = Scope.from_json(body)
                self._observe(scope, sent)
                self._saw(item_id, Seen(scope, sent))

    def _saw(self, scope_id: str, seen: Seen) -> None:
        known = self.scopes.get(scope_id)
        if known is None or known.sent <= seen.sent:
            self.scopes.put(scope_id, seen)

    def _observe(self, written: Scope | ClockItem, sent: float) -> None:
        clock = self._locate(written.answered_by, sent)
        clock.observe(written.ts, sent, self._clock.monotonic())

    def _locate(self, partition: str | None, sent: float) -> StoreClock:
        """Turn to the clock of the physical partition that answered, unless a later request knows better."""
        clock = self._own_clock if partition is None else self._store_clocks.of(partition)
        if sent >= self._located:
            self._located, self._store_clock = sent, clock
        return clock
