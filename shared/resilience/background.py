"""Mark of work that is a queue's, a blob's or a timer's: nobody waits for it, so it gives way to requests."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_in_background: ContextVar[bool] = ContextVar("in_background", default=False)


@contextmanager
def background_work() -> Iterator[None]:
    """Count what the block asks of stores as work in the background."""
    token = _in_background.set(True)
    try:
        yield
    finally:
        _in_background.reset(token)


def is_in_background() -> bool:
    """Tell whether the work at hand is in the background."""
    return _in_background.get()
