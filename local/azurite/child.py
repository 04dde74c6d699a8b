"""Runs Azurite as a child process: waits until it answers, relays its words and its death."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LISTENING = re.compile(rb"successfully listens on http://[^:]+:(\d+)")


class AzuriteStoppedError(Exception):
    """Azurite ended by itself; the message is what it said last."""


def command(node: str, launcher: Path, port: int, data_dir: Path) -> list[str]:
    """Build the command line: loopback only, the blob service only, nothing reported to anybody."""
    return [
        node,
        str(launcher),
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
        "--location",
        str(data_dir),
        "--skipApiVersionCheck",  # the pinned SDK speaks a newer version than the pinned Azurite knows
        "--disableTelemetry",
        "--silent",
    ]


class Azurite:
    """A running Azurite, which dies with the process that started it."""

    def __init__(self, process: asyncio.subprocess.Process, grace_seconds: float) -> None:
        self._process = process
        self._grace_seconds = grace_seconds
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._last_words: deque[str] = deque(maxlen=1)
        self._relays = [
            asyncio.ensure_future(self._relay(stream))
            for stream in (process.stdout, process.stderr)
            if stream is not None
        ]

    @classmethod
    async def start(cls, line: Sequence[str], grace_seconds: float = 5.0) -> Azurite:
        """Start it without waiting until it answers."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*line, stdin=pipe, stdout=pipe, stderr=pipe)
        return cls(process, grace_seconds)

    @property
    def pid(self) -> int:
        """The process id of Node."""
        return self._process.pid

    async def listening(self) -> int:
        """Wait until it answers and give its port.

        Raises:
            AzuriteStoppedError: It ended instead.
        """
        ended = asyncio.ensure_future(self.ended())
        ended.add_done_callback(lambda _: self._port.cancel())
        try:
            return await asyncio.shield(self._port)
        except asyncio.CancelledError:
            if ended.done() and not ended.cancelled():
                raise ended.result() from None
            raise
        finally:
            ended.cancel()

    async def ended(self) -> AzuriteStoppedError:
        """Wait until it ends by itself and say how."""
        code = await self._process.wait()
        await asyncio.gather(*self._relays)
        said = f": {self._last_words[0]}" if self._last_words else ""
        return AzuriteStoppedError(f"Azurite stopped with exit code {code}{said}")

    async def stop(self) -> None:
        """Let it finish what it does, for a bounded time."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), self._grace_seconds)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await asyncio.gather(*self._relays)

    async def _relay(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            text = line.decode(errors="replace").rstrip()
            if text:
                self._last_words.append(text)
                print(text, file=sys.stderr, flush=True)
            match = _LISTENING.search(line)
            if match and not self._port.done():
                self._port.set_result(int(match[1]))
