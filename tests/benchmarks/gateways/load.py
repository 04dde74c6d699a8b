"""Load on a gateway: chat completions over connections that stay open, and how long each took."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OK = b" 200 "
_MOST_BYTES = 4 * 1024 * 1024
MESSAGES = [
    {"role": "system", "content": "You help the customers of Initech with their printers, briefly. " * 4},
    {"role": "user", "content": "My printer has been on fire since this morning. What should I do now?"},
]


class RefusedRequestError(Exception):
    """The gateway did not answer with a whole completion; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Way to a gateway.

    Attributes:
        port: Where it listens on this machine.
        path: The path of chat completions.
        keys: A key for each tenant.
        model: The model that is asked for.
    """

    port: int
    path: str
    keys: tuple[str, ...]
    model: str = "gpt-4o"

    def request(self, number: int, *, stream: bool, max_tokens: int = 256) -> bytes:
        """Write a request of the tenant whose turn it is."""
        options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        body = {"model": self.model, "messages": MESSAGES, "max_tokens": max_tokens}
        content = json.dumps(body | options)
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.keys[number % len(self.keys)]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return (head + content).encode()


@dataclass(slots=True)
class Taken:
    """Seconds that answers took: to the first bytes of a text, and to the end."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def percentile_ms(self, share: float) -> float:
        """Return how long a share of the answers took at most, in milliseconds."""
        took = sorted(self.whole)
        return 1_000 * took[min(len(took) - 1, int(len(took) * share))]


class Connection:
    """A connection on which one request is answered after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=_MOST_BYTES))

    async def ask(self, request: bytes, *, stream: bool) -> tuple[float, float]:
        """Ask, and return the seconds to the first text and to the end.

        Raises:
            RefusedRequestError: The answer is no whole completion.
        """
        began = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if _OK not in head.partition(b"\r\n")[0]:
            raise RefusedRequestError((head + await self._body(head)).decode(errors="replace"))
        if not stream:
            body = await self._body(head)
            if b'"finish_reason":"stop"' not in body.replace(b'": "', b'":"'):
                raise RefusedRequestError(body.decode(errors="replace"))
            whole = time.perf_counter() - began
            return whole, whole
        await self._reader.readuntil(b"word0")
        first = time.perf_counter() - began
        end = await self._reader.readuntil(b"\r\n0\r\n\r\n")
        if b"data: [DONE]" not in end:
            raise RefusedRequestError(end.decode(errors="replace"))
        return first, time.perf_counter() - began

    async def close(self) -> None:
        """Disconnect."""
        self._writer.close()

    async def _body(self, head: bytes) -> bytes:
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if length:
            return await self._reader.readexactly(int(length))
        return await self._reader.readuntil(b"\r\n0\r\n\r\n")


async def keep_asking(gateway: Gateway, numbers: Iterator[int], taken: Taken, *, stream: bool) -> None:
    """Ask over one connection for as long as there are numbers."""
    connection = await Connection.open(gateway.port)
    for number in numbers:
        first, whole = await connection.ask(gateway.request(number, stream=stream), stream=stream)
        taken.first.append(first)
        taken.whole.append(whole)
    await connection.close()


async def load(gateway: Gateway, requests: int, together: int, *, stream: bool) -> Taken:
    """Ask so often, so many at a time.

    Raises:
        RefusedRequestError: A request was not answered with a whole completion.
    """
    numbers, taken = iter(range(requests)), Taken()
    await asyncio.gather(
        *(keep_asking(gateway, numbers, taken, stream=stream) for _ in range(min(together, requests)))
    )
    return taken
