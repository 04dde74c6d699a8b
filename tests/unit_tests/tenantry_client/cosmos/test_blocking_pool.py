"""Blocking connections: as careful as those of asyncio, for any number of threads, and never suspended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tenantry_client.cosmos.blocking_pool import BlockingLock, BlockingPool, run_to_end
from tenantry_client.cosmos.exceptions import CosmosClientTimeoutError
from tenantry_client.cosmos.transport import AnswerLostError, Deadlines, NotSentError, Place, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINES = Deadlines(5, 5)
END = b"\r\n\r\n"


def reply(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def take_request(connection: socket.socket) -> bytes:
    """Return the path of the next request; empty at the end."""
    head = b""
    while not head.endswith(END):
        data = connection.recv(4096)
        if not data:
            return b""
        head += data
    return head.split()[1]


@contextlib.contextmanager
def serving(behave: Callable[[socket.socket, int], None]) -> Iterator[Place]:
    """Run a server whose n-th connection behaves as told, in threads of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    open_connections: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                open_connections.append(connection)
                threading.Thread(target=serve, args=(connection, len(open_connections))).start()

    def serve(connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection:
            behave(connection, number)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield Place.parse(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for one in open_connections:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextlib.contextmanager
def pool(limit: int = 4) -> Iterator[BlockingPool]:
    opened = BlockingPool(tls_context(verify=True), limit)
    try:
        yield opened
    finally:
        run_to_end(opened.close())


def echo(connection: socket.socket, number: int) -> None:
    while path := take_request(connection):
        connection.sendall(reply(b"%d%b" % (number, path)))


def ask(connections: BlockingPool, place: Place, path: str, deadlines: Deadlines = DEADLINES) -> bytes:
    request = f"GET {path} HTTP/1.1\r\n\r\n".encode()
    return run_to_end(connections.exchange(place, request, deadlines)).body


def test_one_connection_carries_one_request_after_another() -> None:
    with serving(echo) as place, pool() as connections:
        assert [ask(connections, place, f"/{number}") for number in range(3)] == [b"1/0", b"1/1", b"1/2"]


def test_each_thread_has_its_own_answer_over_few_connections() -> None:
    with serving(echo) as place, pool(limit=2) as connections, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: ask(connections, place, f"/{number}"), range(40)))
    assert [answer.split(b"/")[1] for answer in answers] == [b"%d" % number for number in range(40)]
    assert {answer.split(b"/")[0] for answer in answers} <= {b"1", b"2"}


def test_a_late_answer_never_meets_a_later_request() -> None:
    sent = threading.Event()

    def late(connection: socket.socket, number: int) -> None:
        while path := take_request(connection):
            connection.sendall(reply(b"%d%b" % (number, path)))
            if number == 1:
                connection.sendall(reply(b"late"))
            sent.set()

    with serving(late) as place, pool() as connections:
        with contextlib.suppress(AnswerLostError):  # both may have come together
            ask(connections, place, "/1")
        assert sent.wait(5)
        assert ask(connections, place, "/2") == b"2/2"


@pytest.mark.parametrize(
    ("sends", "why"),
    [
        (b"", "closed by the other side"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf", "closed by the other side"),
        (reply(b"one") + reply(b"two"), "more than one answer"),
    ],
)
def test_what_is_no_whole_answer_is_none(sends: bytes, why: str) -> None:
    def cut(connection: socket.socket, _: int) -> None:
        take_request(connection)
        connection.sendall(sends)

    with serving(cut) as place, pool() as connections, pytest.raises(AnswerLostError, match=why):
        ask(connections, place, "/1")


def test_a_server_that_hangs_is_waited_for_no_longer_than_allowed() -> None:
    def hang(connection: socket.socket, _: int) -> None:
        while take_request(connection):
            pass

    with serving(hang) as place, pool() as connections, pytest.raises(AnswerLostError, match="time given"):
        ask(connections, place, "/1", Deadlines(5, 0.02))


def test_who_gets_no_connection_in_time_has_sent_nothing() -> None:
    asked = threading.Event()

    def hold(connection: socket.socket, _: int) -> None:
        take_request(connection)
        asked.set()
        take_request(connection)

    with serving(hold) as place, pool(limit=1) as connections, ThreadPoolExecutor(1) as threads:
        first = threads.submit(ask, connections, place, "/1", Deadlines(5, 0.3))
        assert asked.wait(5)
        with pytest.raises(NotSentError, match="no connection within"):
            ask(connections, place, "/2", Deadlines(0.01, 5))
        run_to_end(connections.close())
        with pytest.raises(AnswerLostError):
            first.result()


def test_nobody_there_or_a_closed_client_means_that_nothing_was_sent() -> None:
    with serving(echo) as place:
        pass
    with pool() as connections:
        with pytest.raises(NotSentError):
            ask(connections, place, "/1")
        run_to_end(connections.close())
        with pytest.raises(NotSentError, match="closed"):
            ask(connections, place, "/1")


FORKED = """
import os, sys
from tenantry_client.cosmos.blocking_pool import BlockingPool, run_to_end
from tenantry_client.cosmos.transport import Deadlines, Place, tls_context

pool, place = BlockingPool(tls_context(verify=True), 1), Place.parse(sys.argv[1])

def ask(path):
    request = f"GET {path} HTTP/1.1\\r\\n\\r\\n".encode()
    print(run_to_end(pool.exchange(place, request, Deadlines())).body.decode(), flush=True)

ask("/before")
if child := os.fork():
    os.waitpid(child, 0)
    ask("/parent")
else:
    ask("/child")
    os._exit(0)
"""


@pytest.mark.slow
def test_a_forked_child_has_connections_of_its_own() -> None:
    with serving(echo) as place:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", FORKED, place.url], capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["1/before", "2/child", "1/parent"]


def test_a_lock_is_waited_for_no_longer_than_the_operation_may_take() -> None:
    async def held_twice() -> None:
        lock = BlockingLock()
        async with lock.held(), lock.held(time.monotonic() + 0.01):
            raise AssertionError("two have it")

    with pytest.raises(CosmosClientTimeoutError):
        run_to_end(held_twice())


def test_what_wants_to_suspend_is_refused() -> None:
    with pytest.raises(RuntimeError, match="tried to suspend"):
        run_to_end(asyncio.sleep(0))
