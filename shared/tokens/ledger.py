"""The token ledger: budgets that hold on any number of instances, on Cosmos alone.

docs/adr/0005-token-ledger.md argues why it is never over, whatever is killed or lost at which moment.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from typing import TYPE_CHECKING

from shared.contracts import MOST_TOKENS
from shared.cosmos.partition import Partition
from shared.errors import (
    DeadlineExceededError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    LockNotFoundError,
    ValidationError,
)
from shared.logging.logger import get_logger
from shared.resilience.deadlines import within_deadline
from shared.tokens.admission import Admitting, LockRequest
from shared.tokens.counters import TENANT_SCOPE
from shared.tokens.group_commit import GroupCommit
from shared.tokens.lock_ids import LockClaim, new_group
from shared.tokens.policy import FIXED
from shared.tokens.quota import Terms
from shared.tokens.settings import OnStoreFailure
from shared.tokens.settlement import Settlement, Settling
from shared.tokens.snapshot import Account, Pace
from shared.tokens.store_clock import StoreClock, StoreClocks
from shared.tokens.stored_models import APP_ID_PATTERN, LOCK_RECORD_SECONDS, Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.clock import Clock
    from shared.contracts import Usage
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from shared.tokens.limits import TenantLimits
    from shared.tokens.lock_ids import LockIds
    from shared.tokens.policy import LedgerPolicy
    from shared.tokens.stored_models import TokenStatus

MOST_TENANTS = 4096
"""So many tenants' accounts are remembered."""

_APP_ID = re.compile(APP_ID_PATTERN)
_LONGEST_MODEL_NAME = 128
_MOST_AT_ONCE = 1024
_logger = get_logger(__name__)


class TokenLedger:
    """What each tenant may use, in any 60 seconds, in a day and in a month, and what it used.

    Locks that wait in one process are taken together by one conditional write. A lock counts for 60 seconds,
    whatever becomes of its holder, unless it is released or its report puts what was used in its place.

    Args:
        container: The container `ledger`.
        lock_ids: Makes and reads the ids of locks.
        clock: The app's time; only its monotonic side decides anything.
        policy: What tenants have set.
        store_clock: Makes what learns a physical partition's time.
    """

    def __init__(
        self,
        container: Container,
        lock_ids: LockIds,
        clock: Clock,
        policy: LedgerPolicy = FIXED,
        store_clock: Callable[[], StoreClock] = StoreClock,
    ) -> None:
        self._container = container
        self._lock_ids = lock_ids
        self._clock = clock
        self._policy = policy
        self._store_clocks = StoreClocks(store_clock)
        self._pace = Pace()
        self._desks: OrderedDict[str, _Desk] = OrderedDict()

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:
        """Take tokens and one request out of the tenant's budget.

        Raises:
            TokenRateLimitError: They do not fit now; after its `retry_after`, alone, they do.
            TokenBudgetExhaustedError: Likewise, of the budget of a day or a month.
            ValidationError: An argument is malformed, or the lock is larger than a whole limit.
            DependencyUnavailableError: The store is down: nothing is admitted, unless the tenant's
                administrator has decided otherwise.
        """
        _check(app_id, tokens, model)
        # Asked for first: an outage that begins before this is known closes the ledger.
        on_store_failure = await self._policy.on_store_failure(tenant)
        try:
            return await self._lock(tenant, app_id, tokens, model)
        except (DependencyUnavailableError, DependencyTimeoutError) as error:
            if on_store_failure is OnStoreFailure.CLOSED:
                raise
            return self._uncounted(tenant, app_id, LockClaim(new_group(), 0, tokens, 0, model), error)

    async def report(
        self, tenant: TenantContext, app_id: str, lock_id: str, usage: Usage, *, user: str | None = None
    ) -> None:
        """Put what was used in the place of a lock, and add it to the usage; again, it changes nothing.

        Raises:
            ValidationError: More is reported than can be summed exactly.
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
            DependencyUnavailableError: The store is down; reporting again is safe.
        """
        _check_usage(usage)
        await self._settle(tenant, app_id, lock_id, usage, user)

    async def release(self, tenant: TenantContext, app_id: str, lock_id: str) -> None:
        """Give a lock back whole; again, or after its report, it changes nothing.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
            DependencyUnavailableError: The store is down; releasing again is safe.
        """
        await self._settle(tenant, app_id, lock_id)

    async def status(self, tenant: TenantContext, app_id: str) -> TokenStatus:
        """Tell what counts now against the limits that bound the application."""
        _check_app_id(app_id)
        shares = await self._policy.app_shares(tenant)
        account = self._desk(tenant).account
        await account.look(shares.scopes(app_id, "")[:2])
        await account.know_the_time()
        return Terms(account, tenant.tier, shares).standing(app_id)

    async def limits(self, tenant: TenantContext) -> TenantLimits:
        """Return the limits in force."""
        account = self._desk(tenant).account
        await account.look([TENANT_SCOPE])
        await account.know_the_time()
        return Terms(account, tenant.tier, await self._policy.app_shares(tenant)).limits

    async def _lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:
        desk = self._desk(tenant)
        future = asyncio.get_running_loop().create_future()
        desk.locks.submit(LockRequest(tokens, app_id, model, tenant.tier, self._clock.monotonic(), future))
        try:
            async with within_deadline("The token ledger"):
                taken = await future
        except (asyncio.CancelledError, DeadlineExceededError):
            if future.done() and not future.cancelled() and future.exception() is None:
                desk.settlements.submit(Settlement(future.result().claim, app_id))
            raise
        claim = taken.claim
        lock_id = self._lock_ids.issue(tenant.tenant_id, app_id, claim)
        return Lock(lock_id, tokens, claim.second, taken.left)

    def _uncounted(self, tenant: TenantContext, app_id: str, claim: LockClaim, error: Exception) -> Lock:
        """Let a call through while nothing can be counted; its report counts it later."""
        second = int(self._clock.now().timestamp())
        claim = LockClaim(claim.group, 0, claim.tokens, second, claim.model, uncounted=True)
        _logger.error(
            "A lock was admitted without being counted",
            extra={"tokens": claim.tokens, "app_id": app_id, "error": type(error).__name__},
        )
        return Lock(self._lock_ids.issue(tenant.tenant_id, app_id, claim), claim.tokens, second)

    async def _settle(
        self,
        tenant: TenantContext,
        app_id: str,
        lock_id: str,
        usage: Usage | None = None,
        user: str | None = None,
    ) -> None:
        desk = self._desk(tenant)
        claim = self._lock_ids.read(tenant.tenant_id, app_id, lock_id)
        await desk.account.know_the_time()
        if desk.account.latest() - claim.second > LOCK_RECORD_SECONDS:
            raise LockNotFoundError
        future = asyncio.get_running_loop().create_future()
        desk.settlements.submit(Settlement(claim, app_id, usage, user, future))
        await future

    def _desk(self, tenant: TenantContext) -> _Desk:
        desk = self._desks.get(tenant.tenant_id)
        if desk is None:
            partition = Partition.of(tenant, self._container)
            account = Account(partition, self._clock, self._store_clocks, self._pace)
            desk = _Desk(account, self._policy, tenant)
            self._desks[tenant.tenant_id] = desk
            if len(self._desks) > MOST_TENANTS:
                self._close_one()
        self._desks.move_to_end(tenant.tenant_id)
        return desk

    def _close_one(self) -> None:
        """Forget the tenant that was idle for longest."""
        idle = next((name for name, desk in self._desks.items() if desk.is_idle), None)
        if idle is not None:
            del self._desks[idle]


class _Desk:
    """Where one tenant's locks and settlements wait for their exchanges."""

    def __init__(self, account: Account, policy: LedgerPolicy, tenant: TenantContext) -> None:
        self.account = account
        settling = Settling(account)
        admitting = Admitting(account, settling, lambda: policy.app_shares(tenant))
        self.locks = GroupCommit(admitting.exchange, _MOST_AT_ONCE)
        self.settlements = GroupCommit(settling.exchange, _MOST_AT_ONCE)

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing waits."""
        return self.locks.is_idle and self.settlements.is_idle


def _check(app_id: str, tokens: int, model: str) -> None:
    _check_app_id(app_id)
    if tokens < 1:
        raise ValidationError("A lock takes at least one token", {"fields": {"token_count": "must be >= 1"}})
    if not model or len(model) > _LONGEST_MODEL_NAME or not model.isprintable():
        raise ValidationError(
            f"A model's name has 1 to {_LONGEST_MODEL_NAME} printable characters",
            {"fields": {"model": "malformed"}},
        )


def _check_usage(usage: Usage) -> None:
    """Refuse what only a model gone wrong reports: a sum that the store cannot hold is not read again."""
    for name in ("prompt_tokens", "completion_tokens"):
        if getattr(usage, name) > MOST_TOKENS:
            problem = f"must be <= {MOST_TOKENS}"
            raise ValidationError(f"Invalid usage: {name} {problem}", {"fields": {name: problem}})


def _check_app_id(app_id: str) -> None:
    if _APP_ID.fullmatch(app_id) is None:
        raise ValidationError(
            f"app_id must match {APP_ID_PATTERN}", {"fields": {"app_id": f"must match {APP_ID_PATTERN}"}}
        )
