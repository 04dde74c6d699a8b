"""The audit trail: kept before the effect, never lost to a repeated request, and a tenant's own."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from shared.errors import ConflictError, DependencyUnavailableError
from shared.logging.context import logging_as
from shared.tenancy.audit import ENTRY_ID_PATTERN, AuditAction, AuditFilter, AuditOutcome, AuditTrail
from shared.tenancy.context import Role, parse_tenant_id
from tests.support.fakes import EPOCH, platform_context, tenant_context, user_context

if TYPE_CHECKING:
    from shared.tenancy.audit import AuditEntry
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

ACME = tenant_context("acme", Role.TENANT_ADMIN)
EVERYTHING = AuditFilter()


@pytest.fixture
def trail(cosmos: MemoryCosmos, clock: FakeClock) -> AuditTrail:
    return AuditTrail(cosmos.container("audit"), clock)


async def only(trail: AuditTrail) -> AuditEntry:
    (entry,) = await trail.page(ACME, EVERYTHING, 100)
    return entry


async def test_an_entry_says_who_did_what_to_what_when_and_in_which_request(trail: AuditTrail) -> None:
    with logging_as(request_id="r-1"):
        await trail.record(ACME, AuditAction.KEY_CREATE, "0123456789ab", detail={"role": "user"})

    entry = await only(trail)
    assert (entry.actor.kind, entry.actor.id) == ("key", ACME.principal)
    assert (entry.action, entry.subject, entry.at) == ("key.create", "0123456789ab", EPOCH)
    assert (entry.request_id, entry.detail, entry.outcome) == ("r-1", {"role": "user"}, AuditOutcome.DONE)
    assert re.fullmatch(ENTRY_ID_PATTERN, entry.id)


async def test_the_administrator_is_named_in_the_partition_of_whom_he_acts_for(trail: AuditTrail) -> None:
    await trail.record(tenant_context("acme", Role.ADMIN), AuditAction.ADMIN_ACT, "list_prompts")
    await trail.record(
        platform_context(), AuditAction.TENANT_UPDATE, "acme", tenant_id=parse_tenant_id("acme")
    )
    await trail.record(platform_context(), AuditAction.TENANT_PURGE, "globex")

    theirs = await trail.page(ACME, EVERYTHING, 100)
    platforms = await trail.page(platform_context(), EVERYTHING, 100)

    assert {entry.action for entry in theirs} == {"admin.act", "tenant.update"}
    assert [entry.action for entry in platforms] == ["tenant.purge"]
    assert {entry.actor.kind for entry in [*theirs, *platforms]} == {"administrator"}


async def test_work_of_the_platform_is_named_as_such(trail: AuditTrail) -> None:
    queued = ACME.__class__(ACME.tenant_id, "free", Role.USER, "platform")
    await trail.record(queued, AuditAction.SETTING_PUT, "x")

    assert (await only(trail)).actor.kind == "platform"


async def test_a_tokens_user_is_named_by_the_subject(trail: AuditTrail) -> None:
    await trail.record(user_context("alice", role=Role.TENANT_ADMIN), AuditAction.KEY_CREATE, "k")

    actor = (await only(trail)).actor
    assert (actor.kind, actor.id) == ("user", "alice")


async def test_a_change_is_kept_as_begun_before_it_is_made_and_as_done_after(trail: AuditTrail) -> None:
    async with trail.recording(ACME, AuditAction.KEY_REVOKE, "k"):
        assert (await only(trail)).outcome is AuditOutcome.BEGUN

    assert (await only(trail)).outcome is AuditOutcome.DONE


async def test_a_change_that_was_refused_is_kept_as_such(trail: AuditTrail) -> None:
    with pytest.raises(ConflictError):
        async with trail.recording(ACME, AuditAction.KEY_REVOKE, "k"):
            raise ConflictError("no")

    assert (await only(trail)).outcome is AuditOutcome.REFUSED


@pytest.mark.parametrize("failure", [DependencyUnavailableError("Cosmos DB"), RuntimeError("a crash")])
async def test_a_change_whose_end_is_unknown_stays_begun(trail: AuditTrail, failure: Exception) -> None:
    with pytest.raises(type(failure)):
        async with trail.recording(ACME, AuditAction.KEY_REVOKE, "k"):
            raise failure

    assert (await only(trail)).outcome is AuditOutcome.BEGUN


async def test_nothing_is_changed_while_the_trail_is_down(trail: AuditTrail, cosmos: MemoryCosmos) -> None:
    changed = False
    cosmos.transport.lose_requests = 100

    with pytest.raises(DependencyUnavailableError):
        async with trail.recording(ACME, AuditAction.KEY_REVOKE, "k"):
            changed = True

    assert not changed
    assert cosmos.transport.requests == 3


async def test_a_change_that_was_made_succeeds_though_its_end_cannot_be_noted(
    trail: AuditTrail, cosmos: MemoryCosmos
) -> None:
    async with trail.recording(ACME, AuditAction.KEY_REVOKE, "k"):
        cosmos.transport.lose_requests = 100

    cosmos.transport.lose_requests = 0
    assert (await only(trail)).outcome is AuditOutcome.BEGUN


async def test_a_trail_that_was_purged_with_its_tenant_is_left_alone(
    trail: AuditTrail, cosmos: MemoryCosmos
) -> None:
    async with trail.recording(ACME, AuditAction.TENANT_PURGE, "acme"):
        await cosmos.container("audit").delete(("acme",), (await only(trail)).id, None)

    assert await trail.page(ACME, EVERYTHING, 100) == []


async def test_an_entry_whose_answer_was_lost_is_there_once(trail: AuditTrail, cosmos: MemoryCosmos) -> None:
    cosmos.transport.lose_answers = 1

    await trail.record(ACME, AuditAction.KEY_CREATE, "k")

    assert (await only(trail)).subject == "k"


async def test_the_same_request_id_twice_leaves_two_entries(trail: AuditTrail) -> None:
    for _ in range(2):
        with logging_as(request_id="chosen-by-the-caller"):
            await trail.record(ACME, AuditAction.KEY_CREATE, "k")

    assert len(await trail.page(ACME, EVERYTHING, 100)) == 2


async def test_the_newest_come_first_within_the_asked_times_and_actions(
    trail: AuditTrail, clock: FakeClock
) -> None:
    for number in range(5):
        action = AuditAction.KEY_CREATE if number % 2 else AuditAction.KEY_REVOKE
        await trail.record(ACME, action, str(number))
        clock.advance(60)

    async def subjects(wanted: AuditFilter, limit: int = 100) -> list[str]:
        return [entry.subject for entry in await trail.page(ACME, wanted, limit)]

    second, fourth = EPOCH + timedelta(seconds=60), EPOCH + timedelta(seconds=180)
    assert await subjects(EVERYTHING) == ["4", "3", "2", "1", "0"]
    assert await subjects(AuditFilter(since=second, until=fourth)) == ["2", "1"]
    assert await subjects(AuditFilter(action="key.create")) == ["3", "1"]
    first_page = await trail.page(ACME, EVERYTHING, 2)
    assert await subjects(AuditFilter(before=first_page[-1].id), 2) == ["2", "1"]
    assert await subjects(AuditFilter(before=first_page[-1].id, until=second)) == ["0"]


async def test_another_tenants_entries_are_not_there(trail: AuditTrail) -> None:
    await trail.record(ACME, AuditAction.KEY_CREATE, "k")
    entry = await only(trail)
    globex = tenant_context("globex", Role.TENANT_ADMIN)

    assert await trail.page(globex, EVERYTHING, 100) == []
    assert await trail.page(globex, AuditFilter(before=entry.id + "f"), 100) == []
