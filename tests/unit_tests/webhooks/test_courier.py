"""A round of one tenant's deliveries is bounded, whatever its receivers do."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from functions.webhooks.courier import ROUND_SECONDS, Courier
from functions.webhooks.signing import SecretBox
from shared.webhooks.deliveries import AttemptOutcome, DeliveryRepository
from shared.webhooks.models import CompletionNotice, SealedSecret, StoredWebhook, WebhookEvent
from shared.webhooks.store import WebhookStore
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

ACME = tenant_context("acme")
URL = "https://hooks.example.com/jobs"
BOX = SecretBox(SecretStr("what-webhook-secrets-are-encrypted-with"), None)


@dataclass
class SlowReceivers:
    """Take everything, each after a time."""

    clock: FakeClock
    seconds: float
    jobs: list[str] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AttemptOutcome:
        assert (url, json.loads(body)["tenant_id"]) == (URL, "acme")
        self.clock.advance(self.seconds)
        self.jobs.append(headers["x-tenantry-delivery"])
        return AttemptOutcome(200)


async def announced(cosmos: MemoryCosmos, clock: FakeClock, count: int) -> DeliveryRepository:
    """Store a webhook, and so many deliveries to it."""
    store = WebhookStore(ACME, cosmos.container("webhooks"))
    hook = StoredWebhook(url=URL, events=list(WebhookEvent), created_at=clock.now())
    await store.add("hook", hook, SealedSecret(sealed=BOX.seal("whsec_x", ACME.tenant_id, "hook")))
    deliveries = DeliveryRepository(ACME, cosmos.container("webhooks"), clock)
    for number in range(count):
        notice = CompletionNotice(
            url=URL,
            event=WebhookEvent.JOB_SUCCEEDED,
            job_id=f"j{number}",
            status="succeeded",
            status_url=f"/api/v1/reasoning/jobs/j{number}",
        )
        await deliveries.announce(notice, store)
        clock.advance(1)
    return deliveries


def courier(
    cosmos: MemoryCosmos, clock: FakeClock, deliveries: DeliveryRepository, receivers: SlowReceivers
) -> Courier:
    @asynccontextmanager
    async def opened() -> AsyncIterator[SlowReceivers]:
        yield receivers

    return Courier(ACME, WebhookStore(ACME, cosmos.container("webhooks")), deliveries, BOX, opened, clock)


async def test_slow_receivers_take_no_more_of_a_round_than_the_tenants_share(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    deliveries = await announced(cosmos, clock, 5)
    receivers = SlowReceivers(clock, ROUND_SECONDS / 2)
    round_of = courier(cosmos, clock, deliveries, receivers)

    assert [await round_of.sweep() for _ in range(4)] == [2, 2, 1, 0]
    assert len(set(receivers.jobs)) == 5


async def test_an_attempt_counts_before_it_is_made_and_only_for_one_of_two(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    deliveries = await announced(cosmos, clock, 1)
    (due,) = await deliveries.due("hook", 10)
    first, second = await deliveries.claim(due), await deliveries.claim(due)

    assert first is not None
    assert (first.attempts, second) == (1, None)
    assert await deliveries.due("hook", 10) == []
    clock.advance(34)
    assert [one.attempts for one in await deliveries.due("hook", 10)] == [1]
