"""Whatever ends a function, as an outcome: an error, an exit, a native library's panic, a cancelled task."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING

from local.host.invocation import Failure, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def run_to_outcome(work: Awaitable[Outcome]) -> Outcome:
    """Return what the work gives; a failure where something else ends it.

    Only the cancelling of the caller's own task is passed on: what merely looks like it is a failure.
    """
    try:
        return await work
    except BaseException as error:
        if is_stopped(error):
            raise
        return Outcome(failure=failure_of(error))


def is_stopped(error: BaseException) -> bool:
    """Whether an error is that somebody cancels the task that caught it."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def failure_of(error: BaseException) -> Failure:
    """Return an error as the text that is told of it; nothing of the error itself is kept."""
    return Failure(f"{type(error).__name__}: {error}", "".join(traceback.format_tb(error.__traceback__)))


def run_through[T](
    run: Callable[[], T], is_over: Callable[[], bool], tell: Callable[[BaseException], None]
) -> T:
    """Run an event loop to its end, and on where a task that some function began ends the process.

    Args:
        run: Runs the loop until what it is run for is over.
        is_over: Whether that is so.
        tell: Tells of an exit that was not followed.
    """
    while True:
        try:
            return run()
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio lets these two pass from any task through the loop to whoever runs it.
            if is_over():
                raise
            tell(error)
