"""Asks an address whether it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from local.supervisor.child import PartSilentError

if TYPE_CHECKING:
    from collections.abc import Awaitable

_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 5.0


class Probe(Protocol):
    """Something that waits for an address."""

    def __call__(self, url: str, timeout_seconds: float, /) -> Awaitable[None]:
        """Return when the address answers 200."""
        ...


async def until_answers(url: str, timeout_seconds: float) -> None:
    """Ask until the answer is 200.

    Raises:
        PartSilentError: It never is; the message holds the last answer.
    """
    said = "nothing"
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                said = await _status_line(url)
                if said.split()[1:2] == ["200"]:
                    return
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise PartSilentError(f"{url} does not answer 200 after {timeout_seconds:.0f} s: {said}") from error


async def _status_line(url: str) -> str:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                head = (
                    f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode())
                return (await reader.readline()).decode("latin-1").strip()
            finally:
                writer.close()
    except OSError as error:
        return str(error)
