"""Group commit: work that arrives while one exchange is in flight forms the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError
from shared.resilience.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextvars import Context


class PendingWork(Protocol):
    """Work that a caller waits for."""

    def fail(self, error: BaseException) -> None:
        """Tell the waiting caller that it failed, unless it was answered already."""
        ...


class GroupCommit[W: PendingWork]:
    """Queue whose work is done by one exchange at a time.

    Args:
        exchange: Does the work and answers the callers; an error of its fails all that it has not answered.
        most: The most work of one exchange.
        context: Context variables of the exchanges.
    """

    def __init__(
        self, exchange: Callable[[Sequence[W]], Awaitable[None]], most: int, context: Context
    ) -> None:
        self._exchange = exchange
        self._most = most
        self._context = context
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
            context = self._context.copy()
            self._running = spawn(self._run(), context=context)
            self._running.add_done_callback(self._fail_all)

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # callers whom the last exchange answered may want to join this one
            self._in_flight = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            try:
                await self._exchange(self._in_flight)
            except APIError as error:
                self._fail(error)
            self._in_flight = []

    def _fail_all(self, running: asyncio.Task[None]) -> None:
        """Leave nobody waiting for an exchange that a defect, or the end of the loop, has ended."""
        error = asyncio.CancelledError() if running.cancelled() else running.exception()
        if error is not None:
            self._in_flight += self._waiting
            self._waiting.clear()
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        for work in self._in_flight:
            work.fail(error)
