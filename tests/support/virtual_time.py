"""Simulated time: an event loop whose waits end at once, in order, and whose clock says they did not.

The code under test keeps its own timeouts and sleeps, and none of them takes any time.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.support.fakes import EPOCH, FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor
    from datetime import datetime

_REAL_WAIT_SECONDS = 0.01


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Moves its clock to the next timer whenever nothing else can be done."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._in_threads = 0
        self._waits = _Waits(self)
        super().__init__(self._waits)

    def time(self) -> float:
        return self._seconds

    def pass_time(self, seconds: float) -> None:
        """Move the clock, unless a thread is at work, whose time is the real one."""
        if not self._in_threads:
            self._seconds += seconds

    @property
    def in_threads(self) -> bool:
        """Whether a thread may still report."""
        return self._in_threads > 0

    def run_in_executor[*Ts, T](
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._left_thread)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's
        self._in_threads += 1
        await super().shutdown_default_executor(timeout)

    def _left_thread(self, _: asyncio.Future[Any]) -> None:
        self._in_threads -= 1


class _Waits(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self._loop.in_threads:
            return super().select(timeout if timeout is None else min(timeout, _REAL_WAIT_SECONDS))
        ready = super().select(0)
        if not ready:
            self._loop.pass_time(timeout)
        return ready


class LoopClock(FakeClock):
    """The running loop's clock, on both of its sides."""

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:  # noqa: ARG002  # FakeClock's
        raise TypeError("this clock moves by itself: sleep on it")


def simulate[T](main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in simulated time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
