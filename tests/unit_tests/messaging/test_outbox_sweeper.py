"""A round over the tenants' outboxes: each is swept as its tenant, and none keeps another waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from shared.errors import DependencyUnavailableError
from shared.logging.context import log_context
from shared.messaging import outbox as messages
from shared.messaging.outbox_sweeper import Sweeper
from shared.resilience.deadlines import remaining_seconds
from shared.tenancy.context import ambient_tenant, parse_tenant_id
from tests.support.fakes import FakeAuthenticator, FakeClock, tenant_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from shared.messaging.sender import OutgoingMessage
    from shared.tenancy.context import TenantContext, TenantId


class KilledError(BaseException):
    """The process is gone."""


@dataclass
class Outboxes:
    """Tenants in pages, and an outbox of each, which sends two messages or fails as it is told."""

    pages: list[list[str]]
    suspended: frozenset[str] = frozenset()
    failures: dict[str, BaseException] = field(default_factory=dict)
    swept: list[tuple[str, str | None, str, float | None]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def sweeper(self) -> Sweeper:
        authenticator = FakeAuthenticator()
        for tenant_id in {name for page in self.pages for name in page} - self.suspended:
            authenticator.add(tenant_id, tenant_context(tenant_id))
        return Sweeper(self, authenticator, lambda tenant: Outbox(self, tenant), FakeClock())

    async def ids(self) -> AsyncIterator[Sequence[TenantId]]:
        for page in self.pages:
            yield [parse_tenant_id(tenant_id) for tenant_id in page]


@dataclass
class Outbox:
    """One tenant's outbox."""

    outboxes: Outboxes
    tenant: TenantContext

    async def sweep(self) -> int:
        outboxes, own = self.outboxes, self.tenant.tenant_id
        outboxes.at_once += 1
        outboxes.most_at_once = max(outboxes.most_at_once, outboxes.at_once)
        await asyncio.sleep(0)
        outboxes.at_once -= 1
        outboxes.swept.append((own, log_context().tenant_id, ambient_tenant().tenant_id, remaining_seconds()))
        if own in outboxes.failures:
            raise outboxes.failures[own]
        return 2


async def test_every_outbox_is_swept_as_its_tenant_within_nine_minutes_and_the_messages_are_summed_up() -> (
    None
):
    outboxes = Outboxes([["acme", "acme-eu"], ["globex"]])

    assert await outboxes.sweeper().sweep() == 6
    assert sorted(outboxes.swept) == [
        (tenant_id, tenant_id, tenant_id, 540.0) for tenant_id in ("acme", "acme-eu", "globex")
    ]


async def test_eight_outboxes_are_swept_at_once_and_no_more() -> None:
    outboxes = Outboxes([[f"t{number:02}" for number in range(20)]])

    assert await outboxes.sweeper().sweep() == 40
    assert outboxes.most_at_once == 8


async def test_a_suspended_tenant_and_one_whose_store_is_out_keep_nobody_waiting_and_count_nothing() -> None:
    outboxes = Outboxes(
        [["acme", "gone", "globex"]], frozenset({"gone"}), {"acme": DependencyUnavailableError("The store")}
    )

    assert await outboxes.sweeper().sweep() == 2
    assert sorted(swept[0] for swept in outboxes.swept) == ["acme", "globex"]


async def test_defects_are_raised_together_after_every_other_tenant_was_served() -> None:
    outboxes = Outboxes([["acme"], ["globex"]], failures={"acme": ZeroDivisionError("a defect")})

    with pytest.RaisesGroup(ZeroDivisionError):
        await outboxes.sweeper().sweep()
    assert [swept[0] for swept in outboxes.swept] == ["acme", "globex"]


async def test_a_round_whose_process_is_ended_goes_no_further() -> None:
    outboxes = Outboxes([["acme"], ["globex"]], failures={"acme": KilledError()})

    with pytest.raises(KilledError):
        await outboxes.sweeper().sweep()
    assert [swept[0] for swept in outboxes.swept] == ["acme"]


class Endless:
    """An outbox's store in which there is always more; it tells how much was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def pending(self, limit: int) -> Sequence[str]:
        self.asked.append(limit)
        return ["nothing to send"] * limit

    async def mark_sent(self, entry: str) -> None:
        raise AssertionError(entry)


class Nobody:
    """A way to the broker that nobody takes."""

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        raise AssertionError(tenant, queue, message)


async def test_a_round_sends_a_hundred_messages_of_a_tenant_at_most() -> None:
    repository = Endless()

    sent = await messages.Outbox(tenant_context(), repository, lambda _: None, Nobody()).sweep()

    assert (sent, repository.asked) == (0, [100])
