"""`TokenClient` over the ledger of this process; its errors are the app's own, which the edges know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import ValidationError
from shared.resilience.deadlines import remaining_seconds
from shared.tenancy.context import ambient_tenant
from shared.tokens.service import TokenService
from tenantry_client.errors import InvalidRequestError
from tenantry_client.token_client import TokenClient, build_request
from tenantry_client.token_models import LockRequest, ReleaseRequest, ReportRequest, TokenRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.tenancy.context import TenantContext
    from shared.tokens.service import Ledger
    from tenantry_client.token_models import LockReply, SettledReply, TokenStatus, UsedTokens


class LedgerTransport:
    """The ledger of this process.

    Args:
        ledger: The ledger.
        model: Locked for where a call names no model.
        tenant: Whose budget it is; None for the ambient tenant of each call.
    """

    def __init__(self, ledger: Ledger, model: str, tenant: TenantContext | None = None) -> None:
        self._ledger = ledger
        self._model = model
        self._tenant = tenant

    async def lock(self, app_id: str, token_count: int, model: str | None) -> LockReply:
        """Ask for a lock.

        Raises:
            ValueError: There is no tenant.
            ValidationError: The routes would refuse such a request.
            DependencyUnavailableError: The store is down: nothing is admitted.
        """
        request = _build(lambda: LockRequest(app_id=app_id, token_count=token_count, model=model))
        return (await self._service().lock(request)).reply

    async def report(
        self, app_id: str, request_id: str, used: UsedTokens, user_id: str | None
    ) -> SettledReply:
        """Put what was used in the place of a lock.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
        """
        request = _build(lambda: ReportRequest.of(app_id, request_id, used, user_id))
        return await self._service().report(request)

    async def release(self, app_id: str, request_id: str) -> SettledReply:
        """Give a lock back whole.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
        """
        request = _build(lambda: ReleaseRequest(app_id=app_id, request_id=request_id))
        return await self._service().release(request)

    async def status(self, app_id: str) -> TokenStatus:
        """Tell what counts now."""
        return await self._service().status(_build(lambda: TokenRequest(app_id=app_id)).app_id)

    async def open(self) -> None:
        """Nothing to open: the ledger is the composition root's."""

    async def close(self) -> None:
        """Nothing to close."""

    def _service(self) -> TokenService:
        return TokenService(self._tenant or ambient_tenant(), self._ledger, self._model)


class LedgerTokenClient(TokenClient):
    """`TokenClient` for code inside the app.

    Args:
        app_id: The tenant's application that calls.
        transport: The ledger.
    """

    def __init__(self, app_id: str, transport: LedgerTransport) -> None:
        super().__init__(app_id, transport=transport)

    def remaining_seconds(self) -> float | None:
        """Return how long the work at hand may still take, so that no wait for a window outlasts it."""
        return remaining_seconds()


def _build[M: TokenRequest](build: Callable[[], M]) -> M:
    try:
        return build_request(build)
    except InvalidRequestError as error:
        message, detail = error.message, error.detail
    raise ValidationError(message, detail)
