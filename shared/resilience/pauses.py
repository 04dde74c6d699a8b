"""Pauses that an event cuts short."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from shared.resilience.tasks import spawn

if TYPE_CHECKING:
    from shared.clock import Clock


async def pause(clock: Clock, seconds: float, woken: asyncio.Event) -> None:
    """Wait so many seconds, or until the event is set."""
    if woken.is_set():
        return
    sleeping, waking = spawn(clock.sleep(seconds)), spawn(woken.wait())
    try:
        await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sleeping, waking):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
