"""One connection without a socket: bounds on what has no end, in size and in time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from local.host.connection import DEPARTURE, Connection
from local.host.http_messages import BodyBounds, Exchange, RefusedBodyError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from local.host.connection import Departure
    from local.host.invocation import Message, Scope

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"


@dataclass
class FakeTimer:
    """A timer that a test lets run out."""

    seconds: float
    run: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class FakeLoop:
    """Keeps tasks and timers instead of running them."""

    timers: list[FakeTimer] = field(default_factory=list)

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        work.close()
        return asyncio.get_running_loop().create_future()

    def call_later(self, seconds: float, run: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(seconds, run)
        self.timers.append(timer)
        return timer

    def pass_time(self, seconds: float) -> None:
        """Run the timers that are due by then."""
        due = [timer for timer in self.timers if timer.seconds <= seconds and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer.run()


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""


class Line:
    """A connection and its two ends."""

    def __init__(self) -> None:
        async def app(_scope: object, _receive: object, _send: object) -> None:
            """Never run: the loop keeps no task."""

        self.loop = FakeLoop()
        self.transport = FakeTransport()
        config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.connection = Connection(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        if not self.transport.closed:
            self.connection.data_received(data)

    @property
    def status(self) -> int:
        return int(self.transport.written.split()[1])

    async def answer(self) -> None:
        """Answer the request as the app would."""
        cycle = self.connection.cycle
        await cycle.send({"type": "http.response.start", "status": 204, "headers": []})
        await cycle.send({"type": "http.response.body", "body": b"", "more_body": False})


async def test_half_a_head_is_refused_when_its_time_is_over() -> None:
    line = Line()
    line.send(HEAD)
    line.loop.pass_time(29)
    assert not line.transport.closed
    line.loop.pass_time(30)
    assert (line.status, line.transport.closed) == (408, True)
    assert json.loads(line.transport.written.partition(b"\r\n\r\n")[2])["error"] == "RequestTimeoutError"


async def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word() -> None:
    line = Line()
    line.loop.pass_time(30)
    assert (line.transport.written, line.transport.closed) == (b"", True)


async def test_a_whole_head_has_no_time_limit_any_more() -> None:
    line = Line()
    line.send(HEAD + b"\r\n")
    line.loop.pass_time(1000)
    assert not line.transport.closed


async def test_the_next_head_on_a_connection_has_its_time_too() -> None:
    line = Line()
    line.send(HEAD + b"\r\n")
    await line.answer()
    line.send(b"GET /b HT")
    line.loop.pass_time(30)
    assert (line.transport.written.count(b"HTTP/1.1 408"), line.transport.closed) == (1, True)


async def test_a_late_next_head_leaves_the_answer_to_the_last_request_alone() -> None:
    line = Line()
    line.send(HEAD + b"\r\nGET /b HT")
    line.loop.pass_time(30)
    assert not line.transport.closed
    await line.answer()
    assert line.transport.written.startswith(b"HTTP/1.1 204")
    assert line.transport.closed


async def test_what_has_no_end_is_refused_before_it_is_large() -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for begun in (
        b"GET /",
        b"GET / HTTP/1.1\r\nA: ",
        b"GET / HTTP/1.1\r\nA",
        chunked + b"0\r\nA: ",
        chunked + b"1;",
    ):
        line = Line()
        line.send(begun)
        for _ in range(100):
            line.send(b"a" * 1000)
        assert line.transport.closed, begun
        assert line.status in {400, 414, 431}


async def test_a_trailer_becomes_no_header() -> None:
    line = Line()
    line.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Ms-Invocation-Id: a\r\n\r\n")
    assert [name for name, _ in line.connection.scope["headers"]] == [b"host", b"transfer-encoding"]


async def test_the_rest_of_a_body_may_not_outlive_its_answer_for_long() -> None:
    line = Line()
    line.send(HEAD + b"Content-Length: 100\r\n\r\nabc")
    await line.answer()
    for _ in range(5):
        line.send(b"d")  # which keeps uvicorn's own time from running out
    assert not line.transport.closed
    line.loop.pass_time(5)
    assert line.transport.closed


async def test_a_body_that_ends_after_its_answer_leaves_the_connection_open() -> None:
    line = Line()
    line.send(HEAD + b"Content-Length: 3\r\n\r\na")
    await line.answer()
    line.send(b"bc")
    line.loop.pass_time(5)
    assert not line.transport.closed
    line.send(HEAD + b"\r\n")
    await line.answer()
    assert line.transport.written.count(b"HTTP/1.1 204") == 2


async def test_a_request_hears_of_its_clients_leaving_once_or_at_once() -> None:
    line = Line()
    line.send(HEAD + b"\r\n")
    departure = cast("Departure", line.connection.scope["state"][DEPARTURE])
    heard: list[str] = []

    def last() -> None:
        heard.append("the last request")

    departure.listen(last)
    departure.listen(lambda: heard.append("then"))
    departure.forget(last)
    line.connection.connection_lost(None)
    departure.listen(lambda: heard.append("at once"))
    assert heard == ["then", "at once"]


async def test_a_body_that_stays_away_is_refused_and_one_that_is_there_is_not() -> None:
    async def never() -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def nothing(_message: Message) -> None:
        raise AssertionError

    scope: Scope = {"headers": []}
    with pytest.raises(RefusedBodyError) as refused:
        await Exchange(scope, never, nothing, BodyBounds(10, pause_seconds=0)).body()
    assert refused.value.refusal.status == 408
    assert await Exchange(scope, _empty, nothing, BodyBounds(10)).body() == b""


async def _empty() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
