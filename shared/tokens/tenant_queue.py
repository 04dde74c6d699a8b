"""Queue of one tenant's locks and settlements, which one exchange with the store at a time takes up."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

from shared.errors import DeadlineExceededError
from shared.logging.context import attribute_logs_to
from shared.resilience.deadlines import within_deadline
from shared.tokens.admission import LockAdmitter, PendingLock
from shared.tokens.errors import LockNotFoundError
from shared.tokens.group_commit import GroupCommit
from shared.tokens.settlement import LockSettler, Settlement
from shared.tokens.stored_models import LOCK_RECORD_SECONDS
from shared.tokens.unreported_locks import UnreportedLocks

if TYPE_CHECKING:
    from shared.contracts import Usage
    from shared.tenancy.context import TenantContext
    from shared.tokens.admission import AdmittedLock
    from shared.tokens.lock_ids import LockClaim
    from shared.tokens.policy import LedgerPolicy
    from shared.tokens.snapshot import LedgerSnapshot

_MOST_AT_ONCE = 1024


class TenantQueue:
    """Locks and settlements of one tenant that wait for their exchanges.

    Args:
        tenant: The tenant.
        snapshot: The tenant's ledger as it was last read.
        policy: The tenants' own settings.
    """

    def __init__(self, tenant: TenantContext, snapshot: LedgerSnapshot, policy: LedgerPolicy) -> None:
        self.snapshot = snapshot
        unreported = UnreportedLocks()
        settler = LockSettler(snapshot, unreported)
        admitter = LockAdmitter(snapshot, settler, unreported, lambda: policy.app_shares(tenant))
        # An exchange is nobody's request in particular, but this tenant's.
        context = Context()
        context.run(attribute_logs_to, tenant.tenant_id)
        self._locks = GroupCommit(admitter.admit, _MOST_AT_ONCE, context)
        self._settlements = GroupCommit(settler.settle, _MOST_AT_ONCE, context)

    async def lock(self, tier: str, app_id: str, tokens: int, model: str) -> AdmittedLock:
        """Wait until a lock is admitted; where the caller does not wait for it, release it.

        Raises:
            BudgetExceededError: It does not fit now.
            LockTooLargeError: It is larger than a whole limit.
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        future: asyncio.Future[AdmittedLock] = asyncio.get_running_loop().create_future()
        self._locks.submit(PendingLock(tokens, app_id, model, tier, self.snapshot.now(), future))
        try:
            async with within_deadline("The token ledger"):
                return await future
        except (asyncio.CancelledError, DeadlineExceededError):
            if future.done() and not future.cancelled() and future.exception() is None:
                self._settlements.submit(Settlement(future.result().claim, app_id))
            raise

    async def settle(
        self, claim: LockClaim, app_id: str, usage: Usage | None = None, user: str | None = None
    ) -> None:
        """Wait until a report, or without usage a release, is stored.

        Raises:
            LockNotFoundError: The lock is older than 24 hours, or nothing is stored of it.
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        await self.snapshot.sync_clock()
        if self.snapshot.latest() - claim.second > LOCK_RECORD_SECONDS:
            raise LockNotFoundError
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settlements.submit(Settlement(claim, app_id, usage, user, future))
        await future
