"""The HTTP server: uvicorn on httptools, started and stopped by the host."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from local.part import PortTakenError, bind

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server(uvicorn.Server):
    """A server that tells when it answers, and leaves signals to the host."""

    def __init__(self, app: Any, grace_seconds: int) -> None:  # noqa: ANN401 -- uvicorn's own type for an ASGI app is private
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
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


def bind_port(port: int, *, reuse: bool) -> socket.socket:
    """Bind 127.0.0.1:port; with `reuse`, several instances share it and the kernel spreads the connections.

    Raises:
        PortTakenError: Another process, or one that does not share, listens there.
    """
    if not reuse:
        return bind(port)
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(port) from error
        raise
    return bound


def port_of(bound: socket.socket) -> int:
    """Return the port that a socket is bound to."""
    return cast("tuple[str, int]", bound.getsockname())[1]
