"""The token ledger as applications use it, over the routes or in process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.contracts import Usage
from shared.errors import RateLimitError
from shared.tokens.api_models import LockReply, SettledReply

if TYPE_CHECKING:
    from shared.tenancy.context import TenantContext
    from shared.tokens.api_models import LockRequest, ReleaseRequest, ReportRequest
    from shared.tokens.stored_models import Lock, TokenStatus


class Ledger(Protocol):
    """Operations of the token ledger that applications' calls need."""

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:
        """Take tokens out of the budget.

        Raises:
            RateLimitError: It does not admit them now.
        """
        ...

    async def report(
        self, tenant: TenantContext, app_id: str, lock_id: str, usage: Usage, *, user: str | None = None
    ) -> None:
        """Put what was used in the place of a lock."""
        ...

    async def release(self, tenant: TenantContext, app_id: str, lock_id: str) -> None:
        """Give a lock back whole."""
        ...

    async def status(self, tenant: TenantContext, app_id: str) -> TokenStatus:
        """Tell what counts now."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """Answer to a lock, and the status right after; `retry_after` is in seconds, None if admitted."""

    reply: LockReply
    status: TokenStatus
    retry_after: float | None = None


class TokenService:
    """One tenant's token budgets.

    Args:
        tenant: The tenant.
        ledger: The token ledger.
        model: The model to lock for where a request names none.
    """

    def __init__(self, tenant: TenantContext, ledger: Ledger, model: str) -> None:
        self._tenant = tenant
        self._ledger = ledger
        self._model = model

    async def lock(self, request: LockRequest) -> Decision:
        """Take tokens and one request out of the budget, or tell why not and when to come back."""
        app_id, model = request.app_id, request.model or self._model
        try:
            lock = await self._ledger.lock(self._tenant, app_id, request.token_count, model)
        except RateLimitError as refusal:
            reply = LockReply(allowed=False, request_id=None, message=refusal.message)
            return Decision(reply, await self.status(app_id), refusal.retry_after or 1.0)
        status = lock.status or await self.status(app_id)
        return Decision(LockReply(allowed=True, request_id=lock.lock_id, message="Locked"), status)

    async def report(self, request: ReportRequest) -> SettledReply:
        """Put what was used in the place of a lock; again, it changes nothing.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
            PermissionDeniedError: A user's token names another user.
        """
        usage = Usage(
            prompt_tokens=request.prompt_tokens,
            cached_tokens=request.cached_tokens,
            completion_tokens=request.completion_tokens,
            reasoning_tokens=request.reasoning_tokens,
            total_tokens=request.prompt_tokens + request.completion_tokens,
        )
        user = self._tenant.user_named(request.user_id)
        await self._ledger.report(self._tenant, request.app_id, request.request_id, usage, user=user)
        return SettledReply(success=True)

    async def release(self, request: ReleaseRequest) -> SettledReply:
        """Give a lock back whole; again, or after its report, it changes nothing.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
        """
        await self._ledger.release(self._tenant, request.app_id, request.request_id)
        return SettledReply(success=True)

    async def status(self, app_id: str) -> TokenStatus:
        """Tell what counts now against the limits that bound the application."""
        return await self._ledger.status(self._tenant, app_id)
