"""The endpoint as an ASGI application on uvicorn, with the sweep of expired items beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from local.cosmos.wire.messages import Request

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Generator

    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

    from local.cosmos.engine.account import Account
    from local.cosmos.wire.gateway import Gateway

SWEEP_EVERY_S: Final = 1.0
_TRANSPORT: Final = "tenantry.transport"
_log = logging.getLogger(__name__)


class DroppableProtocol(HttpToolsProtocol):
    """Lets the application cut a connection, which ASGI has no word for."""

    def on_message_begin(self) -> None:
        """Hand the transport to the application."""
        super().on_message_begin()
        self.scope["state"][_TRANSPORT] = self.transport


class CosmosApp:
    """The ASGI application."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request."""
        http = cast("HTTPScope", scope)
        response = self._gateway.handle(
            Request(
                http["method"],
                http["path"],
                {name.decode("latin-1"): value.decode("latin-1") for name, value in http["headers"]},
                await _body(receive),
            )
        )
        if response.delay_s:
            await asyncio.sleep(response.delay_s)
        if response.drop:
            cast("asyncio.Transport", http["state"][_TRANSPORT]).abort()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        headers = [
            (name.encode("latin-1"), text.encode("latin-1")) for name, text in response.headers.items()
        ]
        headers.append((b"content-length", b"%d" % len(response.body)))
        await send(
            {"type": "http.response.start", "status": response.status, "headers": headers, "trailers": False}
        )
        await send({"type": "http.response.body", "body": response.body, "more_body": False})


async def _body(receive: ASGIReceiveCallable) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        if not message["more_body"]:
            return message["body"] if not chunks else b"".join((*chunks, message["body"]))
        chunks.append(message["body"])


@contextlib.asynccontextmanager
async def serve(gateway: Gateway, account: Account, listener: socket.socket) -> AsyncIterator[None]:
    """Answer on a bound socket while the block runs."""
    config = uvicorn.Config(
        CosmosApp(gateway),
        http=DroppableProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=75,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    sweeping = asyncio.create_task(_sweep(account))
    try:
        await server.answering.wait()
        yield
    finally:
        sweeping.cancel()
        server.should_exit = True
        await asyncio.gather(running, sweeping, return_exceptions=True)


class _Server(uvicorn.Server):
    """A server that tells when it answers and leaves the signals to its process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _sweep(account: Account) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            account.sweep()
        except sqlite3.Error:
            _log.exception("sweeping expired items failed; the next sweep tries again")
