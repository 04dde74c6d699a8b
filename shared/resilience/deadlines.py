"""Deadline of the work at hand: set at the edges, kept by everything below that waits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class _Deadline:
    """A moment on the monotonic side of the clock that set it."""

    clock: Clock
    at: float

    def remaining(self) -> float:
        return max(0.0, self.at - self.clock.monotonic())


_current: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def deadline(seconds: float, clock: Clock) -> Iterator[None]:
    """Give the work within the block so many seconds, or what is left of an earlier deadline if that is less.

    Nothing is interrupted: whoever waits for a dependency asks how long it may.
    """
    new = _Deadline(clock, clock.monotonic() + seconds)
    current = _current.get()
    token = _current.set(new if current is None or new.remaining() < current.remaining() else current)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def no_deadline() -> Iterator[None]:
    """Let the work within the block outlive the caller that happened to begin it; policies still bound it."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def remaining_seconds() -> float | None:
    """Return how long the work at hand may still take; None where no edge set a deadline."""
    current = _current.get()
    return None if current is None else current.remaining()


@asynccontextmanager
async def within_deadline(what: str) -> AsyncIterator[None]:
    """Wait within the block no longer than the deadline in force.

    Raises:
        DeadlineExceededError: It passed while `what` was waited for.
    """
    remaining = remaining_seconds()
    limit = asyncio.timeout(remaining)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceededError(what) from error
