"""One deployment over HTTP: at most three attempts in a bounded time, and a breaker."""

from __future__ import annotations

import asyncio
import json
import random
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
)

from tenantry_client.errors import (
    CredentialError,
    ForbiddenError,
    InvalidRequestError,
    NoAnswerInTimeError,
    OutOfReachError,
    TenantryError,
    TooManyRequestsError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTEMPTS = 3
THRESHOLD = 5
"""Failed calls in a row after which a deployment is left alone."""

OPEN_SECONDS = 5.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_TOO_MANY = 429
_REFUSALS: dict[int, type[TenantryError]] = {
    400: InvalidRequestError,
    401: CredentialError,
    403: ForbiddenError,
    422: InvalidRequestError,
}
_LONGEST_MESSAGE = 500
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


class Reply(NamedTuple):
    """One answer as it came; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Sender(Protocol):
    """Sends requests; it may keep connections between `open` and `close`."""

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send one request and read its whole answer.

        Raises:
            ConnectionError: There is no answer.
            OverlongAnswerError: It has more bytes than are read.
        """
        ...

    async def open(self) -> None:
        """Keep connections from now on."""
        ...

    async def close(self) -> None:
        """Close what is open; sending again opens anew."""
        ...


class Credential(Protocol):
    """Source of the `Authorization` header."""

    async def authorization(self) -> str:
        """Return the header.

        Raises:
            TenantryError: There is no credential.
            ConnectionError: Whoever issues it does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that a call may take: each attempt, all of it with its waits, and the first wait at most."""

    attempt: float = 10.0
    total: float = 30.0
    backoff: float = 0.2


class _PassingError(Exception):
    """An attempt that another one may better."""

    def __init__(self, reason: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after


class HttpService:
    """Calls to one deployment.

    Args:
        base_url: Its address, such as `https://app.example.com`; `/api/v1` at its end is left out.
        credential: Who calls.
        sender: The way there.
        times: How long a call may take.
        name: How errors call it.

    Raises:
        ValueError: The address is none.
    """

    def __init__(
        self,
        base_url: str,
        credential: Credential,
        sender: Sender,
        times: Times | None = None,
        name: str = "The deployment",
    ) -> None:
        self._base = normalize_url(base_url)
        self._credential = credential
        self._sender = sender
        self._times = times or Times()
        self._name = name
        self._failures = 0
        self._open_until = 0.0

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request until it is answered; return the answer, which is a success.

        Raises:
            TenantryError: The deployment refused, or there is no answer of it.
        """
        self._admit()
        answer = await self._try(method, self._base + path, body, headers or {})
        if isinstance(answer, OutOfReachError):
            self._failures += 1
            self._open_until = asyncio.get_running_loop().time() + OPEN_SECONDS
            raise answer
        self._failures = 0
        if isinstance(answer, TenantryError):
            raise answer
        if not 200 <= answer.status < 300:  # noqa: PLR2004  # a success
            raise _refusal(self._name, answer)
        return answer

    async def open(self) -> None:
        """Keep connections between calls."""
        await self._sender.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._sender.close()

    def _admit(self) -> None:
        """Let a call through, or one alone to find out whether the deployment is back."""
        if self._failures < THRESHOLD:
            return
        now = asyncio.get_running_loop().time()
        if now < self._open_until:
            raise OutOfReachError(f"{self._name} is not available", retry_after=self._open_until - now)
        self._open_until = now + OPEN_SECONDS

    async def _try(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Reply | TenantryError:
        try:
            async with asyncio.timeout(self._times.total):
                return await self._attempts()(self._send, method, url, body, headers)
        except TimeoutError:
            said = f"{self._name} did not answer within {self._times.total:g} s"
            return NoAnswerInTimeError(said, retry_after=1.0)
        except _PassingError as error:
            return _failure(self._name, error)

    def _attempts(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type((_PassingError, TimeoutError)),
            stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(self._times.total),
            wait=self._wait,
            sleep=asyncio.sleep,
            reraise=True,
        )

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        told = error.retry_after if isinstance(error, _PassingError) else None
        ceiling = self._times.backoff * 2 ** (state.attempt_number - 1)
        return (told or 0.0) + random.uniform(0, ceiling)  # noqa: S311  # spreads load, protects nothing

    async def _send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        reply = await self._send_once(method, url, body, headers)
        if isinstance(reply, _PassingError):
            raise reply
        if reply.status in _PASSING:
            raise _PassingError(f"it answered {reply.status}", reply.status, retry_after_of(reply.headers))
        return reply

    async def _send_once(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Reply | _PassingError:
        try:
            async with asyncio.timeout(self._times.attempt):
                authorization = await self._credential.authorization()
                named = {"authorization": authorization, "content-type": "application/json", **headers}
                return await self._sender.send(method, url, named, body)
        except TimeoutError:
            raise
        except OSError as error:
            return _PassingError(str(error) or type(error).__name__)


def normalize_url(text: str) -> str:
    """Return a deployment's address without `/api/v1` and slashes at its end.

    Raises:
        ValueError: It is no http or https URL, or has more than host, port and path.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("base_url must be an http or https URL")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("base_url has a host and perhaps a port and a path, nothing else")
    _ = parts.port  # raises ValueError where it is no number
    return text.rstrip("/").removesuffix("/api/v1").rstrip("/")


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After in seconds; a date counts from the answer's own, since no other clock is known."""
    told = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(told):
        return float(told)
    try:
        moment, sent = (parsedate_to_datetime(text) for text in (told, headers.get("date", "")))
        seconds = (moment - sent).total_seconds()
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None


def error_body(reply: Reply) -> dict[str, object]:
    """Return the object that an error's answer is; an empty one where somebody else has answered."""
    try:
        told = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _failure(name: str, error: _PassingError) -> TenantryError:
    if error.status == _TOO_MANY:
        return TooManyRequestsError(
            f"{name} refuses more requests", status=_TOO_MANY, retry_after=error.retry_after or 1.0
        )
    return OutOfReachError(
        f"{name} is not available: {error}", status=error.status, retry_after=error.retry_after or 1.0
    )


def _refusal(name: str, reply: Reply) -> TenantryError:
    told = error_body(reply)
    message, detail = told.get("message"), told.get("detail")
    kind = _REFUSALS.get(reply.status, UnexpectedAnswerError)
    return kind(
        message[:_LONGEST_MESSAGE] if isinstance(message, str) else f"{name} answered {reply.status}",
        status=reply.status,
        name=str(told.get("error", "")),
        detail=detail if isinstance(detail, dict) else {},
    )
