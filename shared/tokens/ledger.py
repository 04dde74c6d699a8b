"""The token ledger: budgets that hold on any number of instances, on Cosmos alone.

docs/adr/0005-token-ledger.md argues why it is never over, whatever is killed or lost at which moment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

from shared.contracts import MOST_TOKENS
from shared.cosmos.partition import Partition
from shared.errors import DependencyTimeoutError, DependencyUnavailableError, ValidationError
from shared.logging.logger import get_logger
from shared.tokens.admission import RefusedLock
from shared.tokens.counters import TENANT_COUNTER
from shared.tokens.errors import TokenBudgetExhaustedError
from shared.tokens.lock_ids import LockClaim, new_group
from shared.tokens.policy import FIXED
from shared.tokens.quota import Quota, is_pooled
from shared.tokens.settings import OnStoreFailure
from shared.tokens.snapshot import ExchangeLatency, LedgerSnapshot
from shared.tokens.store_clock import StoreClock, StoreClocks
from shared.tokens.stored_models import APP_ID_PATTERN, Lock
from shared.tokens.tenant_queue import TenantQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.clock import Clock
    from shared.contracts import Usage
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from shared.tokens.limits import TenantLimits
    from shared.tokens.lock_ids import LockIds
    from shared.tokens.policy import LedgerPolicy
    from shared.tokens.stored_models import TokenStatus

MOST_TENANTS = 4096
"""The most tenants whose ledgers one process remembers."""

_APP_ID = re.compile(APP_ID_PATTERN)
_LONGEST_MODEL_NAME = 128
_logger = get_logger(__name__)


async def _ignore(_: TenantContext, __: RefusedLock) -> None:
    """Do nothing about a budget that is used up."""


@dataclass(frozen=True, slots=True)
class LedgerHooks:
    """Callbacks of a ledger.

    Attributes:
        store_clock: Makes the clock of a physical partition.
        on_exhausted: Hears of each lock that the budget of a day or a month refused, before its caller does.
            An error that it raises takes the place of the refusal.
    """

    store_clock: Callable[[], StoreClock] = StoreClock
    on_exhausted: Callable[[TenantContext, RefusedLock], Awaitable[None]] = _ignore


NO_HOOKS = LedgerHooks()


class TokenLedger:
    """Token budgets of all tenants, over any 60 seconds, a day and a month, and the usage.

    Locks that wait in one process are admitted together by one conditional write. A lock counts for 60
    seconds, whatever becomes of its holder, unless it is released or its report takes its place.

    Args:
        container: The container `ledger`.
        lock_ids: Makes and reads the ids of locks.
        clock: The app's time; only its monotonic side decides anything.
        policy: The tenants' own settings.
        hooks: Callbacks.
    """

    def __init__(
        self,
        container: Container,
        lock_ids: LockIds,
        clock: Clock,
        policy: LedgerPolicy = FIXED,
        hooks: LedgerHooks = NO_HOOKS,
    ) -> None:
        self._container = container
        self._lock_ids = lock_ids
        self._clock = clock
        self._policy = policy
        self._on_exhausted = hooks.on_exhausted
        self._store_clocks = StoreClocks(hooks.store_clock)
        self._latency = ExchangeLatency()
        # One that is forgotten while something waits in it finishes that; two of a tenant are two instances.
        self._queues: LRUCache[str, TenantQueue] = LRUCache(MOST_TENANTS)

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:
        """Take tokens and one request out of the tenant's budget.

        Raises:
            TokenRateLimitError: They do not fit now; after its `retry_after`, alone, they do.
            TokenBudgetExhaustedError: Likewise, of the budget of a day or a month.
            LockTooLargeError: The lock is larger than a whole limit.
            ValidationError: An argument is malformed.
            DependencyUnavailableError: The store is down: nothing is admitted, unless the tenant's
                administrator has decided otherwise.
            DependencyTimeoutError: Likewise, it did not answer in time.
        """
        _require_valid_lock(app_id, tokens, model)
        # Asked for first: an outage that begins before this is known closes the ledger.
        on_store_failure = await self._policy.on_store_failure(tenant)
        queue = self._queue(tenant)
        try:
            admitted = await queue.lock(tenant.tier, app_id, tokens, model)
        except TokenBudgetExhaustedError:
            second = queue.snapshot.charging_second()
            await self._on_exhausted(tenant, RefusedLock(tokens, second, is_pooled(app_id)))
            raise
        except (DependencyUnavailableError, DependencyTimeoutError) as error:
            if on_store_failure is OnStoreFailure.CLOSED:
                raise
            second = int(self._clock.now().timestamp())
            claim = LockClaim(new_group(), 0, tokens, second, model, uncounted=True, pooled=is_pooled(app_id))
            return self._admit_uncounted(tenant, app_id, claim, error)
        claim = admitted.claim
        lock_id = self._lock_ids.issue(tenant.tenant_id, app_id, claim)
        return Lock(lock_id, tokens, claim.second, admitted.status)

    async def report(
        self, tenant: TenantContext, app_id: str, lock_id: str, usage: Usage, *, user: str | None = None
    ) -> None:
        """Put what was used in the place of a lock, and add it to the usage; again, it changes nothing.

        Raises:
            ValidationError: More is reported than can be summed exactly.
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
            DependencyUnavailableError: The store is down; reporting again is safe.
            DependencyTimeoutError: Likewise, it did not answer in time.
        """
        _require_valid_usage(usage)
        claim = self._lock_ids.read(tenant.tenant_id, app_id, lock_id)
        await self._queue(tenant).settle(claim, app_id, usage, user)

    async def release(self, tenant: TenantContext, app_id: str, lock_id: str) -> None:
        """Give a lock back whole; again, or after its report, it changes nothing.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
            DependencyUnavailableError: The store is down; releasing again is safe.
            DependencyTimeoutError: Likewise, it did not answer in time.
        """
        claim = self._lock_ids.read(tenant.tenant_id, app_id, lock_id)
        await self._queue(tenant).settle(claim, app_id)

    async def status(self, tenant: TenantContext, app_id: str) -> TokenStatus:
        """Return the counts and the headroom of an application, over the last 60 seconds.

        Raises:
            ValidationError: The application's id is malformed.
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        _require_valid_app_id(app_id)
        shares = await self._policy.app_shares(tenant)
        snapshot = self._queue(tenant).snapshot
        await snapshot.refresh({TENANT_COUNTER, *shares.counter_ids(app_id, "")[:2]})
        await snapshot.sync_clock()
        return Quota(snapshot, tenant.tier, shares).window_stats(app_id)

    async def limits(self, tenant: TenantContext) -> TenantLimits:
        """Return the limits in force.

        Raises:
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        snapshot = self._queue(tenant).snapshot
        await snapshot.refresh([TENANT_COUNTER])
        await snapshot.sync_clock()
        return Quota(snapshot, tenant.tier, await self._policy.app_shares(tenant)).limits

    def _admit_uncounted(
        self, tenant: TenantContext, app_id: str, claim: LockClaim, error: Exception
    ) -> Lock:
        """Let a call through while nothing can be counted; its report counts it later."""
        _logger.error(
            "A lock was admitted without being counted",
            extra={"tokens": claim.tokens, "app_id": app_id, "error": type(error).__name__},
        )
        return Lock(self._lock_ids.issue(tenant.tenant_id, app_id, claim), claim.tokens, claim.second)

    def _queue(self, tenant: TenantContext) -> TenantQueue:
        queue = self._queues.get(tenant.tenant_id)
        if queue is None:
            partition = Partition.of(tenant, self._container)
            snapshot = LedgerSnapshot(partition, self._clock, self._store_clocks, self._latency)
            queue = self._queues[tenant.tenant_id] = TenantQueue(tenant, snapshot, self._policy)
        return queue


def _require_valid_lock(app_id: str, tokens: int, model: str) -> None:
    _require_valid_app_id(app_id)
    if tokens < 1:
        raise ValidationError("A lock takes at least one token", {"fields": {"token_count": "must be >= 1"}})
    if not model or len(model) > _LONGEST_MODEL_NAME or not model.isprintable():
        raise ValidationError(
            f"A model's name has 1 to {_LONGEST_MODEL_NAME} printable characters",
            {"fields": {"model": "malformed"}},
        )


def _require_valid_usage(usage: Usage) -> None:
    """Refuse what only a model gone wrong reports: a sum that the store cannot hold is not read again."""
    for name in ("prompt_tokens", "completion_tokens"):
        if getattr(usage, name) > MOST_TOKENS:
            problem = f"must be <= {MOST_TOKENS}"
            raise ValidationError(f"Invalid usage: {name} {problem}", {"fields": {name: problem}})
    for part, whole in (("cached_tokens", "prompt_tokens"), ("reasoning_tokens", "completion_tokens")):
        if getattr(usage, part) > getattr(usage, whole):
            problem = f"must be <= {whole}"
            raise ValidationError(f"Invalid usage: {part} {problem}", {"fields": {part: problem}})


def _require_valid_app_id(app_id: str) -> None:
    if _APP_ID.fullmatch(app_id) is None:
        raise ValidationError(
            f"app_id must match {APP_ID_PATTERN}", {"fields": {"app_id": f"must match {APP_ID_PATTERN}"}}
        )
