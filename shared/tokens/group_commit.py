"""Group commit: what waits while one exchange is in flight forms the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Waiting(Protocol):
    """Work that somebody waits for."""

    def fail(self, error: BaseException) -> None:
        """Tell who waits that it failed, unless they know better already."""
        ...


class GroupCommit[W: Waiting]:
    """Hands waiting work to one exchange at a time.

    Args:
        exchange: Does the work and tells who waits; an error of its fails all that it has not told yet.
        most: The most work of one exchange.
    """

    def __init__(self, exchange: Callable[[Sequence[W]], Awaitable[None]], most: int) -> None:
        self._exchange = exchange
        self._most = most
        self._waiting: deque[W] = deque()
        self._in_flight: list[W] = []
        self._running: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing waits and nothing is in flight."""
        return self._running is None or self._running.done()

    def submit(self, work: W) -> None:
        """Put work into the next exchange."""
        self._waiting.append(work)
        if self.is_idle:
            # A context of its own: the exchange is nobody's request in particular.
            self._running = asyncio.get_running_loop().create_task(self._run(), context=Context())
            self._running.add_done_callback(self._ended)

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # those whom the last exchange answered may already want to join this one
            self._in_flight = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            try:
                await self._exchange(self._in_flight)
            except APIError as error:
                self._fail(error)

    def _ended(self, running: asyncio.Task[None]) -> None:
        """Leave nobody waiting for an exchange that a defect, or the end of the loop, has ended."""
        error = asyncio.CancelledError() if running.cancelled() else running.exception()
        if error is not None:
            self._in_flight += self._waiting
            self._waiting.clear()
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        for work in self._in_flight:
            work.fail(error)
