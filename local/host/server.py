"""The HTTP server: uvicorn on connections of our own, started and stopped by the host."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from local.host.connection import Connection
from local.part import bind

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server(uvicorn.Server):
    """A server that tells when it answers, and leaves signals to the host."""

    def __init__(self, app: Any, grace_seconds: int) -> None:  # noqa: ANN401 -- uvicorn's own type for an ASGI app is private
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=grace_seconds,
            )
        )
        self.answers = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets=sockets)
        self.answers.set()


def listening_socket(port: int, inherited: int | None) -> socket.socket:
    """Listen on 127.0.0.1:port, or take the socket that a supervisor shares among its instances.

    A socket of its own for each instance (SO_REUSEPORT) would lose what waits in it when its instance dies.

    Raises:
        PortTakenError: Another process listens there.
    """
    if inherited is None:
        return bind(port)
    return socket.socket(fileno=inherited)


def port_of(bound: socket.socket) -> int:
    """Return the port that a socket is bound to."""
    return cast("tuple[str, int]", bound.getsockname())[1]
