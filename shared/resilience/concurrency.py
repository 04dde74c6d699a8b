"""Work side by side that fails as one call would."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Hashable, Iterable


async def side_by_side[T](work: Iterable[Coroutine[Any, Any, T]], *, at_once: int | None = None) -> list[T]:
    """Run coroutines concurrently and return their results in order.

    When one fails, the others are cancelled and waited for, and its exception is raised as it is: the edges
    know errors of the app, not groups of them. None is left running.

    Args:
        work: What to run.
        at_once: The most that run at a time; all of them where None.
    """
    places = asyncio.Semaphore(at_once) if at_once is not None else None

    async def in_place(one: Coroutine[Any, Any, T]) -> T:
        if places is None:
            return await one
        async with places:
            return await one

    everything = list(work)
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(in_place(one)) for one in everything]
    except BaseExceptionGroup as failures:
        tasks.clear()  # they hold their errors, whose tracebacks hold this frame
        raise failures.exceptions[0] from failures.exceptions[0].__cause__
    finally:
        for one in everything:
            one.close()  # those that never got their turn; the others are over
    return [task.result() for task in tasks]


class Turns:
    """Lets those who want the same thing have it one after the other, in the order in which they came."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, thing: Hashable) -> AsyncIterator[None]:
        """Wait for one's turn, and have it while the block runs."""
        lock = self._locks.get(thing) or self._locks.setdefault(thing, asyncio.Lock())
        async with lock:
            yield
