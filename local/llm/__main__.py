"""`python -m local.llm`: the stand-in model as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from local import part
from local.llm.app import build_app
from local.llm.encodings import count
from local.llm.endpoint import Endpoint, Manners

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Sequence


class _Abortable(HttpToolsProtocol):
    """A connection that the application can cut, which ASGI has no word for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}


class _Server(uvicorn.Server):
    """A server that leaves the signals to its process and tells when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the endpoint until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.llm", description=__doc__)
    parser.add_argument("--port", type=int, default=8082, help="0 takes a free port")
    parser.add_argument("--data-dir", type=Path, help="taken like every part's; nothing is stored")
    parser.add_argument(
        "--accept-key", action="append", default=[], metavar="KEY", help="refuse all others; may be repeated"
    )
    parser.add_argument(
        "--dated-releases", action="store_true", help="name the release in answers, as OpenAI does"
    )
    options = parser.parse_args(arguments)
    manners = Manners(tuple(options.accept_key), options.dated_releases)
    try:
        listener = part.bind(options.port)
    except part.PortTakenError as error:
        print(error, file=sys.stderr)
        return part.EXIT_PORT_TAKEN
    with listener:
        uvloop.run(_run(listener, manners))
    return 0


async def _run(listener: socket.socket, manners: Manners) -> None:
    # The ranks take a moment to load: before the first request, not in it.
    await asyncio.to_thread(count, "o200k_base", "ready?")
    config = uvicorn.Config(
        build_app(Endpoint(time.time, time.monotonic, manners=manners)),
        http=_Abortable,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await server.answering.wait()
    stopped = asyncio.create_task(part.until_stopped())
    await asyncio.sleep(0)  # it listens to signals before anybody knows that there is somebody to signal
    part.announce(listener.getsockname()[1])
    await stopped
    server.should_exit = True
    await running


if __name__ == "__main__":
    sys.exit(main())
