"""A queue in memory: locks, counts deliveries, breaks when told."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from shared.errors import DependencyUnavailableError
from shared.messaging.listener import LockedDelivery, NoSessionError, Outcome

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
        held: The sessions that are held.
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
        self.opened = self.open_links = 0
        self.is_closed = False
        self.changed = asyncio.Condition()
        self.held: list[str | None] = []

    @property
    def sender(self) -> Self:
        return self

    def put(self, message_id: str, session: str | None = None, **fields: object) -> None:
        """Put a message on the queue."""
        body = {"tenant_id": "acme", "id": message_id} | fields
        self.waiting.append(QueuedMessage(json.dumps(body).encode(), message_id, session_id=session))

    def outcomes(self, message_id: str) -> list[str]:
        """Return how a message's deliveries were settled."""
        return [end.outcome for settled, end in self.settled if settled == message_id]

    async def until(self, count: int) -> None:
        """Wait until so many deliveries are settled."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.settled) >= count)

    @asynccontextmanager
    async def open_link(self, queue: str, session_wait_seconds: float | None) -> AsyncIterator[MemoryLink]:
        assert queue == "input-queue"
        session = None if session_wait_seconds is None else await self._hold_session(session_wait_seconds)
        self.opened, self.open_links = self.opened + 1, self.open_links + 1
        link = MemoryLink(self, session)
        try:
            yield link
        finally:
            link.is_open = False
            self.open_links -= 1
            if session is not None:
                self.held.remove(session)

    async def _hold_session(self, seconds: float) -> str | None:
        for message in self.waiting:
            if message.session_id not in self.held:
                self.held.append(message.session_id)
                return message.session_id
        await self.clock.sleep(seconds)
        raise NoSessionError

    async def receive(self, most: int, seconds: float, session: str | None) -> Sequence[QueuedMessage]:
        self.most_asked.append(most)
        if self.receive_failures:
            raise self.receive_failures.pop(0)
        taken = [message for message in self.waiting if session in {None, message.session_id}][:most]
        self.waiting = [message for message in self.waiting if message not in taken]
        for message in taken:
            message.delivery_count = (message.delivery_count or 0) + 1
            message.locked_until = self.clock.now() + LOCK
        if not taken:
            await self.clock.sleep(seconds)
        return taken

    async def settle(self, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        assert isinstance(delivery, QueuedMessage)
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


@dataclass
class MemoryLink:
    """A link to the queue, or to one of its sessions."""

    broker: MemoryBroker
    session: str | None
    is_open: bool = True

    async def receive(self, most: int, seconds: float) -> Sequence[QueuedMessage]:
        return await self.broker.receive(most, seconds, self.session)

    async def settle(self, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        if not self.is_open:
            raise DependencyUnavailableError("Service Bus", "the link is closed")
        await self.broker.settle(delivery, end)

    async def renew(self, delivery: LockedDelivery) -> datetime:
        return await self.broker.renew(delivery)
