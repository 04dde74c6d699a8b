"""The endpoint on asyncio: sockets, timers, and the one order in which things happen.

What comes in changes the broker at once. At the end of the event loop's turn everything that changed is
committed together, and only then does any byte go out. So whatever a client was told is on disk, and the cost
of a commit is shared by all that happened in that turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from local.servicebus.admin import Admin, looks_like_http
from local.servicebus.engine.broker import Broker
from local.servicebus.faults import Faults
from local.servicebus.wire.connection import Connection
from local.servicebus.wire.node import Hub, Node
from local.servicebus.wire.tokens import TokenCheck

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from local.servicebus.config import Config
    from local.servicebus.storage import SqliteStore

KEY_NAME: Final = "RootManageSharedAccessKey"
KEY: Final = "SAS_KEY_VALUE"
_TICK_SECONDS: Final = 10.0
_LONGEST_SLEEP_MS: Final = 60_000


def wall_clock() -> int:
    """Give milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def log(line: str) -> None:
    """Say something to whoever runs the endpoint."""
    with contextlib.suppress(
        OSError
    ):  # a log on the disk that is full; whatever is to be said is done all the same
        print(f"servicebus: {line}", file=sys.stderr, flush=True)


class Server:
    """Accepts connections and drives the broker."""

    def __init__(self, config: Config, store: SqliteStore) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._broker = Broker(config.queues, store, wall_clock, uuid.uuid4, config.topics)
        self._hub = Hub(self._broker)
        faults = Faults()
        self._node = Node(
            broker=self._broker,
            hub=self._hub,
            faults=faults,
            token_check=TokenCheck(KEY_NAME, KEY, wall_clock),
            clock=wall_clock,
            later=self._later,
        )
        self.admin = Admin(self._broker, faults, lambda: len(self._sockets), self._drop_all)
        self._sockets: set[_Socket] = set()
        self._touched: dict[_Socket, None] = {}
        self._turn: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._listener: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        """Set when the endpoint has to end."""
        self.failure: str | None = None
        """Why the endpoint ends, if nobody told it to."""

    async def start(self, listening: socket.socket) -> None:
        """Begin to answer."""
        self._listener = await self._loop.create_server(lambda: _Socket(self, self._node), sock=listening)
        self._ticker = asyncio.create_task(self._tick())
        self.turn()

    async def stop(self) -> None:
        """End all connections and commit."""
        if self._listener is not None:
            self._listener.close()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        for connected in list(self._sockets):
            connected.close()
        self._end_turn()
        if self._alarm is not None:
            self._alarm.cancel()

    def joined(self, connected: _Socket) -> None:
        """Note a new connection."""
        self._sockets.add(connected)

    def left(self, connected: _Socket) -> None:
        """Note that a connection is gone."""
        self._sockets.discard(connected)
        self._touched.pop(connected, None)
        self.turn()

    def touch(self, connected: _Socket) -> None:
        """Note that a connection may have something to send at the end of the turn."""
        self._touched[connected] = None
        self.turn()

    def attempt(self, action: Callable[[], None]) -> None:
        """Do what may write to the store, unless it can no longer be written."""
        if self.failure is not None:
            return
        try:
            action()
        except sqlite3.Error as error:
            self.fail(error)

    def turn(self) -> None:
        """Have the end of the turn come."""
        if self._turn is None:
            self._turn = self._loop.call_soon(self._end_turn)

    def fail(self, error: Exception) -> None:
        """End the endpoint, because the queues cannot be written; say why to the operator and each client.

        Nothing else is told to anybody from then on: what was not committed did not happen.
        """
        if self.failure is not None:
            return
        self.failure = (
            f"the queues in {self._store.path} cannot be written, so nothing more is accepted: {error}"
        )
        log(self.failure)
        for connected in list(self._sockets):
            connected.fail(self.failure)
        self.over.set()

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self.failure is not None:
            return
        try:
            self._broker.advance()
            self._hub.pump()
            self._store.commit()
        except Exception as error:  # noqa: BLE001 - memory and file may differ now: nothing may go on from here
            self.fail(error)
            return
        # A message may have been handed to any connection, not only to those that were heard from.
        for connected in list(self._sockets):
            connected.write_out()
        self._touched.clear()
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self._broker.next_due()
        if due is not None:
            wait = min(max(due - wall_clock(), 0) + 1, _LONGEST_SLEEP_MS)
            self._alarm = self._loop.call_later(wait / 1000, self.turn)

    def _later(self, delay_ms: int, action: Callable[[], None]) -> asyncio.TimerHandle:
        def act() -> None:
            self.attempt(action)
            self.turn()

        return self._loop.call_later(delay_ms / 1000, act)

    def _drop_all(self) -> None:
        for connected in list(self._sockets):
            connected.abort()

    async def _tick(self) -> None:
        while True:
            for connected in list(self._sockets):
                connected.tick()
            self.turn()
            await asyncio.sleep(_TICK_SECONDS)


class _Socket(asyncio.Protocol):
    """One client's socket, which turns out to speak AMQP or HTTP."""

    def __init__(self, server: Server, node: Node) -> None:
        self._server = server
        self._node = node
        self._transport: asyncio.Transport | None = None
        self._amqp: Connection | None = None
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._amqp is None:
            self._first += data
            if looks_like_http(self._first):
                self._answer_http()
                return
            data, self._first = self._first, b""
            self._amqp = Connection(self._node, log)
            self._server.joined(self)
        self._server.attempt(partial(self._amqp.feed, data))
        self._server.touch(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._amqp is not None:
            self._server.attempt(self._amqp.lost)
            self._amqp = None
            self._server.left(self)

    def write_out(self) -> None:
        if self._amqp is None or self._transport is None:
            return
        if self._amqp.dropped:
            self._transport.abort()
            return
        data = self._amqp.output()
        if data:
            self._transport.write(data)
        if self._amqp.finished:
            self._transport.close()

    def tick(self) -> None:
        if self._amqp is not None:
            self._amqp.tick()

    def fail(self, reason: str) -> None:
        if self._amqp is not None and self._transport is not None:
            self._transport.write(self._amqp.fail(reason))
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._amqp is not None:
            self._amqp.close()

    def _answer_http(self) -> None:
        answer = self._server.admin.answer(self._first)
        if answer is not None and self._transport is not None:
            self._server.turn()  # a look at the depths lets happen what is due
            self._transport.write(answer)
            self._transport.close()
