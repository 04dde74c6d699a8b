"""The queue edge over a store in memory, with a handler under control."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from shared.contracts import Message
from shared.cosmos.container import Query
from shared.cosmos.queries import fields_of, select
from shared.logging.context import log_context
from shared.messaging.consumer import Queue
from shared.messaging.quarantine import Quarantine, QuarantinedMessage
from shared.resilience.deadlines import remaining_seconds
from shared.tenancy.context import TenantContext, ambient_tenant
from tests.support.fakes import FakeAuthenticator, FakeClock, tenant_context

if TYPE_CHECKING:
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.messaging.deliveries import FakeDelivery


class Order(Message):
    """A message of these tests."""

    what: str = "tea"
    lots: tuple[str, ...] = ()
    names: dict[str, str] = Field(default_factory=dict)


@dataclass
class Handler:
    """Handles messages, or fails as it is told; remembers what it was given and in which context."""

    failures: list[Exception] = field(default_factory=list)
    handled: list[tuple[TenantContext, Order]] = field(default_factory=list)
    contexts: list[tuple[str | None, str | None, str]] = field(default_factory=list)
    times_left: list[float | None] = field(default_factory=list)

    async def __call__(self, tenant: TenantContext, message: Order) -> None:
        context = log_context()
        self.times_left.append(remaining_seconds())
        self.contexts.append((context.request_id, context.tenant_id, ambient_tenant().tenant_id))
        if self.failures:
            raise self.failures.pop(0)
        self.handled.append((tenant, message))


@dataclass
class Services:
    """The composition root, as far as the edge needs it."""

    authenticator: FakeAuthenticator
    quarantine: Quarantine
    clock: FakeClock
    purged: set[str] = field(default_factory=set)

    @property
    def purges(self) -> Services:
        return self

    async def is_taken(self, tenant_id: str) -> bool:
        return tenant_id in self.purged


class Edge:
    """The edge with a handler under control."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        self.cosmos, self.clock, self.handler = cosmos, clock, Handler()
        authenticator = FakeAuthenticator()
        authenticator.add("key", tenant_context("acme"))
        quarantine = Quarantine(cosmos.container("quarantine"), clock, most_unattributed=10)
        self.services = Services(authenticator, quarantine, clock)
        self.queue = Queue(self.services, "orders", Order)

    async def take(self, delivery: FakeDelivery) -> None:
        await self.queue.take(delivery, self.handler)

    async def move(self, delivery: FakeDelivery) -> None:
        await self.queue.move(delivery, self.handler)

    async def kept(self, key: str) -> list[dict[str, object]]:
        text = select(fields_of(QuarantinedMessage), order_by="c.id")
        return await self.cosmos.container("quarantine").query((key,), Query(text, limit=5_000))


def order(**fields: object) -> bytes:
    return json.dumps({"tenant_id": "acme", "id": "o1"} | fields).encode()
