"""A queue in memory: locks, counts deliveries, breaks when told."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from shared.errors import DependencyUnavailableError
from shared.messaging.listener import LockedDelivery, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from shared.messaging.listener import DeliveryEnd
    from shared.messaging.sender import OutgoingMessage
    from shared.tenancy.context import TenantContext
    from tests.support.fakes import FakeClock

LOCK = timedelta(seconds=30)


@dataclass
class QueuedMessage:
    """A message of the queue in memory."""

    body: bytes
    message_id: str | None
    delivery_count: int | None = 0
    locked_until: datetime | None = None
    session_id: str | None = None
    dead_letter_reason: str | None = None
    application_properties: Mapping[str, Any] = field(default_factory=dict)

    def get_body(self) -> bytes:
        return self.body


class MemoryBroker:
    """Two queues: one that is listened to, and one that results go to.

    Attributes:
        receive_failures: What the next receives fail with, each breaking its link.
        opened: How many links were opened.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.waiting: list[QueuedMessage] = []
        self.sent: list[tuple[str, str, OutgoingMessage]] = []
        self.settled: list[tuple[str, DeliveryEnd]] = []
        self.renewed: list[str] = []
        self.receive_failures: list[Exception] = []
        self.send_failures: list[Exception] = []
        self.settle_failures: list[Exception] = []
        self.most_asked: list[int] = []
        self.opened = 0
        self.is_open = self.is_closed = False
        self.changed = asyncio.Condition()

    @property
    def sender(self) -> Self:
        return self

    def put(self, message_id: str, **fields: object) -> None:
        """Put a message on the queue."""
        body = {"tenant_id": "acme", "id": message_id} | fields
        self.waiting.append(QueuedMessage(json.dumps(body).encode(), message_id))

    def outcomes(self, message_id: str) -> list[str]:
        """Return how a message's deliveries were settled."""
        return [end.outcome for settled, end in self.settled if settled == message_id]

    async def until(self, count: int) -> None:
        """Wait until so many deliveries are settled."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.settled) >= count)

    @asynccontextmanager
    async def open_link(self, queue: str) -> AsyncIterator[Self]:
        assert queue == "input-queue"
        self.opened, self.is_open = self.opened + 1, True
        try:
            yield self
        finally:
            self.is_open = False

    async def receive(self, most: int, seconds: float) -> Sequence[QueuedMessage]:
        self.most_asked.append(most)
        if self.receive_failures:
            raise self.receive_failures.pop(0)
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        for message in taken:
            message.delivery_count = (message.delivery_count or 0) + 1
            message.locked_until = self.clock.now() + LOCK
        if not taken:
            await self.clock.sleep(seconds)
        return taken

    async def settle(self, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        assert isinstance(delivery, QueuedMessage)
        if not self.is_open:
            raise DependencyUnavailableError("Service Bus", "the link is closed")
        if self.settle_failures:
            self.waiting.append(delivery)
            raise self.settle_failures.pop(0)
        if end.outcome is Outcome.ABANDON:
            self.waiting.append(delivery)
        async with self.changed:
            self.settled.append((delivery.message_id or "", end))
            self.changed.notify_all()

    async def renew(self, delivery: LockedDelivery) -> datetime:
        self.renewed.append(delivery.message_id or "")
        return self.clock.now() + LOCK

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        if self.send_failures:
            raise self.send_failures.pop(0)
        self.sent.append((tenant.tenant_id, queue, message))

    def results(self) -> list[dict[str, Any]]:
        """Return what was sent."""
        return [json.loads(message.body) for _, _, message in self.sent]

    async def close(self) -> None:
        self.is_closed = True
