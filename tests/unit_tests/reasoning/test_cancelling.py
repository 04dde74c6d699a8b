"""Cancelling a job: at once where nobody works on it, else at its worker's next boundary."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.contracts import ReasonerIn, Usage
from shared.errors import BudgetExceededError, DependencyUnavailableError
from shared.jobs.models import JobStatus
from tests.support.fakes import Call
from tests.unit_tests.reasoning.app import HOLD_SECONDS, App, message

if TYPE_CHECKING:
    from tests.support.fakes import Answer


async def cancel(app: App, job_id: str = "j1", headers: dict[str, str] | None = None) -> Answer:
    return await app.client.call("cancel_job", Call({"job_id": job_id}, headers=headers or app.user))


async def test_a_queued_job_is_cancelled_at_once_told_once_and_never_worked_on(app: App) -> None:
    await app.accept(id="j1", text="Why?", task_id="t7")

    answers = [await cancel(app), await cancel(app)]
    await app.deliver(message(taskId="t7"))

    assert [(answer.status, answer.json()["status"]) for answer in answers] == [(202, "cancelled")] * 2
    assert answers[0].headers["location"] == "/api/v1/reasoning/jobs/j1"
    assert app.model.prompts == []
    [told] = app.sender.results()
    assert (told["id"], told["taskId"], told["message"]) == ("j1", "t7", "The job was cancelled")
    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["error"]) == ("cancelled", "The job was cancelled")


async def test_a_running_job_ends_at_its_next_boundary_and_tells_what_it_used(app: App) -> None:
    async def cancel_during_the_first_step() -> None:
        assert (await cancel(app)).json()["status"] == "running"
        assert (await app.show("j1")).json()["cancel_requested"] is True

    app.model.think = cancel_during_the_first_step

    await app.deliver(message())

    shown = (await app.show("j1")).json()
    assert (shown["status"], [step["name"] for step in shown["steps"]]) == ("cancelled", ["reason"])
    assert (len(app.model.prompts), shown["usage"]["total_tokens"]) == (1, 10)
    assert app.sender.results()[0]["usage"]["total_tokens"] == 10


async def test_a_job_that_is_cancelled_while_its_worker_fails_is_over_with_the_next_delivery(
    app: App,
) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    held = await app.jobs.claim(job, "first", HOLD_SECONDS)
    await cancel(app)
    await app.jobs.give_back(held, "x", Usage())

    await app.deliver(message())

    assert (await app.show("j1")).json()["status"] == "cancelled"
    assert app.model.prompts == []


async def test_a_job_whose_worker_died_is_cancelled_at_once(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    await app.jobs.claim(job, "first", HOLD_SECONDS)
    app.clock.advance(HOLD_SECONDS)

    assert (await cancel(app)).json()["status"] == "cancelled"
    assert len(app.sender.results()) == 1


async def test_a_job_that_waits_for_its_budget_is_cancelled_and_not_tried_again(app: App) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=30.0)]
    await app.deliver(message())
    put_off = app.sender.sent[-1]

    await cancel(app)
    await app.deliver(put_off[1].body)

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["waiting_until"], shown["waiting_for"]) == ("cancelled", None, None)
    assert len(app.model.prompts) == 1


async def test_a_job_that_is_over_cannot_be_cancelled(app: App) -> None:
    await app.deliver(message())

    refused = await cancel(app)

    assert (refused.status, refused.json()["detail"]) == (409, {"job_id": "j1", "status": "succeeded"})


async def test_another_tenants_job_cannot_be_cancelled_and_looks_like_none(app: App) -> None:
    await app.accept(id="j1", text="Why?")

    assert (await cancel(app, headers=app.stranger)).status == 404
    assert (await cancel(app, "nowhere")).status == 404
    assert (await app.show("j1")).json()["status"] == "queued"


async def test_a_broker_that_is_down_cancels_all_the_same_and_tells_later(app: App) -> None:
    await app.accept(id="j1", text="Why?")
    app.sender.is_down = True

    assert (await cancel(app)).status == 202
    app.sender.is_down = False
    app.clock.advance(60)
    await app.sweep()

    assert len(app.sender.results()) == 1


@pytest.mark.parametrize("after", range(5))
async def test_a_cancel_and_a_delivery_at_once_give_one_end(app: App, after: int) -> None:
    await app.accept(id="j1", text="Why?")

    async def cancel_a_little_later() -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        await cancel(app)

    await asyncio.gather(app.deliver(message()), cancel_a_little_later(), return_exceptions=True)
    await app.deliver(message())

    job = await app.jobs.read("j1")
    assert job.status in {JobStatus.CANCELLED, JobStatus.SUCCEEDED}
    assert len({str(told) for told in app.sender.results()}) == 1


async def test_a_job_that_is_cancelled_during_a_step_that_is_put_off_ends_with_that(app: App) -> None:
    async def cancel_during_the_step() -> None:
        assert (await cancel(app)).json()["status"] == "running"

    app.model.think = cancel_during_the_step
    app.model.failures = [BudgetExceededError("Too much", retry_after=36_000.0)]

    await app.deliver(message())

    assert (await app.show("j1")).json()["status"] == "cancelled"
    assert ([queue for queue, _ in app.sender.sent], len(app.model.prompts)) == (["reasoner-out"], 1)


async def test_a_job_that_is_cancelled_during_a_step_that_fails_ends_in_a_delivery_at_once(app: App) -> None:
    async def cancel_during_the_step() -> None:
        await cancel(app)

    app.model.think = cancel_during_the_step
    app.model.failures = [DependencyUnavailableError("OpenAI", retry_after=900.0)]
    began = app.clock.now()

    await app.deliver(message())
    await app.deliver_what_was_put_off()

    assert ((await app.show("j1")).json()["status"], app.clock.now()) == ("cancelled", began)
    assert len(app.model.prompts) == 1


async def test_a_cancel_just_before_its_job_waits_for_a_person_ends_it_there_and_then(app: App) -> None:
    start = app.cosmos.transport.requests

    async def cancel_before_the_fourth_request() -> None:
        if app.cosmos.transport.requests - start == len(("look for the job", "store it", "store its step")):
            app.cosmos.transport.fault = None
            await cancel(app)

    app.cosmos.transport.fault = cancel_before_the_fourth_request

    await app.deliver(message(needs_approval=True))

    shown = (await app.show("j1")).json()
    assert (shown["status"], [step["name"] for step in shown["steps"]]) == ("cancelled", ["reason"])
    assert len(app.sender.results()) == 1


async def test_a_job_that_was_asked_to_end_and_that_nobody_works_on_is_cancelled_at_once(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    held = await app.jobs.claim(job, "first", HOLD_SECONDS)
    await cancel(app)
    await app.jobs.give_back(held, "x", Usage())

    assert (await cancel(app)).json()["status"] == "cancelled"
