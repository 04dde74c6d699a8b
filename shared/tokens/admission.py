"""Admit waiting locks: one transactional batch takes them out of all of their scopes, or out of none.

The batch begins with the group item of the locks, which can be created once: a request that is repeated
because its answer was lost finds it, and is not done twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.cosmos.container import BatchFailedError
from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from shared.logging.logger import get_logger
from shared.tokens.counters import operations
from shared.tokens.lock_ids import LockClaim, new_group
from shared.tokens.quota import Terms
from shared.tokens.settlement import Settlement
from shared.tokens.stored_models import LockGroup

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from shared.cosmos.container import BatchOperation
    from shared.errors import APIError
    from shared.tokens.headroom import Room
    from shared.tokens.quota import AppShares
    from shared.tokens.settlement import Settling
    from shared.tokens.snapshot import Account
    from shared.tokens.stored_models import TokenStatus

_CONFLICT = 409
_MOST_OPERATIONS = 100
_MOST_ROUNDS = 32
_MOST_LATE = 3
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A lock that was admitted, and how its budget stood then."""

    claim: LockClaim
    left: TokenStatus


@dataclass(frozen=True, slots=True)
class LockRequest:
    """A lock that somebody waits for.

    Attributes:
        tier: The tenant's tier.
        arrived: When it was asked for, on the monotonic clock.
    """

    tokens: int
    app_id: str
    model: str
    tier: str
    arrived: float
    future: asyncio.Future[Taken]

    def fail(self, error: BaseException) -> None:
        """Tell who waits that it is not admitted."""
        if not self.future.done():
            self.future.set_exception(error)


class Admitting:
    """Admits the locks of one tenant."""

    def __init__(
        self, account: Account, settling: Settling, shares: Callable[[], Awaitable[AppShares]]
    ) -> None:
        self._account = account
        self._settling = settling
        self._shares = shares

    async def exchange(self, requests: Sequence[LockRequest]) -> None:
        """Admit in order of arrival what fits, refuse the rest.

        Raises:
            DependencyUnavailableError: The store is down: nothing is admitted.
        """
        account = self._account
        waiting = [request for request in requests if not request.future.done()]
        late = 0
        shares = await self._shares()
        await self._settling.clear_doubts()
        for _ in range(_MOST_ROUNDS):
            if not waiting:
                return
            scopes = {name for one in waiting for name in shares.scopes(one.app_id, one.model)}
            await account.look(name for name in scopes if name not in account.scopes)
            await account.know_the_time()  # which the look may have told: another tenant's answers know it
            plan = _Plan.of(account, waiting, shares)
            if not plan.admitted:
                waiting = await self._refuse(plan, waiting)
            elif await self._write(plan):
                if account.latest() <= plan.terms.second:
                    await self._answer(plan)
                    waiting = plan.rest
                    continue
                # It took so long that the locks may count for less than 60 s from now: they are not admitted.
                late += 1
                _logger.warning("The ledger's store was slow to admit", extra={"locks": len(plan.admitted)})
                await self._settling.give_back(plan.as_given_back())
                if late == _MOST_LATE:
                    raise DependencyUnavailableError("The token ledger", "is too slow")
        raise DependencyUnavailableError("The token ledger", "is contended")

    async def _write(self, plan: _Plan) -> bool:
        """Write what was planned once; tell whether it is done."""
        try:
            await self._account.write(plan.operations)
        except BatchFailedError as error:
            await self._account.look(plan.scopes)
            return error.index == 0 and error.cause_status == _CONFLICT  # done before, the answer was lost
        except (DependencyUnavailableError, DependencyTimeoutError):
            self._settling.doubt(plan.as_given_back())
            raise
        return True

    async def _answer(self, plan: _Plan) -> None:
        self._account.groups.put(plan.group, 0)
        now = Terms(self._account, plan.admitted[-1].tier, plan.terms.shares)
        standings: dict[str, TokenStatus] = {}
        abandoned = []
        for claim, request in zip(plan.claims(), plan.admitted, strict=True):
            if request.app_id not in standings:
                standings[request.app_id] = now.standing(request.app_id)
            if request.future.done():
                abandoned.append(Settlement(claim, request.app_id))
            else:
                request.future.set_result(Taken(claim, standings[request.app_id]))
        if abandoned:
            await self._settling.give_back(abandoned)

    async def _refuse(self, plan: _Plan, waiting: Sequence[LockRequest]) -> list[LockRequest]:
        """Refuse those who came before the scopes were looked at; look, and return the others."""
        stale = []
        for request in waiting:
            if not self._account.seen_since(plan.scopes_of(request), request.arrived):
                stale.append(request)
            else:
                request.fail(plan.refusal(request))
        if stale:
            await self._account.look({name for request in stale for name in plan.scopes_of(request)})
        return stale


class _Plan:
    """Which locks are admitted by what was seen of the scopes, and the batch that takes them if that holds.

    Args:
        account: What was seen.
        requests: The locks that wait, in order of arrival.
        shares: What bounds the tenant's applications.
        most_scopes: The most scopes that the batch may touch.
    """

    def __init__(
        self, account: Account, requests: Sequence[LockRequest], shares: AppShares, most_scopes: int
    ) -> None:
        self._account = account
        self.terms = Terms(account, requests[-1].tier, shares)
        self.group = new_group()
        self.admitted: list[LockRequest] = []
        self.rest: list[LockRequest] = []
        self.scopes: set[str] = set()
        for request in requests:
            if self._takes(request, most_scopes):
                self.admitted.append(request)
            else:
                self.rest.append(request)
        self.operations = self._operations()

    @classmethod
    def of(cls, account: Account, requests: Sequence[LockRequest], shares: AppShares) -> _Plan:
        """Plan for as many of the locks as one batch takes."""
        most_scopes = _MOST_OPERATIONS
        while len((plan := cls(account, requests, shares, most_scopes)).operations) > _MOST_OPERATIONS:
            most_scopes //= 2
        return plan

    def claims(self) -> list[LockClaim]:
        """Say what is admitted."""
        return [
            LockClaim(
                self.group,
                index,
                request.tokens,
                self.terms.second,
                request.model,
                shares_app_scope=self.terms.shares.are_common_for(request.app_id),
            )
            for index, request in enumerate(self.admitted)
        ]

    def as_given_back(self) -> list[Settlement]:
        """Describe how all of it is taken back."""
        pairs = zip(self.claims(), self.admitted, strict=True)
        return [Settlement(claim, request.app_id) for claim, request in pairs]

    def scopes_of(self, request: LockRequest) -> tuple[str, str, str]:
        """Return what a lock counts against."""
        return self.terms.shares.scopes(request.app_id, request.model)

    def refusal(self, request: LockRequest) -> APIError:
        """Say why a lock is not admitted."""
        return self.terms.refusal(request.tokens, self._rooms(request))

    def _takes(self, request: LockRequest, most_scopes: int) -> bool:
        rooms = self._rooms(request)
        scopes = self.scopes.union(self.scopes_of(request))
        if not self.terms.fits(request.tokens, rooms) or len(scopes) > most_scopes:
            return False
        self.scopes = scopes
        for room in rooms:
            room.take(request.tokens)
        return True

    def _rooms(self, request: LockRequest) -> tuple[Room, ...]:
        return self.terms.of_lock(request.app_id, request.model)

    def _operations(self) -> list[BatchOperation]:
        partition = self._account.partition
        found = [partition.creating(LockGroup(id=LockGroup.id_of(self.group)))]
        for name in sorted(self.scopes):
            change = self.terms.rooms[name].change(self.terms.second)
            found += operations(partition, name, self._account.scope(name), change)
        return found
