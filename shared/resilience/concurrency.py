"""Work side by side that fails as one call would."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from cachetools import LRUCache

from shared.resilience.tasks import refuse_exit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable
    from contextlib import AbstractAsyncContextManager

    from shared.clock import Clock

GIVEN_WAY = 3.0
"""For how long an owner's next turn leaves the event loop to others, in times of what the last one took."""

LIGHT_SECONDS = 0.005
"""What holds the loop for less gives way to nobody."""

_MOST_OWNERS = 1024


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
            return await refuse_exit(one)
        async with places:
            return await refuse_exit(one)

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


class Paces:
    """Turns by owner that leave the event loop to others for three quarters of the time.

    A request of somebody else's needs the loop many times before it is answered: to have it once between
    two holds is not enough. Owners do not wait for each other, and who comes first waits for nothing.

    Args:
        clock: The app's time.
        cpu_seconds: Tells how long this thread has computed.
    """

    def __init__(self, clock: Clock, cpu_seconds: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._cpu_seconds = cpu_seconds
        self._turns = Turns()
        self._one_at_a_time = asyncio.Lock()
        self._free_at: LRUCache[Hashable, float] = LRUCache(_MOST_OWNERS)

    def in_turn(self, thing: Hashable) -> AbstractAsyncContextManager[None]:
        """Have the turn of what is done once at a time while the block runs; it waits, as others may."""
        return self._turns.of(thing)

    async def run[T](self, owner: Hashable, work: Callable[[], T]) -> T:
        """Wait for the owner's turn, and until its last one has given way; then do what holds the loop."""
        async with self._turns.of(owner):
            left = self._free_at.get(owner, 0.0) - self._clock.monotonic()
            if left > 0:
                await self._clock.sleep(left)
            async with self._one_at_a_time:
                try:
                    return self._measure(owner, work)
                finally:
                    await asyncio.sleep(0)  # of several owners, too, none follows another at once

    async def run_light[T](self, owner: Hashable, work: Callable[[], T]) -> T:
        """Do at once what seldom holds the loop for long; after it did, as `run` does."""
        if self._free_at.get(owner, 0.0) > self._clock.monotonic():
            return await self.run(owner, work)
        return self._measure(owner, work, LIGHT_SECONDS)

    def _measure[T](self, owner: Hashable, work: Callable[[], T], unless_within: float = 0.0) -> T:
        begun = self._cpu_seconds()
        try:
            return work()
        finally:
            took = self._cpu_seconds() - begun
            if took >= unless_within:
                self._free_at[owner] = self._clock.monotonic() + GIVEN_WAY * took
