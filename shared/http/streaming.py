"""Answers as streams: their forms, the bounded way from a handler to its client, the response.

One task handles the request from its beginning to its last event: with its tenant, its deadline, its claim of
an Idempotency-Key and its line in the log. What it makes goes through a channel to the response. Until the
first event opens that, the request can be refused as any other.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from azurefunctions.extensions.http.fastapi import Response

from shared.http.responses import HttpResponse, render_headers
from shared.resilience.run_to_completion import run_to_completion
from shared.resilience.tasks import spawn
from shared.resilience.wait_limit import WaitLimit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from pydantic import BaseModel
    from starlette.responses import Response as StarletteResponse
    from starlette.types import Receive, Scope, Send

    from shared.clock import Clock

EVENT_STREAM = "text/event-stream"
LINE_STREAM = "application/x-ndjson"

HEARTBEAT_SECONDS = 15.0
"""Longest silence of a stream: whatever stands between may cut off one that is idle."""

_MOST_WAITING_BYTES = 64 * 1024
_SEND_SECONDS = 30.0
_LINE_END = re.compile(r"\r\n|\r|\n")


class StreamEvent(NamedTuple):
    """One event on the way to the whole reply: its name, its data as JSON, and the id to resume after it.

    Without a name, an event has its data alone.
    """

    name: str
    data: str
    event_id: str | None = None


class StreamEnd(NamedTuple):
    """End of a stream in the place of a whole reply, for a dialect that has no event `done`.

    Attributes:
        sent: The bytes that end the stream.
        repeated: The bytes of a whole stream, in short, that a repeated request is answered with.
    """

    sent: bytes
    repeated: bytes


def render_event(name: str, data: str, event_id: str | None = None) -> bytes:
    """Render one event; data of several lines arrives with line feeds between them."""
    begin = f"event: {name}\n" if name else ""
    if event_id is not None:
        begin = f"id: {event_id}\n{begin}"
    if "\n" not in data and "\r" not in data:
        return f"{begin}data: {data}\n\n".encode()
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(data))
    return f"{begin}{lines}\n".encode()


@dataclass(frozen=True, slots=True)
class StreamForm:
    """Form of a stream on the wire.

    Attributes:
        media_type: Its content type.
        heartbeat: What is sent after a silence; readers pass over it.
        render: Renders an event.
        render_failure: Renders what the failure's event is called, and the body of the refusal.
    """

    media_type: str
    heartbeat: bytes
    render: Callable[[StreamEvent], bytes]
    render_failure: Callable[[str, bytes], bytes]

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the stream: no proxy that knows the second one keeps events back."""
        return {"content-type": self.media_type, "x-accel-buffering": "no"}


EVENTS = StreamForm(
    EVENT_STREAM,
    b": still at work\n\n",
    lambda event: render_event(*event),
    lambda name, body: render_event(name, body.decode()),
)
"""Server-sent events."""

LINES = StreamForm(
    LINE_STREAM,
    b"\n",
    lambda event: event.data.encode() + b"\n",
    lambda _, body: body + b"\n",
)
"""JSON lines: of events the data, which has no line breaks, of a failure the body of the refusal."""


@dataclass(frozen=True, slots=True)
class EventStream[M: BaseModel]:
    """Reply that is given event by event and ends with the whole one, which is sent as the event `done`.

    The handler's generator is closed as soon as nobody reads on. What it raises before its first event is an
    answer with a status; later, an event with the body of such an answer (the dialect says which).

    Attributes:
        events: The events, and as the last item the whole reply.
        headers: Headers of the stream; what is put there before the first event is in time.
        form: Its form on the wire.
    """

    events: AsyncGenerator[StreamEvent | M | StreamEnd]
    headers: Mapping[str, str] = field(default_factory=dict)
    form: StreamForm = EVENTS


class EventChannel:
    """The way of one stream's events from the task that makes them to the response that sends them.

    What a client does not take waits here, 64 kB at most: then its handler waits.

    Args:
        clock: Counts the silence between two events.
        failure_event: The name of the event that tells of a failure.

    Attributes:
        opened: Done when the first bytes came: from then on there is a stream, and its status is sent.
        is_finished: Whether the last event is in it.
        sent_bytes: The bytes that were put into it.
        first_at: When the first of them were, on the clock's monotonic side.
        ending: What ends the stream in the place of the whole answer.
        form: The form of the stream.
    """

    def __init__(self, clock: Clock, failure_event: str = "error") -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_finished = False
        self.sent_bytes = 0
        self.first_at: float | None = None
        self.ending: bytes | None = None
        self.form = EVENTS
        self._failure_event = failure_event
        self._clock = clock
        self._last_at = clock.monotonic()
        self._waiting = bytearray()
        self._is_closed = False
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def is_open(self) -> bool:
        """Tell whether there is a stream."""
        return self.first_at is not None

    async def put(self, content: bytes) -> None:
        """Add bytes, once there is room for them."""
        if not self._has_room.is_set():
            await self._has_room.wait()
        self._add(content)

    async def take(self) -> bytes:
        """Wait for bytes, and return all that are there; none when the channel was closed."""
        await self._filled.wait()
        content = bytes(self._waiting)
        self._waiting.clear()
        self._has_room.set()
        if not self._is_closed:
            self._filled.clear()
        return content

    def finish(self, response: HttpResponse) -> None:
        """Add the last event where there is a stream: the whole answer, or the error that took its place."""
        if self.is_open:
            if response.error is not None:
                self._add(self.form.render_failure(self._failure_event, response.body))
            else:
                self._add(response.body if self.ending is None else self.ending)
            self.is_finished = True

    def close(self) -> None:
        """Let the response end; nothing more comes."""
        self._is_closed = True
        self._filled.set()

    @asynccontextmanager
    async def keep_alive(self) -> AsyncIterator[None]:
        """Send a comment whenever nothing else was sent for a while; it opens the channel, too."""
        beating = spawn(self._beat())
        try:
            yield
        finally:
            await run_to_completion(_end(beating))

    async def _beat(self) -> None:
        while True:
            silence = self._clock.monotonic() - self._last_at
            if silence < HEARTBEAT_SECONDS:
                await self._clock.sleep(HEARTBEAT_SECONDS - silence)
            elif self._waiting:
                self._last_at += HEARTBEAT_SECONDS  # the client does not even take what is there
            else:
                self._add(self.form.heartbeat)

    def _add(self, content: bytes) -> None:
        self._last_at = self._clock.monotonic()
        if self.first_at is None:
            self.first_at = self._last_at
            self.opened.set_result(None)
        self._waiting += content
        self.sent_bytes += len(content)
        self._filled.set()
        if len(self._waiting) >= _MOST_WAITING_BYTES:
            self._has_room.clear()


class EventStreamResponse(Response):  # type: ignore[misc]  # the extension has no types
    """Response that sends a channel's bytes; when its client leaves, it ends the work behind it at once.

    Args:
        channel: The bytes.
        work: The task that makes them; over when this response is.
        edge_headers: Headers that the edge puts on every answer.
    """

    def __init__(
        self, channel: EventChannel, work: asyncio.Task[HttpResponse], edge_headers: Mapping[str, str]
    ) -> None:
        super().__init__(None)
        self.raw_headers = render_headers(channel.form.headers, edge_headers)
        self._channel = channel
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Send the stream. One that is not whole is cut off rather than ended."""
        watching = spawn(self._watch(receive))
        try:
            with suppress(OSError):  # the client left, or takes nothing any more
                await self._send(send)
        finally:
            await run_to_completion(_end(watching, self._work))

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        loop = asyncio.get_running_loop()
        with WaitLimit() as limit:
            while content := await self._channel.take():
                part = {"type": "http.response.body", "body": content, "more_body": True}
                await limit.wait(send(part), loop.time() + _SEND_SECONDS)
        if self._channel.is_finished:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self._work.cancel()


async def respond(
    work: asyncio.Task[HttpResponse], channel: EventChannel, edge_headers: Mapping[str, str]
) -> StarletteResponse:
    """Return the response to a request whose task may stream: at its end, or as soon as there is a stream.

    Args:
        work: Handles the request. It is ended when this is cancelled.
        channel: The channel that it may open; closed when the task is over.
        edge_headers: Headers that the edge puts on every answer; complete by the time that there is one.
    """
    work.add_done_callback(lambda _: channel.close())
    try:
        either: list[asyncio.Future[Any]] = [work, channel.opened]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await run_to_completion(_end(work))
        raise
    if channel.is_open:
        return EventStreamResponse(channel, work, edge_headers)
    return work.result().to_starlette(edge_headers)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
