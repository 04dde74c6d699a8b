"""One client's connection: the head bounded in size and time, broken HTTP refused, leaving noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from local.host import refusals

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from local.host.refusals import Refusal

DEPARTURE = "departure"
"""The key in a scope's state under which a request finds its connection's `Departure`."""


class HeadRefusedError(Exception):
    """A head that is larger than the host takes; ends the parsing of it."""


class Departure:
    """Tells the request that is being answered when its client leaves."""

    __slots__ = ("_listener", "happened")

    def __init__(self) -> None:
        self.happened = False
        self._listener: Callable[[], None] | None = None

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when the client leaves, at once if it has."""
        self._listener = listener
        if self.happened:
            listener()

    def forget(self, listener: Callable[[], None]) -> None:
        """Call `listener` no more; the next request on the connection may have put its own in its place."""
        if self._listener is listener:
            self._listener = None

    def happen(self) -> None:
        """Note that the client has left."""
        self.happened = True
        if self._listener is not None:
            self._listener()


@dataclass(frozen=True, slots=True)
class HeadBounds:
    """Bounds of a request's head, which are Kestrel's own.

    Attributes:
        target_bytes: The length of its address.
        total_bytes: The size of its headers.
        headers: How many there are.
        seconds: How long it may take to arrive.
        rest_seconds: How long the rest of a body may take to arrive once the answer is out.
    """

    target_bytes: int = 8192
    total_bytes: int = 32_768
    headers: int = 100
    seconds: float = 30.0
    rest_seconds: float = 5.0


class Connection(HttpToolsProtocol):
    """uvicorn's connection with the bounds that Kestrel sets."""

    bounds: ClassVar[HeadBounds] = HeadBounds()

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # uvicorn's own arguments, passed on
        super().__init__(*args, **kwargs)
        self._departure = Departure()
        self.app_state = {**self.app_state, DEPARTURE: self._departure}
        self._refusal: Refusal | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_bytes = 0
        self._head_bytes = 0
        self._asked = False
        self._in_message = False
        self._in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """Begin; a head has to follow."""
        super().connection_made(transport)
        self._set_timer(self.bounds.seconds, self._end_late_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and tell the request that is being answered."""
        super().connection_lost(exc)
        self._set_timer(None, None)
        self._departure.happen()

    def data_received(self, data: bytes) -> None:
        """Parse what came; what leads nowhere may not grow."""
        if self._refusal is not None:
            return
        self._idle_bytes += len(data)
        super().data_received(data)
        # A header, a trailer or a chunk's extension without an end: the parser keeps it until there is one.
        if self._idle_bytes > self.bounds.target_bytes + self.bounds.total_bytes:
            self._refuse(refusals.LARGE_HEAD)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_message, self._in_head, self._head_bytes = True, True, 0
        if self._timer is None:
            self._set_timer(self.bounds.seconds, self._end_late_head)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        super().on_url(url)
        if len(self.url) > self.bounds.target_bytes:
            self._refusal = refusals.LONG_TARGET
            raise HeadRefusedError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is none, and nobody asked for it."""
        if not self._in_head:
            return
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self.bounds.total_bytes or len(self.headers) > self.bounds.headers:
            self._refusal = refusals.LARGE_HEAD
            raise HeadRefusedError

    def on_headers_complete(self) -> None:
        """Hand the request to the app."""
        self._idle_bytes, self._in_head = 0, False
        self._set_timer(None, None)
        super().on_headers_complete()
        self._asked = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._idle_bytes, self._in_message = 0, False
        self._set_timer(None, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """End an answer; the rest of a body that nobody reads may not take for ever."""
        super().on_response_complete()
        if self._in_message and not self._in_head:
            self._set_timer(self.bounds.rest_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words, in place of which ours are said
        """Refuse what the parser stopped at."""
        self._refuse(self._refusal or refusals.BROKEN_HTTP)

    def _refuse(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._set_timer(None, None)
        if not self.transport.is_closing() and not self._is_answering():
            headers, body = refusal.render(refusals.request_id_of(self.headers or ()))
            lines = [name + b": " + value + b"\r\n" for name, value in headers]
            self.transport.write(b"".join([STATUS_LINE[refusal.status], *lines, b"\r\n", body]))
        self.transport.close()

    def _is_answering(self) -> bool:
        """Whether a part of an answer is out, which nothing may follow but its rest."""
        return self._asked and self.cycle.response_started and not self.cycle.response_complete

    def _end_late_head(self) -> None:
        self._timer = None
        if self._asked and not self.cycle.response_complete:
            self.cycle.keep_alive = False  # the next request is late, the answer to the last one is due
        elif self._in_message:
            self._refuse(refusals.SLOW_HEAD)
        else:
            self.transport.close()  # nobody asked anything

    def _set_timer(self, seconds: float | None, then: Callable[[], None] | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None or then is None else self.loop.call_later(seconds, then)
