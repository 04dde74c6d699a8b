"""`TokenClient`: the token counter as the common library's document describes it, over one of two transports.

Inside this app it speaks to the ledger at once (`Runtime.token_client`); other apps speak to it over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from shared.logging.logger import get_logger
from shared.tenancy.context import ambient_tenant
from shared.tokens.api_models import LockRequest, ReleaseRequest, ReportRequest, TokenRequest, checked
from shared.tokens.service import TokenService

if TYPE_CHECKING:
    from types import TracebackType

    from shared.tenancy.context import TenantContext
    from shared.tokens.api_models import LockReply, SettledReply
    from shared.tokens.service import Ledger
    from shared.tokens.stored_models import TokenStatus

_logger = get_logger(__name__)


class LockOutcome(NamedTuple):
    """What `lock_tokens` tells: the lock's id, or why there is none."""

    allowed: bool
    request_id: str | None
    error: str | None


class TokenTransport(Protocol):
    """The way to a ledger."""

    async def lock(self, request: LockRequest) -> LockReply:
        """Ask for a lock; a budget that does not admit it is an answer, not an error."""
        ...

    async def report(self, request: ReportRequest) -> SettledReply:
        """Put what was used in the place of a lock."""
        ...

    async def release(self, request: ReleaseRequest) -> SettledReply:
        """Give a lock back whole."""
        ...

    async def status(self, request: TokenRequest) -> TokenStatus:
        """Tell what counts now."""
        ...

    async def open(self) -> None:
        """Keep what calls need open until `close`."""
        ...

    async def close(self) -> None:
        """Close what was opened."""
        ...


class TokenClient:
    """One application's access to the token budget of its tenant.

    All counts are positive integers. A budget that does not admit a lock is told by its result; what else can
    go wrong is raised, and a ledger that cannot be reached has admitted nothing. In an `async with` block the
    connections are kept between calls; without one, each call closes what it opened.

    Args:
        app_id: The tenant's application that calls.
        base_url: Where the token counter is served, such as `http://token-counter:8000`.
        resource_uri: The application that Azure AD issues tokens for, where `use_auth` is set.
        use_auth: Authenticate with Azure AD instead of the key in the setting `TOKEN_COUNTER_KEY`.
        transport: The way to the ledger, instead of HTTP to `base_url`.

    Raises:
        ValueError: The arguments name no way to a ledger, or two.
    """

    def __init__(
        self,
        app_id: str,
        base_url: str | None = None,
        resource_uri: str | None = None,
        use_auth: bool = False,  # noqa: FBT001, FBT002  # the document's signature
        transport: TokenTransport | None = None,
    ) -> None:
        if (base_url is None) == (transport is None):
            raise ValueError("a base_url or a transport is required, and not both")
        if use_auth and not resource_uri:
            raise ValueError("use_auth needs the resource_uri that tokens are issued for")
        self._app_id = app_id
        if transport is None:
            transport = _over_http(base_url or "", resource_uri if use_auth else None)
        self._transport = transport

    async def lock_tokens(self, token_count: int, model: str | None = None) -> LockOutcome:
        """Ask for a part of the budget; unpack the answer as `allowed, request_id, error`.

        Args:
            token_count: What the call may use at most, prompt and completion together.
            model: What will be called; the token counter's own model where it is not said.

        Raises:
            ValidationError: An argument is malformed, or larger than any budget of the tenant.
            AuthenticationError: The token counter does not know the credential.
            DependencyUnavailableError: The ledger cannot be reached: nothing is admitted.
        """
        request = checked(lambda: LockRequest(app_id=self._app_id, token_count=token_count, model=model))
        reply = await self._transport.lock(request)
        facts = {"app_id": self._app_id, "tokens": token_count, "allowed": reply.allowed}
        _logger.debug("Asked for tokens", extra=facts)
        return LockOutcome(reply.allowed, reply.request_id, None if reply.allowed else reply.message)

    async def report_usage(
        self, request_id: str, prompt_tokens: int, completion_tokens: int, user_id: str | None = None
    ) -> bool:
        """Tell what a lock's call used; again, it changes nothing. True: it is stored.

        Args:
            request_id: The lock's id, as `lock_tokens` gave it.
            prompt_tokens: What the prompt took.
            completion_tokens: What the answer took.
            user_id: An opaque id that usage can be grouped by.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
            DependencyUnavailableError: The ledger cannot be reached; asking again is safe.
        """
        request = checked(
            lambda: ReportRequest(
                app_id=self._app_id,
                request_id=request_id,
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
                user_id=user_id,
            )
        )
        reply = await self._transport.report(request)
        facts = {"app_id": self._app_id, "tokens": prompt_tokens + completion_tokens}
        _logger.debug("Reported tokens", extra=facts)
        return reply.success

    async def release_tokens(self, request_id: str) -> bool:
        """Give a lock back unused; again, or after its report, it changes nothing. True: it is stored.

        Raises:
            LockNotFoundError: The lock is not this application's, or older than 24 hours.
            DependencyUnavailableError: The ledger cannot be reached; asking again is safe.
        """
        request = checked(lambda: ReleaseRequest(app_id=self._app_id, request_id=request_id))
        reply = await self._transport.release(request)
        _logger.debug("Released tokens", extra={"app_id": self._app_id})
        return reply.success

    async def get_status(self) -> TokenStatus:
        """Tell what counts now, and when the whole limit will be free again.

        Raises:
            DependencyUnavailableError: The ledger cannot be reached.
        """
        return await self._transport.status(checked(lambda: TokenRequest(app_id=self._app_id)))

    async def close(self) -> None:
        """Close the connections; a later call opens its own."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class LedgerTransport:
    """The ledger of this process.

    Args:
        ledger: The ledger.
        model: What is locked for where a call names no model.
        tenant: Whose budget it is; None for the ambient tenant of each call.
    """

    def __init__(self, ledger: Ledger, model: str, tenant: TenantContext | None = None) -> None:
        self._ledger = ledger
        self._model = model
        self._tenant = tenant

    async def lock(self, request: LockRequest) -> LockReply:
        """Ask for a lock.

        Raises:
            ValueError: There is no tenant.
        """
        return (await self._service().lock(request)).reply

    async def report(self, request: ReportRequest) -> SettledReply:
        """Put what was used in the place of a lock."""
        return await self._service().report(request)

    async def release(self, request: ReleaseRequest) -> SettledReply:
        """Give a lock back whole."""
        return await self._service().release(request)

    async def status(self, request: TokenRequest) -> TokenStatus:
        """Tell what counts now."""
        return await self._service().status(request.app_id)

    async def open(self) -> None:
        """Nothing to open: the ledger is the composition root's."""

    async def close(self) -> None:
        """Nothing to close."""

    def _service(self) -> TokenService:
        return TokenService(self._tenant or ambient_tenant(), self._ledger, self._model)


def _over_http(base_url: str, resource_uri: str | None) -> TokenTransport:
    """Open the way to another app: with tokens for a resource, or with the key in the settings."""
    from shared.clock import SystemClock  # noqa: PLC0415  # loads when used, as what follows
    from shared.resilience.dependency import Dependency  # noqa: PLC0415  # same
    from shared.tokens import client_http  # noqa: PLC0415  # same
    from shared.tokens.client_aiohttp import AiohttpSender  # noqa: PLC0415  # same: aiohttp

    clock = SystemClock()
    credential = (
        client_http.TenantKey() if resource_uri is None else client_http.AzureAdToken(resource_uri, clock)
    )
    calls = Dependency(client_http.NAME, client_http.classify, client_http.POLICY, clock)
    return client_http.HttpTransport(base_url, AiohttpSender(), credential, calls)
