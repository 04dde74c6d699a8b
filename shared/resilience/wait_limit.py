"""Limit of the waits of a loop that has many of them: one timer for all.

`asyncio.timeout` sets a timer for each wait and takes it back, which costs more than a wait for what is
there already; in a stream of tokens that is most of them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable


class WaitLimit:
    """Limit of waits that come one after the other, each with an end of its own; used as a context.

    The timer stays set between the waits, and is set anew when it goes off too early for the one under way.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._until = 0.0
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def wait[T](self, awaited: Awaitable[T], until: float) -> T:
        """Wait for something until a time of the loop.

        Raises:
            TimeoutError: It did not come; it was cancelled.
            RuntimeError: No task waits.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait within a limit")
        cancelling = task.cancelling()
        self._waiting, self._until = task, until
        if self._timer is None or self._timer.when() > until:
            self._set_timer()
        try:
            return await awaited
        except asyncio.CancelledError as error:
            if self._is_over and task.uncancel() <= cancelling:
                raise TimeoutError from error
            raise
        finally:
            self._waiting, self._is_over = None, False

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._until, self._end_wait)

    def _end_wait(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._until:
            self._set_timer()
            return
        self._is_over = True
        self._waiting.cancel()
