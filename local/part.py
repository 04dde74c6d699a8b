"""The contract of the local platform's parts: take a port, say so, and stop when told or orphaned.

A part is `python -m local.<part> --port N --data-dir DIR`. It binds 127.0.0.1, prints one line
`listening {"port": N}` on stdout when it answers, and stops on SIGINT, SIGTERM or when its stdin ends, which
is how it notices that its supervisor was killed.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_PORT_TAKEN = 2
"""The exit code of a part whose port is held by another process."""

EXIT_MISSING = 3
"""The exit code of a part that lacks something that has to be installed."""

_STDIN = 0


class PortTakenError(OSError):
    """Another process listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(errno.EADDRINUSE, f"port {port} is already in use")
        self.port = port

    def __str__(self) -> str:
        return f"port {self.port} is already in use: stop what listens there, or choose another one"


def bind(port: int) -> socket.socket:
    """Give a TCP socket that listens on 127.0.0.1; port 0 takes a free one.

    It listens at once, because two sockets may be bound to one port for as long as neither listens.

    Raises:
        PortTakenError: Another process listens there.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A port left in TIME_WAIT by the last run is free; one that somebody listens on is not.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(port) from error
        raise
    except OverflowError:
        bound.close()
        raise
    return bound


def announce(port: int) -> None:
    """Tell the supervisor that the part answers on `port`."""
    print("listening " + json.dumps({"port": port}), flush=True)


async def parent_gone(fd: int = _STDIN) -> None:
    """Return when `fd` (stdin) reaches its end: whoever held its other end is gone.

    Only a pipe or a socket has another end that a supervisor could hold. From a terminal, a file or
    /dev/null this never returns, so that a part can be started by hand or in the background.
    """
    if not _has_another_end(fd):
        await asyncio.get_running_loop().create_future()
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, _read_to_the_end, fd, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(fd)


async def until_stopped() -> None:
    """Return on SIGINT, on SIGTERM, or when the supervisor is gone.

    A SIGINT that the supervisor made its children ignore stays ignored: at a Ctrl-C the terminal signals the
    whole process group, and it is the supervisor that stops its parts in their order.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            # The handler stays when this returns: a second Ctrl-C must not break the clean-up.
            loop.add_signal_handler(number, told.set)
    waits = [asyncio.ensure_future(told.wait()), asyncio.ensure_future(parent_gone())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _has_another_end(fd: int) -> bool:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:  # started with stdin closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _read_to_the_end(fd: int, at_the_end: Callable[[], None]) -> None:
    try:
        data = os.read(fd, 4096)
    except BlockingIOError:
        return
    except OSError as error:  # a reset socket has ended as well
        print(f"stdin cannot be read, taking it as its end: {error}", file=sys.stderr)
        data = b""
    if not data:
        at_the_end()
