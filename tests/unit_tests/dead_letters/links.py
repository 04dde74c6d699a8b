"""Links to dead letters in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.messaging.listener import Outcome
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from shared.messaging.listener import DeliveryEnd, LockedDelivery


@dataclass
class FakeDeadLetter(FakeDelivery):
    """A dead letter of a queue."""

    is_unbound: bool = False
    locked_until: datetime | None = None


@dataclass
class DeadLetterLinks:
    """The dead letters of some queues, and what became of those that were taken, some at once."""

    letters: dict[str, list[FakeDeadLetter]] = field(default_factory=dict)
    taken: int = 0
    settled: list[tuple[str | None, str]] = field(default_factory=list)
    at_once: int = 100

    @asynccontextmanager
    async def open(self, queue: str) -> AsyncIterator[FakeDeadLetterLink]:
        """Open a link."""
        yield FakeDeadLetterLink(self, self.letters.get(queue, []))


@dataclass
class FakeDeadLetterLink:
    """An open link."""

    links: DeadLetterLinks
    letters: list[FakeDeadLetter]

    async def peek(self, most: int) -> Sequence[FakeDeadLetter]:
        return self.letters[:most]

    async def receive(self, most: int, seconds: float) -> Sequence[FakeDeadLetter]:
        assert seconds > 0
        self.links.taken += 1
        return self.letters[: min(most, self.links.at_once)]

    async def settle(self, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        self.links.settled.append((delivery.message_id, end.outcome))
        if end.outcome is Outcome.COMPLETE:
            self.letters[:] = [one for one in self.letters if one is not delivery]
