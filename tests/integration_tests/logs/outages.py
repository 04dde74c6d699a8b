"""A way to an endpoint that is cut at times: connections break in the middle of whatever they carry."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PIECE = 64 * 1024


class CutWay:
    """Passes bytes on to a port, but for the times in which it is down.

    Attributes:
        is_down: Whether it is; new connections are closed at once then.
        cuts: How often connections were open when it went down.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self.is_down = False
        self.cuts = 0

    def go_down(self) -> None:
        """Break every connection, and take no new one."""
        self.is_down = True
        self.cuts += bool(self._open)
        for writer in self._open:
            writer.transport.abort()

    def come_up(self) -> None:
        """Pass on again."""
        self.is_down = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until one side ends it."""
        if self.is_down:
            writer.transport.abort()
            return
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, there}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, there))
                group.create_task(_pass_on(there_reader, writer))
        finally:
            self._open -= {writer, there}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def cut_way(target: int) -> AsyncIterator[tuple[CutWay, int]]:
    """Open the way, and give its port."""
    way = CutWay(target)
    async with await asyncio.start_server(way.serve, "127.0.0.1", 0) as server:
        yield way, server.sockets[0].getsockname()[1]
        way.go_down()
