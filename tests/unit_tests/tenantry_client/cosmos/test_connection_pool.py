"""Connections: bounded, used again only when nothing is doubtful, and gone when the client is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from typing import TYPE_CHECKING

import pytest

from tenantry_client.cosmos.aio.connection_pool import ConnectionPool, LoopLock
from tenantry_client.cosmos.exceptions import CosmosClientTimeoutError
from tenantry_client.cosmos.transport import (
    READ_BYTES,
    AnswerLostError,
    Deadlines,
    NotSentError,
    Place,
    tls_context,
)
from tests.support.certificates import write_certificate
from tests.unit_tests.tenantry_client.cosmos.test_blocking_pool import echo as blocking_echo
from tests.unit_tests.tenantry_client.cosmos.test_blocking_pool import serving as blocking_serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

DEADLINES = Deadlines(5, 5)
REQUEST = b"GET /%d HTTP/1.1\r\n\r\n"
END = b"\r\n\r\n"


def reply(body: bytes, *, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b%b" % (len(body), body, more)


type Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Place]:
    """Run a server whose n-th connection behaves as told."""
    count = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await behave(reader, writer, count)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield Place.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    """Answer each request with the connection's number and the request's path."""
    while True:
        head = await reader.readuntil(END)
        writer.write(reply(b"%d%b" % (number, head.split()[1])))


@contextlib.asynccontextmanager
async def pool(limit: int = 4) -> AsyncIterator[ConnectionPool]:
    opened = ConnectionPool(tls_context(verify=True), limit)
    try:
        yield opened
    finally:
        await opened.close()
        await asyncio.sleep(0)
        assert opened.count_open() == 0, "a connection leaked"


async def test_one_connection_carries_one_request_after_another() -> None:
    async with serving(echo) as place, pool() as connections:
        bodies = [(await connections.exchange(place, REQUEST % n, DEADLINES)).body for n in range(3)]
    assert bodies == [b"1/0", b"1/1", b"1/2"]


async def test_no_more_connections_are_opened_than_allowed_and_who_waits_gets_one() -> None:
    async with serving(echo) as place, pool(limit=2) as connections:
        answers = await asyncio.gather(
            *(connections.exchange(place, REQUEST % n, DEADLINES) for n in range(20))
        )
        assert connections.count_open() == 2
    assert sorted(int(one.body.split(b"/")[1]) for one in answers) == list(range(20))


async def test_a_late_answer_never_meets_a_later_request() -> None:
    answered = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(END)
        writer.write(reply(b"%d" % number))
        await writer.drain()
        if number == 1:
            await answered.wait()
            writer.write(reply(b"late"))
            await writer.drain()
            assert await reader.read(1) == b"", "nothing is asked here any more"
        await reader.read()

    async with serving(late) as place, pool() as connections:
        first = await connections.exchange(place, REQUEST % 1, DEADLINES)
        answered.set()
        (idle,) = connections.idle(place)
        while idle.is_usable:  # noqa: ASYNC110 - it tells nobody when it breaks
            await asyncio.sleep(0)
        second = await connections.exchange(place, REQUEST % 2, DEADLINES)
    assert (first.body, second.body) == (b"1", b"2")


async def test_an_answer_with_more_behind_it_is_refused_whole() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(END)
        writer.write(reply(b"one") + reply(b"two"))
        await reader.read()

    async with serving(twice) as place, pool() as connections:
        with pytest.raises(AnswerLostError, match="more than one answer"):
            await connections.exchange(place, REQUEST % 1, DEADLINES)


@pytest.mark.parametrize(
    ("sends", "why"),
    [
        (b"", "closed by the other side"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf", "closed by the other side"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "length is not told"),
    ],
)
async def test_a_connection_that_breaks_before_the_answer_is_whole_gives_none(sends: bytes, why: str) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(END)
        writer.write(sends)

    async with serving(cut) as place, pool() as connections:
        with pytest.raises(AnswerLostError, match=why):
            await connections.exchange(place, REQUEST % 1, DEADLINES)
        assert connections.count_open() == 0


async def test_a_server_that_hangs_is_waited_for_no_longer_than_allowed() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.read()

    async with serving(hang) as place, pool() as connections:
        with pytest.raises(AnswerLostError, match="no answer within the time given"):
            await connections.exchange(place, REQUEST % 1, Deadlines(5, 0.02))
        assert connections.count_open() == 0


async def test_each_request_has_the_time_that_it_was_given_whatever_an_earlier_one_had() -> None:
    async def answer_after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for seconds in (0, 0.03, 3600):
            await reader.readuntil(END)
            await asyncio.sleep(seconds)  # the second one outlasts the first one's time
            writer.write(reply(b"%d" % number))

    async with serving(answer_after) as place, pool() as connections:
        for seconds in (0.02, 5):
            answer = await connections.exchange(place, REQUEST % 1, Deadlines(5, seconds))
            assert answer.body == b"1"
        with pytest.raises(AnswerLostError, match="no answer within the time given"):
            await connections.exchange(place, REQUEST % 1, Deadlines(5, 0.02))
        assert connections.count_open() == 0


@pytest.mark.parametrize("size", [READ_BYTES - 1, READ_BYTES, 5 * READ_BYTES])
async def test_an_answer_may_be_larger_than_what_is_read_at_once(size: int) -> None:
    body = bytes(index % 251 for index in range(size))

    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while await reader.readuntil(END):
            writer.write(reply(body))

    async with serving(large) as place, pool(limit=1) as connections:
        for _ in range(2):
            assert (await connections.exchange(place, REQUEST % 1, DEADLINES)).body == body


async def test_a_request_that_is_cancelled_takes_its_connection_along() -> None:
    asked = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(END)
        asked.set()
        if number > 1:
            writer.write(reply(b"%d" % number))
        await reader.read()

    async with serving(slow) as place, pool(limit=1) as connections:
        cancelled = asyncio.create_task(connections.exchange(place, REQUEST % 1, DEADLINES))
        await asked.wait()
        waiting = asyncio.create_task(connections.exchange(place, REQUEST % 2, DEADLINES))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert (await waiting).body == b"2"


async def test_one_that_is_cancelled_while_it_waits_leaves_its_turn_to_the_next() -> None:
    let_go = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            head = await reader.readuntil(END)
            await let_go.wait()
            writer.write(reply(head.split()[1]))

    async with serving(hold) as place, pool(limit=1) as connections:
        tasks = [
            asyncio.create_task(connections.exchange(place, REQUEST % number, DEADLINES))
            for number in range(3)
        ]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        let_go.set()
        assert (await tasks[0]).body == b"/0"
        assert (await tasks[2]).body == b"/2"


async def test_who_gets_no_connection_in_time_has_sent_nothing() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.read()

    async with serving(hold) as place, pool(limit=1) as connections:
        first = asyncio.create_task(connections.exchange(place, REQUEST % 1, DEADLINES))
        await asyncio.sleep(0)
        with pytest.raises(NotSentError, match="no connection within"):
            await connections.exchange(place, REQUEST % 2, Deadlines(0.02, 5))
        await connections.close()
        with pytest.raises(AnswerLostError):
            await first


async def test_nobody_there_means_that_nothing_was_sent() -> None:
    async with serving(echo) as place:
        pass
    async with pool() as connections:
        with pytest.raises(NotSentError):
            await connections.exchange(place, REQUEST % 1, DEADLINES)
        assert connections.count_open() == 0


async def test_a_client_that_is_closed_while_it_connects_sends_nothing() -> None:
    async with serving(echo) as place, pool() as connections:
        asked = asyncio.create_task(connections.exchange(place, REQUEST % 1, DEADLINES))
        await asyncio.sleep(0)
        await connections.close()
        with pytest.raises(NotSentError, match="closed"):
            await asked
        assert connections.count_open() == 0


async def test_a_closed_client_sends_nothing() -> None:
    async with serving(echo) as place, pool() as connections:
        await connections.close()
        with pytest.raises(NotSentError, match="closed"):
            await connections.exchange(place, REQUEST % 1, DEADLINES)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"
)  # as whoever leaves a loop without closing is told
def test_a_client_goes_on_after_the_loop_that_it_began_on() -> None:
    connections = ConnectionPool(tls_context(verify=True), 1)

    async def ask(place: Place, number: int) -> bytes:
        answer = await connections.exchange(place, REQUEST % number, DEADLINES)
        assert connections.count_open() == 1
        return answer.body

    with blocking_serving(blocking_echo) as place:
        assert [asyncio.run(ask(place, number)) for number in range(3)] == [b"1/0", b"2/1", b"3/2"]
        asyncio.run(connections.close())
    gc.collect()


async def test_a_lock_is_waited_for_no_longer_than_the_operation_may_take() -> None:
    lock = LoopLock()
    async with lock.held():
        with pytest.raises(CosmosClientTimeoutError):
            async with lock.held(asyncio.get_running_loop().time() - 1):
                raise AssertionError("two have it")
    async with lock.held():
        pass


@pytest.mark.parametrize(
    ("name", "trusted", "why"),
    [
        ("localhost", False, "self-signed"),
        ("another.example", True, "Hostname mismatch"),
        ("localhost", True, None),
    ],
)
async def test_only_a_server_that_proves_who_it_is_is_sent_anything(
    tmp_path: Path, name: str, *, trusted: bool, why: str | None
) -> None:
    path = write_certificate(tmp_path, name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    connections = ConnectionPool(tls_context(verify=str(path) if trusted else True), 1)
    async with serving(echo, context) as plain:
        place = Place.parse(f"https://localhost:{plain.port}/")
        if why is None:
            assert (await connections.exchange(place, REQUEST % 1, DEADLINES)).body == b"1/1"
        else:
            with pytest.raises(NotSentError, match=why):
                await connections.exchange(place, REQUEST % 1, DEADLINES)
        await connections.close()


@pytest.mark.parametrize("url", ["ftp://a", "acme.documents.azure.com", "https://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        Place.parse(url)
