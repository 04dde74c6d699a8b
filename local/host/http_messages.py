"""Between ASGI and what functions take and give: requests, responses and the limit on a body's size."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from local.host.invocation import HttpInput, HttpOutput, Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.host.invocation import Message, Receive, Scope, Send, Value


class BodyTooLargeError(Exception):
    """A request's body is larger than the host takes."""


class ClientGoneError(Exception):
    """The client left before its request was complete."""


class Exchange:
    """One request and its response: bounds the body and knows whether an answer was begun."""

    __slots__ = ("_limit", "_receive", "_received", "_send", "started", "too_large")

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._received = 0
        self.started = False
        self.too_large = False

    async def receive(self) -> Message:
        """Receive the next event.

        Raises:
            BodyTooLargeError: The body has outgrown the limit.
        """
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._limit:
                self.too_large = True
                raise BodyTooLargeError
        return message

    async def send(self, message: Message) -> None:
        """Send an event, or 413 in place of what a function answered to a body that it could not read."""
        if self.too_large:
            if not self.started:
                await self.answer(413)
            return
        self.started = True
        await self._send(message)

    async def body(self) -> bytes:
        """Receive the whole body.

        Raises:
            BodyTooLargeError: It is larger than the limit.
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

    async def answer(self, status: int, body: bytes = b"", content_type: str = "") -> None:
        """Answer at once."""
        headers = [(b"content-length", str(len(body)).encode())]
        if content_type:
            headers.append((b"content-type", content_type.encode()))
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def respond(self, response: HttpOutput) -> None:
        """Send what a classic function returned."""
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers
        ]
        headers = [header for header in headers if header[0] != b"content-length"]
        if response.status not in {204, 304}:
            headers.append((b"content-length", str(len(response.body)).encode()))
        self.started = True
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": response.body})


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
