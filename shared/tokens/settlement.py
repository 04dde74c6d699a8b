"""Settlement of locks, exactly once: all that wait go into one transactional batch.

The batch marks the locks in their groups' items, on the condition that they are not marked yet, puts the
reported tokens in the place of the locked ones, and adds them to the usage. All of it is stored, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.cosmos.container import BatchFailedError, Patch, PatchOperation
from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from shared.logging.logger import get_logger
from shared.tokens.counters import (
    ROOT_COUNTERS,
    WINDOW_SECONDS,
    Amount,
    CounterChange,
    build_operations,
    counter_ids,
    expired_seconds,
    has_bucket,
)
from shared.tokens.errors import LockNotFoundError
from shared.tokens.headroom import spending_keys
from shared.tokens.stored_models import LockGroup, UsageItem
from shared.tokens.usage_items import UsageKey, build_usage_item

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from shared.contracts import Usage
    from shared.cosmos.container import BatchOperation
    from shared.tokens.counters import WindowCounter
    from shared.tokens.lock_ids import LockClaim
    from shared.tokens.snapshot import LedgerSnapshot
    from shared.tokens.unreported_locks import UnreportedLocks

_MOST_ROUNDS = 16
_MOST_OPERATIONS = 100
_COUNTS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "requests")
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Report or release of a lock.

    Attributes:
        usage: None where it is released.
        future: The waiting caller; None where the ledger itself releases a lock.
    """

    claim: LockClaim
    app_id: str
    usage: Usage | None = None
    user: str | None = None
    future: asyncio.Future[None] | None = None

    @property
    def used_tokens(self) -> int:
        """Return the tokens that count as used."""
        return 0 if self.usage is None else self.usage.prompt_tokens + self.usage.completion_tokens

    @property
    def counter_ids(self) -> tuple[str, str, str]:
        """Return the ids of the counters that the lock counts in."""
        claim = self.claim
        return counter_ids(self.app_id, claim.model, shared=claim.shares_app_scope, pooled=claim.pooled)

    @property
    def may_lack_group(self) -> bool:
        """Tell whether the lock may have no stored group: it was never counted, or perhaps never admitted."""
        return self.claim.uncounted or self.future is None

    def resolve(self) -> None:
        """Tell the waiting caller that it is stored."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Tell the waiting caller that it failed."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)


class LockSettler:
    """Settles the locks of one tenant.

    Args:
        snapshot: The tenant's ledger as it was last read.
        unreported: Log of locks that expired without a report.
    """

    def __init__(self, snapshot: LedgerSnapshot, unreported: UnreportedLocks) -> None:
        self._snapshot = snapshot
        self._unreported = unreported
        self._unconfirmed: list[Settlement] = []

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Settle the locks that are not settled yet; the others are answered as they were then.

        Raises:
            DependencyUnavailableError: The store is down; asking again is safe, settled or not.
            DependencyTimeoutError: Likewise.
        """
        snapshot = self._snapshot
        await snapshot.sync_clock()
        left = self._resolve_settled(settlements)
        await snapshot.refresh(self._find_stale(left))
        for _ in range(_MOST_ROUNDS):
            if not left:
                return
            batch = _SettlementBatch.of(snapshot, left)
            roots = {name: snapshot.counter(name) for name in ROOT_COUNTERS}
            try:
                await snapshot.write(batch.operations)
            except BatchFailedError as error:
                await self._refresh_disproved(batch, error)
            else:
                snapshot.groups.update(batch.groups)
                snapshot.usages.update(batch.usages)
                for name in ROOT_COUNTERS:
                    self._unreported.record(roots[name], batch.freed_of(name), snapshot.now())
            left = self._resolve_settled(left)
        raise DependencyUnavailableError("The token ledger", "is contended")

    async def release_unclaimed(self, locks: Sequence[Settlement]) -> None:
        """Release locks that nobody was given; while the store is down, that waits for the next lock."""
        try:
            await self.settle(locks)
        except (DependencyUnavailableError, DependencyTimeoutError):
            self._unconfirmed += locks

    def note_unconfirmed(self, locks: Sequence[Settlement]) -> None:
        """Remember locks whose admission was not confirmed: they are released before the next one."""
        self._unconfirmed += locks

    async def release_unconfirmed(self) -> None:
        """Release the locks whose admission was not confirmed, or make sure that it never happens.

        Raises:
            DependencyUnavailableError: The store is down (still).
            DependencyTimeoutError: Likewise.
        """
        if not self._unconfirmed:
            return
        await self._snapshot.sync_clock()
        time = self._snapshot.earliest()
        young = [lock for lock in self._unconfirmed if lock.claim.second + WINDOW_SECONDS > time]
        await self.settle(young)
        if young:
            _logger.info("Unconfirmed locks were released", extra={"locks": len(young)})
        self._unconfirmed = []

    def _resolve_settled(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Answer those that are settled or can never be; return the others."""
        left = []
        groups = self._snapshot.groups
        for one in settlements:
            bits = groups.get(one.claim.group)
            if bits is not None and bits >> one.claim.index & 1:
                one.resolve()
            elif bits is None and one.claim.group in groups and not one.may_lack_group:
                one.fail(LockNotFoundError())
            else:
                left.append(one)
        return left

    async def _refresh_disproved(self, batch: _SettlementBatch, error: BatchFailedError) -> None:
        """Read the item that is not as the batch took for granted, and all of its kind."""
        disproved = batch.operations[error.index].item_id
        if disproved in batch.usages:
            await self._snapshot.refresh((), usages=batch.usages)
        elif disproved in batch.counters:
            await self._snapshot.refresh(batch.counters)
        else:
            await self._snapshot.refresh((), groups=batch.groups)

    def _find_stale(self, settlements: Iterable[Settlement]) -> set[str]:
        """Return the counters that are unknown, or that lack a lock that should still count in them."""
        snapshot, time = self._snapshot, self._snapshot.earliest()
        found: set[str] = set()
        for one in settlements:
            second = one.claim.second
            young = second + WINDOW_SECONDS > time and not one.claim.uncounted
            for name in one.counter_ids:
                counter = snapshot.counter(name)
                lacks_lock = counter is None or not has_bucket(counter, second)
                if name not in snapshot.counters or (young and lacks_lock):
                    found.add(name)
        return found


@dataclass(slots=True)
class _SettlementBatch:
    """Settlements that go into one transaction."""

    groups: dict[str, int] = field(default_factory=dict)
    usages: dict[str, UsageItem] = field(default_factory=dict)
    counters: dict[str, CounterChange] = field(default_factory=dict)
    operations: list[BatchOperation] = field(default_factory=list)

    @classmethod
    def of(cls, snapshot: LedgerSnapshot, settlements: Sequence[Settlement]) -> _SettlementBatch:
        """Take as many of the settlements, from the first on, as fit."""
        count = len(settlements)
        while True:
            batch = cls()
            size = 0
            debt_second = snapshot.charging_second()
            for one in settlements[:count]:
                batch._add(snapshot, one, debt_second)
                size = len(batch.groups) + len(batch.usages) + len(batch.counters)
                if size >= _MOST_OPERATIONS:
                    break
            batch._add_operations(snapshot)
            if len(batch.operations) <= _MOST_OPERATIONS:
                return batch
            count //= 2

    def freed_of(self, counter_id: str) -> Sequence[int]:
        """Return the seconds that are freed in a counter."""
        change = self.counters.get(counter_id)
        return () if change is None else change.freed

    def _add(self, snapshot: LedgerSnapshot, one: Settlement, debt_second: int) -> None:
        group, bit = one.claim.group, 1 << one.claim.index
        before = self.groups.get(group)
        if before is None:
            before = snapshot.groups.get(group) or 0
        if before & bit:
            return  # a duplicate in the same batch
        self.groups[group] = before | bit
        never_admitted = group in snapshot.groups and snapshot.groups.get(group) is None
        if never_admitted and not one.claim.uncounted:
            return  # marking it settled is what keeps a request that is still under way from admitting it
        for name in one.counter_ids:
            self._charge(name, snapshot.counter(name), one, debt_second)
        if one.usage is None:
            return
        item = _build_usage_item(one, one.usage)
        known = self.usages.get(item.id)
        self.usages[item.id] = item if known is None else _add_usage(known, item)
        spent = self.counters.setdefault(one.counter_ids[0], CounterChange()).spent
        for key in spending_keys(one.claim.second):
            spent[key] = spent.get(key, 0) + one.used_tokens

    def _charge(self, name: str, counter: WindowCounter | None, one: Settlement, debt_second: int) -> None:
        claim, used = one.claim, one.used_tokens
        change = self.counters.setdefault(name, CounterChange())
        if claim.uncounted:
            if one.usage is not None:
                change.add(debt_second, Amount(used, 1, used, 1))
            return
        if counter is not None and has_bucket(counter, claim.second):
            if one.usage is None:
                change.add(claim.second, Amount(tokens=-claim.tokens, requests=-1))
            else:
                within = min(used, claim.tokens)
                change.add(claim.second, Amount(tokens=within - claim.tokens, used=within, done=1))
        if used > claim.tokens:
            debt = used - claim.tokens
            change.add(debt_second, Amount(tokens=debt, used=debt))

    def _add_operations(self, snapshot: LedgerSnapshot) -> None:
        partition = snapshot.partition
        for group, bits in self.groups.items():
            item_id, known = LockGroup.id_of(group), snapshot.groups.get(group)
            if known is None and group in snapshot.groups:
                self.operations.append(partition.creating(LockGroup(id=item_id, settled=f"{bits:x}")))
            else:
                mark = PatchOperation("set", "/settled", f"{bits:x}")
                condition = f'c.settled = "{known or 0:x}"'
                self.operations.append(partition.patching(item_id, Patch((mark,), condition)))
        for name, change in self.counters.items():
            if change.amounts or change.spent:
                counter = snapshot.counter(name)
                change.freed = _find_backlog(counter, snapshot.earliest(), change)
                self.operations += build_operations(partition, name, counter, change)
        for item_id, item in self.usages.items():
            if item_id in snapshot.usages and snapshot.usages.get(item_id) is None:
                self.operations.append(partition.creating(item))
            else:
                self.operations.append(partition.patching(item_id, _build_usage_patch(item)))


def _find_backlog(counter: WindowCounter | None, time: float, change: CounterChange) -> list[int]:
    """Find the seconds that locks would long have freed: one batch must stay able to free them all."""
    expired = [] if counter is None else expired_seconds(counter, time)
    if len(expired) <= WINDOW_SECONDS:
        return []
    return [second for second in expired if second not in change.amounts][:WINDOW_SECONDS]


def _build_usage_item(settlement: Settlement, usage: Usage) -> UsageItem:
    # The lock's day, not the report's: it is the same whenever and wherever the report is repeated.
    day = datetime.fromtimestamp(settlement.claim.second, UTC).date()
    return build_usage_item(UsageKey(day, settlement.claim.model, settlement.app_id, settlement.user), usage)


def _add_usage(one: UsageItem, other: UsageItem) -> UsageItem:
    return one.model_copy(update={name: getattr(one, name) + getattr(other, name) for name in _COUNTS})


def _build_usage_patch(item: UsageItem) -> Patch:
    # An item from before a count was kept gets it by its first increment.
    return Patch(tuple(PatchOperation("incr", f"/{name}", getattr(item, name)) for name in _COUNTS))
