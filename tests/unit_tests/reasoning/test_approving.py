"""Waiting for a person: at no cost, for as long as it takes, and for no longer than a bound."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from functions.reasoning.worker import LONGEST_APPROVAL_WAIT
from shared.errors import BudgetExceededError
from tests.support.fakes import Call
from tests.unit_tests.reasoning.app import App, message

if TYPE_CHECKING:
    from tests.support.fakes import Answer


async def approve(
    app: App, step: str = "reason", *, approved: bool = True, comment: str | None = None, job_id: str = "j1"
) -> Answer:
    body = {"step": step, "approved": approved, "comment": comment}
    return await app.client.call("approve_job", Call.of(body, headers=app.user, job_id=job_id))


async def wait_for_approval(app: App, **fields: object) -> None:
    """Bring a job to where it waits."""
    await app.deliver(message(needs_approval=True, **fields))
    assert (await app.show("j1")).json()["status"] == "waiting"


async def test_a_job_waits_after_its_step_and_goes_on_when_that_is_approved(app: App) -> None:
    await wait_for_approval(app)
    waiting = (await app.show("j1")).json()
    calls = len(app.model.prompts)

    answer = await approve(app, comment="Go on")
    _, again = app.sender.sent[-1]
    await app.deliver(again.body)

    assert (waiting["waiting_step"], waiting["waiting_for"]) == ("reason", "approval of step 'reason'")
    assert (waiting["steps"][0]["text"], calls) == ("a sound answer", 1)
    assert (answer.status, answer.json()["status"], again.not_before) == (200, "queued", None)
    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["waiting_step"], shown["waiting_until"]) == ("succeeded", None, None)
    [said] = shown["approvals"]
    assert (said["step"], said["approved"], said["comment"]) == ("reason", True, "Go on")
    assert len(app.model.prompts) == 2


async def test_a_job_that_waits_costs_nothing_however_often_its_message_comes(app: App) -> None:
    await wait_for_approval(app)
    for _ in range(3):
        await app.deliver(message(needs_approval=True))

    assert ((await app.show("j1")).json()["status"], len(app.model.prompts)) == ("waiting", 1)
    assert app.clock.slept == []


async def test_a_step_that_is_not_approved_ends_the_job_and_says_why(app: App) -> None:
    await wait_for_approval(app)

    answer = await approve(app, approved=False, comment="Off the point")

    ended = answer.json()
    told = "Step 'reason' was not approved: Off the point"
    assert (ended["status"], ended["error"], ended["waiting_step"]) == ("cancelled", told, None)
    assert (ended["waiting_for"], ended["waiting_until"]) == (None, None)
    assert [result["message"] for result in app.sender.results()] == [told]


async def test_the_same_word_twice_is_one_and_the_other_word_is_a_conflict(app: App) -> None:
    await wait_for_approval(app)

    answers = [await approve(app), await approve(app), await approve(app, approved=False)]

    assert [answer.status for answer in answers] == [200, 200, 409]
    assert len([queue for queue, _ in app.sender.sent if queue == "reasoner-in"]) == 2


@pytest.mark.parametrize("step", ["summarise", "plan"])
async def test_a_step_that_nobody_waits_for_cannot_be_approved(app: App, step: str) -> None:
    await wait_for_approval(app)

    refused = await approve(app, step)

    assert (refused.status, refused.json()["detail"]["status"]) == (409, "waiting")


async def test_a_job_that_does_not_wait_cannot_be_approved(app: App) -> None:
    await app.accept(id="j1", text="Why?", needs_approval=True)

    assert (await approve(app)).status == 409
    assert (await approve(app, job_id="nowhere")).status == 404


async def test_a_job_that_nobody_approves_fails_after_a_week(app: App) -> None:
    await wait_for_approval(app)
    until = datetime.fromisoformat((await app.show("j1")).json()["waiting_until"])

    await app.deliver_what_was_put_off()

    assert (timedelta(days=7), until) == (LONGEST_APPROVAL_WAIT, app.clock.now())
    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["error"]) == ("failed", "Nobody approved step 'reason' in time")
    assert len(app.model.prompts) == 1


async def test_a_job_waits_for_a_person_no_longer_than_its_deadline(app: App) -> None:
    began = app.clock.now()
    await wait_for_approval(app, deadline_seconds=60)

    await app.deliver_what_was_put_off()

    assert app.clock.now() - began == timedelta(seconds=60)
    assert (await app.show("j1")).json()["status"] == "failed"


async def test_the_message_that_would_end_the_wait_finds_the_job_over(app: App) -> None:
    await wait_for_approval(app)
    _, at_the_end = app.sender.sent[-1]
    await approve(app)
    await app.deliver(app.sender.sent[-1][1].body)
    app.clock.advance(LONGEST_APPROVAL_WAIT.total_seconds())

    await app.deliver(at_the_end.body)

    assert ((await app.show("j1")).json()["status"], len(app.model.prompts)) == ("succeeded", 2)
    assert len(app.sender.results()) == 1


async def test_a_dead_letter_of_a_job_that_waits_changes_nothing(app: App) -> None:
    await wait_for_approval(app)

    await app.give_up(message(needs_approval=True))

    assert (await app.show("j1")).json()["status"] == "waiting"


async def test_a_waiting_job_can_be_cancelled(app: App) -> None:
    await wait_for_approval(app)

    await app.client.call("cancel_job", Call({"job_id": "j1"}, headers=app.user))

    assert (await app.show("j1")).json()["status"] == "cancelled"
    assert (await approve(app)).status == 409


async def test_a_wait_whose_last_message_comes_before_its_time_ends_all_the_same(app: App) -> None:
    await wait_for_approval(app)
    _, at_the_end = app.sender.sent[-1]
    app.clock.advance(LONGEST_APPROVAL_WAIT.total_seconds() - 0.5)  # the broker's clock is ahead

    await app.deliver(at_the_end.body)
    requests = [request for queue, request in app.sender.sent if queue == "reasoner-in"]
    await app.deliver_what_was_put_off()

    assert len(requests) == len([at_the_end, "its copy"])
    assert (await app.show("j1")).json()["status"] == "failed"
    assert len(app.sender.results()) == 1


async def test_a_job_that_is_approved_days_later_still_waits_for_its_budget(app: App) -> None:
    await wait_for_approval(app)
    app.clock.advance(timedelta(days=3).total_seconds())
    await approve(app)
    app.model.failures = [BudgetExceededError("Too much", retry_after=30.0)]

    await app.deliver(app.sender.sent[-1][1].body)
    waiting = (await app.show("j1")).json()
    await app.deliver_what_was_put_off()

    assert (waiting["status"], waiting["waiting_for"]) == ("queued", "Too much")
    assert (await app.show("j1")).json()["status"] == "succeeded"
