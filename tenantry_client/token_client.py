"""`TokenClient`: the token counter as the common library's document describes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self
from urllib.parse import quote

import pydantic

from tenantry_client.errors import InvalidRequestError, NoSuchLockError, UnexpectedAnswerError
from tenantry_client.http.credentials import AzureAdToken, EnvironmentKey
from tenantry_client.http.service import HttpService
from tenantry_client.token_models import (
    LockReply,
    LockRequest,
    ReleaseRequest,
    ReportRequest,
    SettledReply,
    TokenRequest,
    TokenStatus,
    UsedTokens,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pydantic import BaseModel

NAME = "The token counter"
KEY_VARIABLES = ("TOKEN_COUNTER_KEY", "TENANTRY_KEY")
MOST_ANSWER_BYTES = 64 * 1024
"""More than any answer of a token counter has."""

_ROUTES = "/api/v1/tokens"
_NOT_FOUND = 404
_logger = logging.getLogger(__name__)


class LockOutcome(NamedTuple):
    """Answer to `lock_tokens`: the lock's id, or why there is none."""

    allowed: bool
    request_id: str | None
    error: str | None


class TokenTransport(Protocol):
    """The way to a ledger."""

    async def lock(self, app_id: str, token_count: int, model: str | None) -> LockReply:
        """Ask for a lock; a budget that does not admit it is an answer, not an error."""
        ...

    async def report(
        self, app_id: str, request_id: str, used: UsedTokens, user_id: str | None
    ) -> SettledReply:
        """Put what was used in the place of a lock."""
        ...

    async def release(self, app_id: str, request_id: str) -> SettledReply:
        """Give a lock back whole."""
        ...

    async def status(self, app_id: str) -> TokenStatus:
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
        use_auth: Authenticate with Azure AD instead of the key in the variable `TOKEN_COUNTER_KEY`, or where
            that is not set, `TENANTRY_KEY`.
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
        self._transport = transport or _open_http(base_url or "", resource_uri if use_auth else None)

    async def lock_tokens(self, token_count: int, model: str | None = None) -> LockOutcome:
        """Ask for a part of the budget; unpack the answer as `allowed, request_id, error`.

        Args:
            token_count: What the call may use at most, prompt and completion together.
            model: What will be called; the token counter's own model where it is not said.

        Raises:
            InvalidRequestError: An argument is malformed, or larger than any budget of the tenant.
            CredentialError: The token counter does not know the credential.
            OutOfReachError: The ledger cannot be reached: nothing is admitted.
        """
        reply = await self._transport.lock(self._app_id, token_count, model)
        facts = {"app_id": self._app_id, "tokens": token_count, "allowed": reply.allowed}
        _logger.debug("Asked for tokens", extra=facts)
        return LockOutcome(reply.allowed, reply.request_id, None if reply.allowed else reply.message)

    async def report_usage(  # noqa: PLR0913  # the document's signature, and the kinds of tokens
        self,
        request_id: str,
        prompt_tokens: int,
        completion_tokens: int,
        user_id: str | None = None,
        *,
        cached_tokens: int = 0,
        reasoning_tokens: int = 0,
    ) -> bool:
        """Tell what a lock's call used; again, it changes nothing. True: it is stored.

        Args:
            request_id: The lock's id, as `lock_tokens` gave it.
            prompt_tokens: What the prompt took.
            completion_tokens: What the answer took.
            user_id: An opaque id that usage can be grouped by.
            cached_tokens: Those of the prompt that the provider had in its cache; they may be cheaper.
            reasoning_tokens: Those of the answer that it was thought with.

        Raises:
            InvalidRequestError: A count is negative, or a part of more than its whole.
            NoSuchLockError: The lock is not this application's, or older than 24 hours.
            OutOfReachError: The ledger cannot be reached; asking again is safe.
        """
        used = UsedTokens(prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens)
        reply = await self._transport.report(self._app_id, request_id, used, user_id)
        facts = {"app_id": self._app_id, "tokens": prompt_tokens + completion_tokens}
        _logger.debug("Reported tokens", extra=facts)
        return reply.success

    async def release_tokens(self, request_id: str) -> bool:
        """Give a lock back unused; again, or after its report, it changes nothing. True: it is stored.

        Raises:
            NoSuchLockError: The lock is not this application's, or older than 24 hours.
            OutOfReachError: The ledger cannot be reached; asking again is safe.
        """
        reply = await self._transport.release(self._app_id, request_id)
        _logger.debug("Released tokens", extra={"app_id": self._app_id})
        return reply.success

    async def get_status(self) -> TokenStatus:
        """Tell what counts now, and when the whole limit will be free again.

        Raises:
            OutOfReachError: The ledger cannot be reached.
        """
        return await self._transport.status(self._app_id)

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


class HttpTransport:
    """The routes `/tokens/*` of a deployment.

    A lock whose answer is lost is asked for again, and may then count twice for its 60 seconds: like a lock
    whose holder died. Reports and releases are idempotent.

    Args:
        service: The deployment.
    """

    def __init__(self, service: HttpService) -> None:
        self._service = service

    async def lock(self, app_id: str, token_count: int, model: str | None) -> LockReply:
        """Ask for a lock."""
        request = build_request(lambda: LockRequest(app_id=app_id, token_count=token_count, model=model))
        return await self._post("lock", request, LockReply)

    async def report(
        self, app_id: str, request_id: str, used: UsedTokens, user_id: str | None
    ) -> SettledReply:
        """Put what was used in the place of a lock."""
        request = build_request(lambda: ReportRequest.of(app_id, request_id, used, user_id))
        return await self._post("report", request, SettledReply)

    async def release(self, app_id: str, request_id: str) -> SettledReply:
        """Give a lock back whole."""
        request = build_request(lambda: ReleaseRequest(app_id=app_id, request_id=request_id))
        return await self._post("release", request, SettledReply)

    async def status(self, app_id: str) -> TokenStatus:
        """Tell what counts now."""
        request = build_request(lambda: TokenRequest(app_id=app_id))
        return await self._call("GET", f"status?app_id={quote(request.app_id, safe='')}", None, TokenStatus)

    async def open(self) -> None:
        """Keep connections between calls."""
        await self._service.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    async def _post[M: BaseModel](self, verb: str, request: TokenRequest, reply: type[M]) -> M:
        content = request.model_dump_json(exclude_defaults=True).encode()
        return await self._call("POST", verb, content, reply)

    async def _call[M: BaseModel](self, method: str, path: str, body: bytes | None, reply: type[M]) -> M:
        try:
            answer = await self._service.request(method, f"{_ROUTES}/{path}", body)
        except UnexpectedAnswerError as error:
            if error.status != _NOT_FOUND or error.name != "LockNotFoundError":
                raise
            refusal = NoSuchLockError(error.message, status=error.status, name=error.name)
        else:
            return _read(reply, answer.body)
        raise refusal


def _open_http(base_url: str, resource_uri: str | None) -> HttpTransport:
    """Open the way to a deployment: with tokens for a resource, or with the key in the environment."""
    from tenantry_client.http.aiohttp_sender import AiohttpSender  # noqa: PLC0415  # aiohttp loads when used

    credential = EnvironmentKey(*KEY_VARIABLES) if resource_uri is None else AzureAdToken(resource_uri)
    sender = AiohttpSender(MOST_ANSWER_BYTES)
    return HttpTransport(HttpService(base_url, credential, sender, name=NAME))


def build_request[M: TokenRequest](build: Callable[[], M]) -> M:
    """Build a request as the routes would take it.

    Raises:
        InvalidRequestError: They would refuse it; the detail names each field.
    """
    try:
        return build()
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    fields = {".".join(map(str, problem["loc"])): problem["msg"] for problem in problems}
    named = "; ".join(f"{name}: {message}" for name, message in fields.items())
    raise InvalidRequestError(f"Invalid request: {named}", detail={"fields": dict(fields)})


def _read[M: BaseModel](model: type[M], content: bytes) -> M:
    try:
        return model.model_validate_json(content)
    except pydantic.ValidationError:
        pass
    raise UnexpectedAnswerError(f"{NAME} answered what is no answer of a token counter")
