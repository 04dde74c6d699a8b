"""Tasks of the app: one that asks the process to exit fails, and whoever waits for it hears of that.

asyncio lets a `SystemExit` in a task end the event loop at once, with every other request in it, before
an edge could answer or settle anything. In a handler's own coroutine the edge catches it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context


class TaskExitedError(RuntimeError):
    """Work in a task asked the process to exit; only the host ends a process."""


def spawn[T](work: Coroutine[Any, Any, T], *, context: Context | None = None) -> asyncio.Task[T]:
    """Run a coroutine as a task of its own.

    Args:
        work: What to run; where it asks the process to exit, the task fails with `TaskExitedError`.
        context: The context variables that it has; a copy of the caller's where None.
    """
    task = asyncio.get_running_loop().create_task(refuse_exit(work), context=context)
    task.add_done_callback(lambda _: work.close())  # where it was cancelled before it began
    return task


async def refuse_exit[T](work: Coroutine[Any, Any, T]) -> T:
    """Await work that is another task's.

    Raises:
        TaskExitedError: It asked the process to exit.
    """
    try:
        return await work
    except SystemExit as end:
        raise TaskExitedError(f"exit {end.code}") from end
