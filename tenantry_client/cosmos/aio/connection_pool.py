"""Pool of connections of asyncio: one request at a time on each, and none is used again after a doubt."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

from tenantry_client.cosmos.answer_reader import AnswerReader, MalformedAnswerError
from tenantry_client.cosmos.exceptions import CosmosClientTimeoutError
from tenantry_client.cosmos.transport import IDLE_SECONDS, READ_BYTES, AnswerLostError, NotSentError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from tenantry_client.cosmos.answers import Answer
    from tenantry_client.cosmos.transport import Deadlines, Place


class GatewayConnection(asyncio.BufferedProtocol):
    """One connection to a gateway.

    Bytes that arrive while nothing is asked end it, as does everything that is no whole answer: a late answer
    never meets a later request. They come in a buffer of its own: for a protocol without one, asyncio
    allocates 256 KB for each read, which the C library may map and unmap each time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = AnswerReader()
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._end = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._why = ""
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether nothing has ended it."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent."""
        return self.is_open and self.idle_since + IDLE_SECONDS > self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.idle_since = self._loop.time()
        made = transport.get_extra_info("socket")
        if made is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def exchange(self, request: bytes, seconds: float) -> Answer:
        """Send a request; return its answer.

        Raises:
            AnswerLostError: None came in time, or none that could be read.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise AnswerLostError("the connection is closed")
        waiting: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting = waiting
        self._end = self._loop.time() + seconds
        if self._timer is None or self._end < self._timer.when():
            self._set_timer()
        try:
            transport.write(request)
            return await waiting
        finally:
            self._waiting = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol has it
        """Return where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read what has arrived."""
        waiting = self._waiting
        if waiting is None or waiting.done():
            self.abort("an answer that nobody waits for")
            return
        try:
            answer = self._reader.feed(self._buffer[:nbytes])
        except MalformedAnswerError as error:
            self.abort(str(error))
            return
        if answer is None:
            return
        transport = self._transport
        if transport is not None and (not answer.keeps_alive or transport.get_write_buffer_size()):
            transport.abort()  # the rest of a request that was answered early is nobody's
        self.idle_since = self._loop.time()
        waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is waiting."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._fail(self._why or f"the connection broke: {exc or 'closed by the other side'}")

    def abort(self, why: str) -> None:
        """End the connection at once."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()
        self._fail(why)

    def close(self) -> None:
        """End the connection in order; one with a request on it at once."""
        if self._waiting is not None:
            self.abort("the client was closed")
        elif self._transport is not None:
            self._transport.close()

    def shut(self) -> None:
        """End the connection without the loop."""
        made = None if self._transport is None else self._transport.get_extra_info("socket")
        if made is not None:
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)

    def _set_timer(self) -> None:
        """Look at the time when that of the request is over.

        The timer outlives the request, and is moved only for one that has less time: a timer for each request
        would cost several times as much.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._end, self._look_at_the_time)

    def _look_at_the_time(self) -> None:
        self._timer = None
        if self._waiting is None or self._waiting.done():
            return
        if self._loop.time() < self._end:
            self._set_timer()  # that was an earlier request's
        else:
            self.abort("no answer within the time given")

    def _fail(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(AnswerLostError(why))


class LoopLock:
    """A lock between the tasks of one loop; of the loop that runs now, where an earlier one has ended."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def held(self, end: float | None = None) -> AsyncIterator[None]:
        """Hold it for a block.

        Raises:
            CosmosClientTimeoutError: It was not to be had in time.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        lock = self._lock
        try:
            async with asyncio.timeout(None if end is None else end - time.monotonic()):
                await lock.acquire()
        except TimeoutError as error:
            raise CosmosClientTimeoutError(error=error) from error
        try:
            yield
        finally:
            lock.release()


class _Places:
    """Connections to one place: at most so many, the one used last first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open = 0
        self.idle: list[GatewayConnection] = []
        self.busy: set[GatewayConnection] = set()
        self.waiters: deque[asyncio.Future[GatewayConnection | None]] = deque()

    def pass_on(self, connection: GatewayConnection | None) -> bool:
        """Give a connection, or the right to open one, to whoever has waited longest."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False


class ConnectionPool:
    """Bounded connections to each place that the account names.

    They are those of one loop: on another one, as in a second `asyncio.run`, it begins anew.

    Args:
        tls: How TLS is spoken.
        limit: The most connections to one place; who finds none waits for one, in turn.
    """

    def __init__(self, tls: ssl.SSLContext, limit: int) -> None:
        self._tls = tls
        self._limit = limit
        self._places: dict[Place, _Places] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def exchange(self, place: Place, request: bytes, deadlines: Deadlines) -> Answer:
        """Send a request; return its answer.

        Raises:
            NotSentError: No connection could be had.
        """
        if self._closed:
            raise NotSentError("the client is closed")
        if self._loop is not asyncio.get_running_loop():
            self._begin()
        pool = self._places.get(place) or self._places.setdefault(place, _Places(self._limit))
        connection = self._pop_idle(pool) or await self._take(place, pool, deadlines)
        pool.busy.add(connection)
        try:
            answer = await connection.exchange(request, deadlines.read)
        except BaseException:
            connection.abort("its request was given up")
            self._put_back(pool, connection)
            raise
        self._put_back(pool, connection)
        return answer

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def new_lock(self) -> LoopLock:
        """Return a lock of this loop."""
        return LoopLock()

    async def close(self) -> None:
        """Close all connections; what is waiting fails."""
        self._closed = True
        if self._loop is not asyncio.get_running_loop():
            self._begin()
        for pool in self._places.values():
            for waiter in pool.waiters:
                if not waiter.done():
                    waiter.set_exception(NotSentError("the client was closed"))
            for connection in (*pool.idle, *pool.busy):
                connection.close()
            pool.open -= len(pool.idle)
            pool.idle.clear()
        await asyncio.sleep(0)  # lets the transports say good-bye

    def _begin(self) -> None:
        """Leave the connections to a loop that has ended, and can close none: their sockets are shut."""
        for pool in self._places.values():
            for connection in pool.idle:
                connection.shut()
        self._places = {}
        self._loop = asyncio.get_running_loop()

    def idle(self, place: Place) -> tuple[GatewayConnection, ...]:
        """Return the connections that wait for a request, the one used last at the end."""
        pool = self._places.get(place)
        return () if pool is None else tuple(pool.idle)

    def count_open(self) -> int:
        """Tell how many connections there are."""
        return sum(pool.open for pool in self._places.values())

    @staticmethod
    def _pop_idle(pool: _Places) -> GatewayConnection | None:
        while pool.idle:
            connection = pool.idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
            pool.open -= 1
        return None

    async def _take(self, place: Place, pool: _Places, deadlines: Deadlines) -> GatewayConnection:
        try:
            async with asyncio.timeout(deadlines.connect):
                if pool.open >= pool.limit:
                    connection = await self._wait(pool)
                    if connection is not None:
                        return connection
                else:
                    pool.open += 1
                return await self._open(place, pool)
        except TimeoutError as error:
            raise NotSentError("no connection within the time given") from error

    async def _wait(self, pool: _Places) -> GatewayConnection | None:
        """Wait in turn; what comes is a connection, or None for the right to open one."""
        waiter: asyncio.Future[GatewayConnection | None] = asyncio.get_running_loop().create_future()
        pool.waiters.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                given = waiter.result()
                if given is not None:
                    self._put_back(pool, given)
                elif not pool.pass_on(None):
                    pool.open -= 1
            raise

    async def _open(self, place: Place, pool: _Places) -> GatewayConnection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: GatewayConnection(loop),
                place.host,
                place.port,
                ssl=self._tls if place.is_secure else None,
            )
        except BaseException as error:
            if not pool.pass_on(None):
                pool.open -= 1
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise NotSentError(f"no connection to {place.authority}: {error}") from error
            raise
        if self._closed:
            self._put_back(pool, connection)
            raise NotSentError("the client was closed")
        return connection

    def _put_back(self, pool: _Places, connection: GatewayConnection) -> None:
        pool.busy.discard(connection)
        if not connection.is_open or self._closed:
            connection.close()
            if not pool.pass_on(None):
                pool.open -= 1
        elif not pool.pass_on(connection):
            pool.idle.append(connection)
