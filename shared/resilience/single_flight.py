"""Single flight: those who ask the same at once share one question and its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.resilience.deadlines import no_deadline, within_deadline
from shared.resilience.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable


@dataclass(slots=True)
class _Flight[V]:
    """A question under way, and how many wait for it."""

    task: asyncio.Task[V]
    waiters: int = 0


class SingleFlight[K: Hashable, V]:
    """Questions under way by key, one for each.

    A question belongs to all who wait: none of their deadlines ends it, who leaves takes nothing along, and
    the last one who leaves ends it.

    Args:
        name: The name of what is waited for in the error of a deadline that passes.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._flights: dict[K, _Flight[V]] = {}

    def is_asking(self, key: K) -> bool:
        """Tell whether a question of this key is under way."""
        return key in self._flights

    async def ask(self, key: K, question: Callable[[], Awaitable[V]], keep: Callable[[V], None]) -> V:
        """Return the answer.

        Args:
            key: The key of the question.
            question: Asks, unless somebody does already.
            keep: Is called once with the answer, unless the key was forgotten meanwhile.

        Raises:
            DeadlineExceededError: The caller's own time was over before.
            APIError: The question failed.
        """
        flight = self._flights.get(key) or self._begin(key, question, keep)
        flight.waiters += 1
        try:
            async with within_deadline(self._name):
                return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                flight.task.cancel()
                self._drop(key, flight)

    def forget(self, matches: Callable[[K], bool]) -> None:
        """Let those who wait have their answer, but nobody after them, and keep none."""
        for key in [key for key in self._flights if matches(key)]:
            del self._flights[key]

    def _begin(self, key: K, question: Callable[[], Awaitable[V]], keep: Callable[[V], None]) -> _Flight[V]:
        async def run() -> V:
            try:
                answer = await question()
                if self._flights.get(key) is flight:
                    keep(answer)
                return answer
            finally:
                self._drop(key, flight)

        with no_deadline():
            flight = _Flight(spawn(run()))
        self._flights[key] = flight
        return flight

    def _drop(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
