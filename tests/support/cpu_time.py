"""CPU time of a piece of work, without what the test process and the machine add to it."""

from __future__ import annotations

import gc
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIES: Final = 3
"""Work of its own comes each time; a page fault or another thread's turn does not."""


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let the garbage collector pass over all that is there already: a test process holds a great deal.

    It stays so, as with what tests/conftest.py has collected: what is there now mostly lives on.
    """
    gc.collect()
    gc.freeze()
    yield


class LeastTime:
    """The least CPU time of the process that some work takes, in up to three tries.

    Attributes:
        seconds: The least so far.
    """

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self.seconds = math.inf

    def tries(self) -> Iterator[None]:
        """Yield for each try, until one has taken less than the bound."""
        for _ in range(TRIES):
            began = time.process_time()
            yield
            self.seconds = min(self.seconds, time.process_time() - began)
            if self.seconds < self._bound:
                return
