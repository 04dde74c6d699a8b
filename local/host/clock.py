"""Time as the listeners know it, so that tests can own it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """Return the time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


async def unless_stopped[T](
    stopped: asyncio.Event, work: Coroutine[Any, Any, T], grace_seconds: float = 0.0
) -> T | None:
    """Return what the work gives; None if `stopped` was set and it did not end in its grace."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and grace_seconds:
            await asyncio.wait([task], timeout=grace_seconds)
        return task.result() if task.done() else None
    finally:
        for future in (task, stopping):
            future.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


async def sleep_unless(stopped: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait; return early, and True, when `stopped` is set."""
    if not stopped.is_set():
        await unless_stopped(stopped, clock.sleep(max(0.0, seconds)))
    return stopped.is_set()
