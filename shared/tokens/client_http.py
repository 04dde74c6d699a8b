"""The token counter of another app over HTTP: three attempts at most, a breaker, its errors as they were."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

import pydantic
from pydantic import BaseModel

from shared.errors import (
    AuthenticationError,
    ConfigurationError,
    DependencyUnavailableError,
    LockNotFoundError,
    MalformedRequestError,
    PermissionDeniedError,
    ValidationError,
)
from shared.resilience.policy import Policy, Transient
from shared.settings import TokenClientSettings
from shared.tokens.api_models import LockReply, SettledReply
from shared.tokens.stored_models import TokenStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from azure.core.credentials_async import AsyncTokenCredential

    from shared.clock import Clock
    from shared.resilience.dependency import Dependency
    from shared.tokens.api_models import LockRequest, ReleaseRequest, ReportRequest, TokenRequest

NAME = "The token counter"
POLICY = Policy(attempt_seconds=10, total_seconds=30, backoff_seconds=0.2)
"""An attempt outlasts the two tries that the other side's store may need."""

_ROUTES = "/api/v1/tokens"
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND, _MALFORMED, _INVALID = 401, 403, 404, 400, 422
_REFRESH_SECONDS = 300
"""A token that ends within this time is renewed before it is used."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One answer as it came; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpSender(Protocol):
    """Sends requests; it may keep connections between `open` and `close`."""

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Send one request and read its whole answer.

        Raises:
            ConnectionError: There is no answer.
        """
        ...

    async def open(self) -> None:
        """Keep connections from now on."""
        ...

    async def close(self) -> None:
        """Close what is open; sending again opens anew."""
        ...


class Authorizes(Protocol):
    """Knows the credential."""

    async def authorization(self) -> str:
        """Return the `Authorization` header."""
        ...


class TenantKey:
    """A tenant's API key, out of the settings."""

    async def authorization(self) -> str:
        """Return the `Authorization` header.

        Raises:
            ConfigurationError: No key is set.
        """
        key = TokenClientSettings().token_counter_key
        if key is None:
            raise ConfigurationError(["TOKEN_COUNTER_KEY"])
        return f"Bearer {key.get_secret_value()}"


class AzureAdToken:
    """Tokens of Azure AD for one resource, kept until they are about to end.

    Args:
        resource_uri: The application that tokens are issued for.
        clock: Its wall clock tells whether a token is about to end.
        credential: Where tokens come from; `DefaultAzureCredential` where None, closed after each use.
    """

    def __init__(
        self, resource_uri: str, clock: Clock, credential: AsyncTokenCredential | None = None
    ) -> None:
        self._scope = f"{resource_uri.rstrip('/')}/.default"
        self._clock = clock
        self._credential = credential
        self._token = ""
        self._ends_at = -math.inf

    async def authorization(self) -> str:
        """Return the `Authorization` header.

        Raises:
            AuthenticationError: Azure AD issues no token to this app.
            ConnectionError: It does not answer.
        """
        if self._ends_at - self._clock.now().timestamp() < _REFRESH_SECONDS:
            await self._renew()
        return f"Bearer {self._token}"

    async def _renew(self) -> None:
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415  # same as below

        try:
            async with self._opened() as credential:
                token = await credential.get_token(self._scope)
        except ClientAuthenticationError as error:
            raise AuthenticationError("Azure AD issues no token for the token counter") from error
        except AzureError as error:
            raise ConnectionError("Azure AD does not answer") from error
        self._token, self._ends_at = token.token, token.expires_on

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AsyncTokenCredential]:
        if self._credential is not None:
            yield self._credential
            return
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # the SDK loads when used

        async with DefaultAzureCredential() as credential:
            yield credential


class _TransientAnswerError(Exception):
    """An answer that another attempt may better."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"answered {status}")
        self.retry_after = retry_after


def classify(error: BaseException) -> Transient | None:
    """Tell which failures another attempt may cure."""
    if isinstance(error, _TransientAnswerError):
        return Transient(error.retry_after)
    return Transient() if isinstance(error, ConnectionError | OSError) else None


class HttpTransport:
    """The routes `/tokens/*` of an app.

    A lock whose answer is lost is asked for again, and may then count twice for its 60 seconds: like a lock
    whose holder died, which is safe.

    Args:
        base_url: Where the app is served; `/api/v1` below it is the app's.
        sender: Sends.
        credential: What authenticates.
        dependency: Attempts, times and the breaker.
    """

    def __init__(
        self, base_url: str, sender: HttpSender, credential: Authorizes, dependency: Dependency
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError("base_url must be an http or https URL")
        self._base = base_url.rstrip("/") + _ROUTES
        self._sender = sender
        self._credential = credential
        self._dependency = dependency

    async def lock(self, request: LockRequest) -> LockReply:
        """Ask for a lock."""
        return await self._post("lock", request, LockReply)

    async def report(self, request: ReportRequest) -> SettledReply:
        """Put what was used in the place of a lock."""
        return await self._post("report", request, SettledReply)

    async def release(self, request: ReleaseRequest) -> SettledReply:
        """Give a lock back whole."""
        return await self._post("release", request, SettledReply)

    async def status(self, request: TokenRequest) -> TokenStatus:
        """Tell what counts now."""
        url = f"{self._base}/status?app_id={quote(request.app_id, safe='')}"
        return await self._call("GET", url, None, TokenStatus)

    async def open(self) -> None:
        """Keep connections between calls."""
        await self._sender.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._sender.close()

    async def _post[M: BaseModel](self, verb: str, body: TokenRequest, reply: type[M]) -> M:
        content = body.model_dump_json(exclude_none=True).encode()
        return await self._call("POST", f"{self._base}/{verb}", content, reply)

    async def _call[M: BaseModel](self, method: str, url: str, body: bytes | None, reply: type[M]) -> M:
        async def attempt() -> HttpAnswer:
            headers = {
                "authorization": await self._credential.authorization(),
                "content-type": "application/json",
            }
            answer = await self._sender.send(HttpRequest(method, url, headers, body))
            if answer.status in _TRANSIENT:
                raise _TransientAnswerError(answer.status, _retry_after(answer.headers))
            return answer

        answer = await self._dependency.call(attempt)
        if answer.status != 200:  # noqa: PLR2004  # success, on each of these routes
            raise _refusal(answer)
        try:
            return reply.model_validate_json(answer.body)
        except pydantic.ValidationError as error:
            raise DependencyUnavailableError(NAME, "answered what is no answer of a token counter") from error


def _refusal(answer: HttpAnswer) -> Exception:
    told = _told(answer)
    message = told.message or f"{NAME} answered {answer.status}"
    match answer.status:
        case status if status == _UNAUTHENTICATED:
            return AuthenticationError(message)
        case status if status == _FORBIDDEN:
            return PermissionDeniedError(message)
        case status if status == _NOT_FOUND and told.error == LockNotFoundError.__name__:
            return LockNotFoundError()
        case status if status == _MALFORMED:
            return MalformedRequestError(message)
        case status if status == _INVALID:
            return ValidationError(message, told.detail)
        case status:
            return DependencyUnavailableError(NAME, f"refused with {status}")


class _Told(BaseModel):
    """What is read of an error's body; a proxy in between may have written another one."""

    error: str = ""
    message: str = ""
    detail: dict[str, dict[str, str] | str | int | float | bool | None] = {}


def _told(answer: HttpAnswer) -> _Told:
    try:
        return _Told.model_validate_json(answer.body)
    except pydantic.ValidationError:
        return _Told()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read seconds; a date is not taken, as no clock of another machine is."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
