"""Between ASGI and what functions take and give: requests, responses and the limit on a body's size."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from local.host.invocation import HttpInput, HttpOutput, Json
from local.host.logs import log
from local.host.refusals import BROKEN_LENGTH, FAILED, LARGE_BODY, SLOW_BODY, request_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.host.invocation import Message, Receive, Scope, Send, Value
    from local.host.refusals import Refusal

_FIRST_STATUS, _LAST_STATUS = 200, 599
_LENGTH = re.compile(r"[0-9]{1,19}")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class RefusedBodyError(Exception):
    """A request's body is larger than the host takes, or does not arrive."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class ClientGoneError(Exception):
    """The client left before its request was complete."""


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """Bounds of a request's body.

    Attributes:
        limit_bytes: Its size.
        pause_seconds: How long the host waits for it in any case.
        bytes_per_second: From then on it has to come so fast, as Kestrel demands it.
    """

    limit_bytes: int
    pause_seconds: float = 5.0
    bytes_per_second: float = 240.0


class Exchange:
    """One request and its response: bounds the body, and answers in the place of who cannot."""

    __slots__ = (
        "_bounds",
        "_receive",
        "_received_bytes",
        "_replaced",
        "_scope",
        "_send",
        "_waited_seconds",
        "_whole",
        "refusal",
        "started",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, bounds: BodyBounds) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._bounds = bounds
        self._received_bytes = 0
        self._waited_seconds = 0.0
        self._whole = False
        self._replaced = False
        self.started = False
        self.refusal: Refusal | None = None

    async def receive(self) -> Message:
        """Receive the next event.

        Raises:
            RefusedBodyError: The body has outgrown the limit, or does not arrive.
        """
        if self._whole:
            return await self._receive()
        message = await self._receive_in_time()
        if message is None:
            self.refusal = SLOW_BODY
            raise RefusedBodyError(SLOW_BODY)
        if message["type"] == "http.request":
            self._whole = not message.get("more_body", False)
            self._received_bytes += len(message.get("body", b""))
            if self._received_bytes > self._bounds.limit_bytes:
                self.refusal = LARGE_BODY
                raise RefusedBodyError(LARGE_BODY)
        return message

    async def _receive_in_time(self) -> Message | None:
        allowed = max(self._bounds.pause_seconds, self._received_bytes / self._bounds.bytes_per_second)
        began = time.monotonic()
        limit = asyncio.timeout(allowed - self._waited_seconds)
        try:
            async with limit:
                return await self._receive()
        except TimeoutError:
            if not limit.expired():
                raise
            return None
        finally:
            self._waited_seconds += time.monotonic() - began

    async def send(self, message: Message) -> None:
        """Send an event, or a refusal in place of what a function answered that cannot be sent."""
        if self._replaced:
            return
        if self.refusal is not None:
            if not self.started:
                await self.refuse(self.refusal)
            return
        if message["type"] == "http.response.start":
            wrong = _why_unsendable(message["status"], message.get("headers", ()))
            if wrong is not None:
                log.error("An answer of a function cannot be sent: %s", wrong)
                await self.refuse(FAILED)
                return
        self.started = True
        await self._send(message)

    async def body(self) -> bytes:
        """Receive the whole body.

        Raises:
            RefusedBodyError: It is larger than the limit, or does not arrive.
            ClientGoneError: The client left before its end.
        """
        chunks = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunks.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(chunks)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer for the host; nothing else is sent after it."""
        headers, body = refusal.render(request_id_of(self._scope["headers"]))
        self._replaced = True
        await self._send_whole(refusal.status, headers, body)

    async def answer(self, status: int, body: bytes = b"", content_type: str = "") -> None:
        """Answer at once."""
        headers = [(b"content-length", str(len(body)).encode())]
        if content_type:
            headers.append((b"content-type", content_type.encode()))
        await self._send_whole(status, headers, body)

    async def respond(self, response: HttpOutput) -> None:
        """Send what a classic function returned, or a refusal where that cannot be sent."""
        try:
            headers = [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers
            ]
            wrong = _why_unsendable(response.status, headers)
        except UnicodeEncodeError:
            wrong, headers = "a header has other characters than those of ISO 8859-1", []
        if wrong is not None:
            log.error("An answer of a function cannot be sent: %s", wrong)
            await self.refuse(FAILED)
            return
        headers = [header for header in headers if header[0] != b"content-length"]
        if response.status not in {204, 304}:
            headers.append((b"content-length", str(len(response.body)).encode()))
        await self._send_whole(response.status, headers, response.body)

    async def _send_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _why_unsendable(status: object, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Tell why the head of an answer is none that HTTP can carry; None where it is one."""
    if not isinstance(status, int) or not _FIRST_STATUS <= status <= _LAST_STATUS:
        return f"{status!r} is no status of an answer"
    for name, value in headers:
        if not _NAME.fullmatch(name) or _NO_VALUE.search(value):
            return f"{name!r} is no header"
    return None


def declared_length(headers: Mapping[str, str]) -> int:
    """Return how long a request says its body is; 0 where it does not say.

    Raises:
        RefusedBodyError: It says so in a way that no body can be.
    """
    declared = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(declared):
        raise RefusedBodyError(BROKEN_LENGTH)
    return int(declared)


def headers_of(scope: Scope) -> dict[str, str]:
    """Return a request's headers under lower-case names, several values of one joined by a comma."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def query_of(scope: Scope) -> dict[str, str]:
    """Return a request's query; empty values are left out, several of one name are joined by a comma."""
    query: dict[str, str] = {}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=False):
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def classic_request(
    scope: Scope, headers: Mapping[str, str], params: Mapping[str, str], body: bytes
) -> HttpInput:
    """Return a request as a classic function sees it."""
    query = scope["query_string"].decode("latin-1")
    host = headers.get("host", "localhost")
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    return HttpInput(
        method=scope["method"],
        url=f"{scope['scheme']}://{host}{path}{'?' + query if query else ''}",
        headers=headers,
        query=query_of(scope),
        params=params,
        body=body,
    )


def classic_response(value: Value) -> HttpOutput:
    """Return the response that a function's value stands for."""
    match value:
        case HttpOutput():
            return value
        case None:
            return HttpOutput(204, (), b"")
        case str():
            return HttpOutput(200, [("content-type", "text/plain; charset=utf-8")], value.encode())
        case bytes():
            return HttpOutput(200, [("content-type", "application/octet-stream")], value)
        case Json():
            return HttpOutput(200, [("content-type", "application/json; charset=utf-8")], value.text.encode())
        case int() | float():
            return HttpOutput(200, [("content-type", "text/plain; charset=utf-8")], str(value).encode())
        case _:
            raise TypeError(f"a {type(value).__name__} is no HTTP response")
