"""Admission of locks: one transactional batch adds them to all of their counters, or to none.

The batch begins with the group item of the locks, which can be created once: a request that is repeated
because its answer was lost finds it, and is not done twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.cosmos.container import BatchFailedError, BatchFailure
from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from shared.logging.logger import get_logger
from shared.tokens.counters import ROOT_COUNTERS, TENANT_COUNTER, build_operations
from shared.tokens.lock_ids import LockClaim, new_group
from shared.tokens.quota import Quota, is_pooled
from shared.tokens.retry_after import refuse_lock
from shared.tokens.settlement import Settlement
from shared.tokens.stored_models import LockGroup

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from shared.cosmos.container import BatchOperation
    from shared.errors import APIError
    from shared.tokens.headroom import Headroom
    from shared.tokens.quota import AppShares
    from shared.tokens.settlement import LockSettler
    from shared.tokens.snapshot import LedgerSnapshot
    from shared.tokens.stored_models import TokenStatus
    from shared.tokens.unreported_locks import UnreportedLocks

_MOST_OPERATIONS = 100
_MOST_ROUNDS = 32
_MOST_LATE = 3
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AdmittedLock:
    """A lock that was admitted, and the tenant's status right after it."""

    claim: LockClaim
    status: TokenStatus


@dataclass(frozen=True, slots=True)
class RefusedLock:
    """A lock that a budget of a day or a month refused, with the store's second to charge it to.

    Attributes:
        pooled: Whether it was the budget of embeddings.
    """

    tokens: int
    second: float
    pooled: bool = False


@dataclass(frozen=True, slots=True)
class PendingLock:
    """A lock that a caller waits for.

    Attributes:
        tier: The tenant's tier.
        arrived: When it was asked for, on the monotonic clock.
    """

    tokens: int
    app_id: str
    model: str
    tier: str
    arrived: float
    future: asyncio.Future[AdmittedLock]

    def fail(self, error: BaseException) -> None:
        """Tell the waiting caller that it is not admitted."""
        if not self.future.done():
            self.future.set_exception(error)


class LockAdmitter:
    """Admits the locks of one tenant.

    Args:
        snapshot: The tenant's ledger as it was last read.
        settler: Releases what was admitted for nobody.
        unreported: Log of locks that expired without a report.
        shares: Reads the shares of the tenant's applications.
    """

    def __init__(
        self,
        snapshot: LedgerSnapshot,
        settler: LockSettler,
        unreported: UnreportedLocks,
        shares: Callable[[], Awaitable[AppShares]],
    ) -> None:
        self._snapshot = snapshot
        self._settler = settler
        self._unreported = unreported
        self._shares = shares

    async def admit(self, locks: Sequence[PendingLock]) -> None:
        """Admit in order of arrival the locks that fit, refuse the others.

        Raises:
            DependencyUnavailableError: The store is down, too slow or contended: nothing is admitted.
            DependencyTimeoutError: It did not answer in time: nothing is admitted.
        """
        snapshot = self._snapshot
        waiting = [lock for lock in locks if not lock.future.done()]
        late = 0
        shares = await self._shares()
        await self._settler.release_unconfirmed()
        for _ in range(_MOST_ROUNDS):
            if not waiting:
                return
            needed = {name for one in waiting for name in shares.counter_ids(one.app_id, one.model)}
            needed.add(TENANT_COUNTER)  # it has the limits of them all
            await snapshot.refresh(name for name in needed if name not in snapshot.counters)
            await snapshot.sync_clock()  # which the refresh may have done: another tenant's answers know it
            plan = _AdmissionPlan.of(snapshot, waiting, shares)
            if not plan.admitted:
                waiting = await self._refuse_fresh(plan, waiting)
            elif await self._check_and_update(plan):
                if snapshot.latest() <= plan.quota.second:
                    await self._resolve(plan)
                    waiting = plan.rest
                    continue
                # It took so long that the locks may count for less than 60 s from now: they are not admitted.
                late += 1
                _logger.warning("The ledger's store was slow to admit", extra={"locks": len(plan.admitted)})
                await self._settler.release_unclaimed(plan.as_released())
                if late == _MOST_LATE:
                    raise DependencyUnavailableError("The token ledger", "is too slow")
        raise DependencyUnavailableError("The token ledger", "is contended")

    async def _check_and_update(self, plan: _AdmissionPlan) -> bool:
        """Write the plan if its conditions hold; tell whether it is done."""
        roots = {name: self._snapshot.counter(name) for name in ROOT_COUNTERS}
        try:
            await self._snapshot.write(plan.operations)
        except BatchFailedError as error:
            await self._snapshot.refresh(plan.counter_ids)
            return (
                error.index == 0 and error.reason is BatchFailure.EXISTS
            )  # done before, the answer was lost
        except (DependencyUnavailableError, DependencyTimeoutError):
            self._settler.note_unconfirmed(plan.as_released())
            raise
        for name in ROOT_COUNTERS:
            self._unreported.record(roots[name], plan.freed_of.get(name, ()), self._snapshot.now())
        return True

    async def _resolve(self, plan: _AdmissionPlan) -> None:
        """Hand the locks to their callers; release those whose caller has gone away."""
        self._snapshot.groups[plan.group] = 0
        quota = Quota(self._snapshot, plan.admitted[-1].tier, plan.quota.shares)
        statuses: dict[str, TokenStatus] = {}
        abandoned = []
        for claim, lock in zip(plan.claims(), plan.admitted, strict=True):
            if lock.app_id not in statuses:
                statuses[lock.app_id] = quota.window_stats(lock.app_id)
            if lock.future.done():
                abandoned.append(Settlement(claim, lock.app_id))
            else:
                lock.future.set_result(AdmittedLock(claim, statuses[lock.app_id]))
        if abandoned:
            await self._settler.release_unclaimed(abandoned)

    async def _refuse_fresh(self, plan: _AdmissionPlan, waiting: Sequence[PendingLock]) -> list[PendingLock]:
        """Refuse the locks whose counters were read after they came; read and return the others."""
        stale = []
        for lock in waiting:
            if self._snapshot.is_fresh(plan.counter_ids_of(lock), lock.arrived):
                lock.fail(plan.refuse(lock))
            else:
                stale.append(lock)
        if stale:
            await self._snapshot.refresh({name for lock in stale for name in plan.counter_ids_of(lock)})
        return stale


class _AdmissionPlan:
    """Locks that fit by the counters as they were read, and the batch that adds them if that still holds.

    Args:
        snapshot: The counters as they were read.
        locks: The locks that wait, in order of arrival.
        shares: The shares of the tenant's applications.
        most_counters: The most counters that the batch may touch.
    """

    def __init__(
        self, snapshot: LedgerSnapshot, locks: Sequence[PendingLock], shares: AppShares, most_counters: int
    ) -> None:
        self._snapshot = snapshot
        self.quota = Quota(snapshot, locks[-1].tier, shares)
        self.group = new_group()
        self.admitted: list[PendingLock] = []
        self.rest: list[PendingLock] = []
        self.quota.of_tenant()
        self.counter_ids: set[str] = {TENANT_COUNTER}
        self.freed_of: dict[str, Sequence[int]] = {}
        for lock in locks:
            if self._hit(lock, most_counters):
                self.admitted.append(lock)
            else:
                self.rest.append(lock)
        self.operations = self._build_operations()

    @classmethod
    def of(cls, snapshot: LedgerSnapshot, locks: Sequence[PendingLock], shares: AppShares) -> _AdmissionPlan:
        """Plan for as many of the locks as one batch holds."""
        most_counters = _MOST_OPERATIONS
        while len((plan := cls(snapshot, locks, shares, most_counters)).operations) > _MOST_OPERATIONS:
            most_counters //= 2
        return plan

    def claims(self) -> list[LockClaim]:
        """Return the claims of the admitted locks."""
        return [
            LockClaim(
                self.group,
                index,
                lock.tokens,
                self.quota.second,
                lock.model,
                shares_app_scope=self.quota.shares.are_common_for(lock.app_id),
                pooled=is_pooled(lock.app_id),
            )
            for index, lock in enumerate(self.admitted)
        ]

    def as_released(self) -> list[Settlement]:
        """Return the settlements that release all of them."""
        pairs = zip(self.claims(), self.admitted, strict=True)
        return [Settlement(claim, lock.app_id) for claim, lock in pairs]

    def counter_ids_of(self, lock: PendingLock) -> set[str]:
        """Return the ids of the counters that a lock counts in, and of the tenant's, which has the limits."""
        return {TENANT_COUNTER, *self.quota.shares.counter_ids(lock.app_id, lock.model)}

    def refuse(self, lock: PendingLock) -> APIError:
        """Build the error of a lock that is not admitted."""
        headrooms, quota = self._headrooms(lock), self.quota
        return refuse_lock(lock.tokens, headrooms, quota.largest_lock(headrooms), quota.time)

    def _hit(self, lock: PendingLock, most_counters: int) -> bool:
        """Count a lock in all of its counters if it fits; tell whether it does."""
        headrooms = self._headrooms(lock)
        counter_ids = self.counter_ids.union(self.counter_ids_of(lock))
        if not self.quota.test(lock.tokens, headrooms) or len(counter_ids) > most_counters:
            return False
        self.counter_ids = counter_ids
        for headroom in headrooms:
            headroom.hit(lock.tokens)
        return True

    def _headrooms(self, lock: PendingLock) -> tuple[Headroom, ...]:
        return self.quota.of_lock(lock.app_id, lock.model)

    def _build_operations(self) -> list[BatchOperation]:
        partition = self._snapshot.partition
        found = [partition.creating(LockGroup(id=LockGroup.id_of(self.group)))]
        for name in sorted(self.counter_ids):
            change = self.quota.headrooms[name].build_change(self.quota.second)
            self.freed_of[name] = change.freed
            found += build_operations(partition, name, self._snapshot.counter(name), change)
        return found
