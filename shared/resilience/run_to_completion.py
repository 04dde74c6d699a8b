"""Work that is carried to its end when its caller is cancelled: an effect that was paid for is not lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shared.logging.logger import get_logger
from shared.resilience.deadlines import no_deadline
from shared.resilience.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_logger = get_logger(__name__)


async def run_to_completion[T](work: Coroutine[None, None, T]) -> T:
    """Run work to its end even if the caller is cancelled meanwhile, once or more often, or its time is over.

    The policies of what the work calls still bound it.

    Raises:
        asyncio.CancelledError: The caller was cancelled; by then the work is over. How it failed, if it did,
            is logged, since nobody else hears of it.
    """
    with no_deadline():
        task = spawn(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _wait_for_end(task)
        _log_failure(task)
        raise


async def run_or_undo[T](
    work: Coroutine[None, None, T], undo: Callable[[T], Coroutine[None, None, object]]
) -> T:
    """Run work to its end; where the caller is cancelled meanwhile, undo what it did: nobody has its result.

    The work keeps the caller's deadline; the undoing has none.

    Raises:
        asyncio.CancelledError: The caller was cancelled; by then the work is over, and undone.
    """
    task = spawn(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _wait_for_end(task)
        _log_failure(task)
        if not task.cancelled() and task.exception() is None:
            await run_to_completion(undo(task.result()))
        raise


async def _wait_for_end[T](task: asyncio.Future[T]) -> None:
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue  # cancelled once more: the caller hears of it when the work is over


def _log_failure[T](task: asyncio.Future[T]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        _logger.error("Work of a cancelled caller failed", extra={"error": type(failure).__name__})
