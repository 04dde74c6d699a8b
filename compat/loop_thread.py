"""An event loop on a thread of its own, for call shapes that are synchronous."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future


class LoopThread:
    """Runs coroutines for callers that have no event loop, or that have one which must not be theirs.

    The thread starts with the first coroutine and does not keep the process alive. A coroutine runs with the
    context variables of its caller.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._starting = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for it, on any thread but the loop's own.

        Raises:
            RuntimeError: The caller is on the loop's own thread, and would wait for itself.
        """
        running = self._running
        if running is not None and threading.current_thread() is running[1]:
            work.close()
            raise RuntimeError(f"{self._name}: called on its own thread, where it would wait for itself")
        future = self._submit(work)
        try:
            return future.result()
        finally:
            future.cancel()  # of a caller that was interrupted; nothing, where it is done

    async def join[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it on the running loop; cancelling the wait cancels it."""
        return await asyncio.wrap_future(self._submit(work))

    def close(self) -> None:
        """End the loop and the thread; what still runs on it is cancelled."""
        with self._starting:
            running, self._running = self._running, None
        if running is None:
            return
        loop, thread = running
        asyncio.run_coroutine_threadsafe(_cancel_the_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _submit[T](self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._starting:
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name=self._name, daemon=True)
                thread.start()
                self._running = loop, thread
            return asyncio.run_coroutine_threadsafe(work, self._running[0])


async def _cancel_the_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
