"""All queues of the namespace by name, and what happens to them by itself."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from local.servicebus.engine.errors import EntityNotFoundError, NotSupportedError
from local.servicebus.engine.model import DEAD_LETTER_SUFFIX, Depth, QueueSpec
from local.servicebus.engine.queue import Queue, Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.servicebus.engine.model import Clock, Store, TokenSource


class Broker:
    """The queues, which all share one store and one clock.

    Whoever drives it commits the store before anything that it was told here is told to anybody else.
    """

    def __init__(
        self,
        specs: Iterable[QueueSpec],
        store: Store,
        clock: Clock,
        new_token: TokenSource,
        topics: Iterable[str] = (),
    ) -> None:
        self._topics = frozenset(topic.lower() for topic in topics)
        self._queues: dict[str, Queue] = {}
        self._names: list[str] = []
        self._ready: dict[Queue, None] = {}
        self._lost: list[str] = []
        row_ids = itertools.count(store.last_row_id() + 1)
        surroundings = Surroundings(
            store=store,
            clock=clock,
            new_token=new_token,
            next_row_id=row_ids.__next__,
            on_ready=self._note_ready,
            on_session_lost=self._lost.append,
        )
        for spec in specs:
            dead_letters = Queue(spec.dead_letter_queue(), surroundings)
            self._queues[dead_letters.spec.name.lower()] = dead_letters
            self._queues[spec.name.lower()] = Queue(spec, surroundings, dead_letters)
            self._names.append(spec.name)

    def queue(self, path: str) -> Queue:
        """Give the queue, or the dead-letter queue, at a path; case does not matter.

        Raises:
            EntityNotFoundError: There is none.
            NotSupportedError: It is a topic or subscription, or the transfer dead-letter queue.
        """
        key = path.lower()
        queue = self._queues.get(key)
        if queue is not None:
            return queue
        if "/subscriptions/" in key or key in self._topics:
            raise NotSupportedError(
                f"'{path}': topics and subscriptions are not supported here, only queues are."
            )
        if key.endswith("/$transfer" + DEAD_LETTER_SUFFIX.lower()):
            raise NotSupportedError(f"'{path}': transfer dead-letter queues are not supported here.")
        raise EntityNotFoundError(path)

    def advance(self) -> None:
        """Let happen everywhere what is due."""
        for queue in self._queues.values():
            queue.advance()

    def next_due(self) -> int | None:
        """Give when something happens next by itself."""
        dues = (queue.next_due() for queue in self._queues.values())
        return min((due for due in dues if due is not None), default=None)

    def depths(self) -> dict[str, Depth]:
        """Count the messages of each queue."""
        return {name: self._queues[name.lower()].depth() for name in self._names}

    def take_ready(self) -> list[Queue]:
        """Give the queues in which something became ready since the last call."""
        ready = list(self._ready)
        self._ready.clear()
        return ready

    def take_lost_sessions(self) -> list[str]:
        """Give the owners of session locks that ran out since the last call."""
        lost = self._lost[:]
        self._lost.clear()
        return lost

    def _note_ready(self, queue: Queue) -> None:
        self._ready[queue] = None
