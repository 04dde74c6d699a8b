"""Pool of blocking connections for the client without asyncio; its coroutines never suspend."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from tenantry_client.cosmos.answer_reader import AnswerReader, MalformedAnswerError
from tenantry_client.cosmos.exceptions import CosmosClientTimeoutError
from tenantry_client.cosmos.transport import IDLE_SECONDS, READ_BYTES, AnswerLostError, NotSentError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from tenantry_client.cosmos.answers import Answer
    from tenantry_client.cosmos.transport import Deadlines, Place

_SOON = 0.001
"""Seconds for what has none left: 0 would mean not to wait at all, which is another error."""


def run_to_end[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that only waits by blocking; return its result.

    Raises:
        RuntimeError: It wanted to suspend, which nothing over a blocking pool does.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a coroutine over a blocking pool tried to suspend")


class BlockingLock:
    """A lock between threads, with the shape of one between tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @asynccontextmanager
    async def held(self, end: float | None = None) -> AsyncIterator[None]:
        """Hold it for a block.

        Raises:
            CosmosClientTimeoutError: It was not to be had in time.
        """
        if not self._lock.acquire(timeout=-1 if end is None else max(end - time.monotonic(), 0)):
            raise CosmosClientTimeoutError
        try:
            yield
        finally:
            self._lock.release()


class BlockingConnection:
    """One socket to a gateway, with one request at a time."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self._reader = AnswerReader()
        self._used_at = time.monotonic()
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def is_usable(self) -> bool:
        """Tell whether nothing has arrived meanwhile, and it is not too old: a late answer shows here."""
        if self._used_at + IDLE_SECONDS <= time.monotonic():
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def exchange(self, request: bytes, seconds: float) -> Answer:
        """Send a request; return its answer.

        Raises:
            AnswerLostError: None came in time, or none that could be read.
        """
        end = time.monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(request)
            while True:
                left = end - time.monotonic()
                if left <= 0:
                    raise AnswerLostError("no answer within the time given")
                self._socket.settimeout(left)
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise AnswerLostError("the connection broke: closed by the other side")
                answer = self._reader.feed(data)
                if answer is not None:
                    self._used_at = time.monotonic()
                    return answer
        except TimeoutError as error:
            raise AnswerLostError("no answer within the time given") from error
        except (OSError, MalformedAnswerError) as error:
            raise AnswerLostError(f"the connection broke: {error}") from error

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


class BlockingPool:
    """Bounded blocking connections to each place, for any number of threads.

    After a fork the child has connections of its own: two processes on one would read each other's answers.

    Args:
        tls: How TLS is spoken.
        limit: The most connections to one place; who finds none waits for one.
    """

    def __init__(self, tls: ssl.SSLContext, limit: int) -> None:
        self._tls = tls
        self._limit = limit
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._idle: dict[Place, list[BlockingConnection]] = {}
        self._room: dict[Place, threading.BoundedSemaphore] = {}

    async def exchange(self, place: Place, request: bytes, deadlines: Deadlines) -> Answer:
        """Send a request; return its answer."""
        with self._turn(place, deadlines.connect):
            connection = self._take(place) or self._open(place, deadlines.connect)
            try:
                answer = connection.exchange(request, deadlines.read)
            except BaseException:
                connection.close()
                raise
            with self._lock:
                keeps = answer.keeps_alive and not self._closed
                if keeps:
                    self._idle[place].append(connection)
            if not keeps:
                connection.close()
            return answer

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)  # noqa: ASYNC251 - that this blocks is the point

    def new_lock(self) -> BlockingLock:
        """Return a lock between threads."""
        return BlockingLock()

    async def close(self) -> None:
        """Close the connections that are idle; those in use close when their request is done."""
        with self._lock:
            self._closed = True
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
                connections.clear()

    @contextmanager
    def _turn(self, place: Place, seconds: float) -> Iterator[None]:
        if self._closed:
            raise NotSentError("the client is closed")
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            room = self._room.setdefault(place, threading.BoundedSemaphore(self._limit))
            self._idle.setdefault(place, [])
        if not room.acquire(timeout=seconds):
            raise NotSentError("no connection within the time given")
        try:
            if self._closed:
                raise NotSentError("the client was closed")
            yield
        finally:
            room.release()

    def _take(self, place: Place) -> BlockingConnection | None:
        while True:
            with self._lock:
                idle = self._idle[place]
                connection = idle.pop() if idle else None
            if connection is None or connection.is_usable():
                return connection
            connection.close()

    def _open(self, place: Place, seconds: float) -> BlockingConnection:
        end = time.monotonic() + seconds
        try:
            made = self._connect(place, end)
            try:
                made.settimeout(max(end - time.monotonic(), _SOON))
                secured = self._tls.wrap_socket(made, server_hostname=place.host) if place.is_secure else made
            except BaseException:
                made.close()
                raise
        except OSError as error:
            raise NotSentError(f"no connection to {place.authority}: {error}") from error
        return BlockingConnection(secured)

    @staticmethod
    def _connect(place: Place, end: float) -> socket.socket:
        """Connect to one of the addresses that a name has, all of them together within the time given."""
        addresses = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        failed = OSError("the name has no address")
        for family, kind, protocol, _, address in addresses:
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(max(end - time.monotonic(), _SOON))
                made.connect(address)
            except OSError as error:
                made.close()
                failed = error
            else:
                return made
        raise failed
