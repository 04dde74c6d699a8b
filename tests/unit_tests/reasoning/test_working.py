"""Working on a job: each step is paid once and the end is told once, wherever the worker dies."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.contracts import ReasonerIn, Usage
from shared.cosmos.container import ItemChangedError
from shared.errors import BudgetExceededError, DependencyUnavailableError, RateLimitError
from shared.jobs.claims import LONGEST_WAIT
from shared.jobs.errors import JobInWorkError
from shared.jobs.models import JobDelay, JobEnd, JobMessage, JobStatus, JobStep
from shared.llm.chat_model import ModelOutageError
from shared.llm.errors import PromptRefusedError
from shared.prompts.edits import MoveLabel, PromptEdit
from shared.prompts.models import PromptDraft
from tests.unit_tests.reasoning.app import HOLD_SECONDS, App, FakeModel, KilledError, message


async def test_a_job_is_reasoned_about_summarised_stored_and_told(app: App) -> None:
    await app.accept(id="j1", text="Why?")
    await app.deliver(message())

    shown = (await app.show("j1")).json()
    assert shown["status"] == "succeeded"
    assert [step["name"] for step in shown["steps"]] == ["reason", "summarise"]
    assert shown["result"] == {"reason": "a sound answer", "summary": "a sound answer"}
    assert shown["usage"]["total_tokens"] == 20
    [told] = app.sender.results()
    assert (told["id"], told["message"], told["summary"]) == ("j1", "SUCCESS", "a sound answer")
    assert told["usage"]["total_tokens"] == 20
    assert app.model.prompts[1].messages[-1].content == "a sound answer"


async def test_a_message_of_an_outsider_creates_the_job(app: App) -> None:
    await app.deliver(message(taskId="t7", unknown="ignored"))

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["task_id"]) == ("succeeded", "t7")
    assert app.sender.results()[0]["taskId"] == "t7"


async def test_ten_deliveries_give_one_result(app: App) -> None:
    for _ in range(10):
        await app.deliver(message())

    assert len(app.model.prompts) == 2
    assert len(app.sender.results()) == 1


async def test_the_input_may_be_messages_or_a_prompt(app: App) -> None:
    await app.prompts.save("ask", PromptDraft(template="About {topic}?"), None)
    conversation = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}]

    await app.deliver(message(text=None, messages=conversation))
    await app.deliver(message(id="j2", text=None, prompt_name="ask", variables={"topic": "tea"}))

    asked = [prompt.messages[1:] for prompt in app.model.prompts[::2]]
    assert [[part.content for part in parts] for parts in asked] == [["One", "Two"], ["About tea?"]]


@pytest.mark.parametrize(
    ("reference", "used"),
    [
        ({"prompt_name": "ask"}, 1),
        ({"prompt": {"name": "ask"}}, 1),
        ({"prompt": {"name": "ask", "label": "latest"}}, 2),
        ({"prompt": {"name": "ask", "version": 2}}, 2),
    ],
)
async def test_a_job_uses_the_version_that_it_names_and_says_which(
    app: App, reference: dict[str, Any], used: int
) -> None:
    for number in (1, 2):
        await app.prompts.save("ask", PromptDraft(template=f"About {{topic}}? {number}"), None)
    await app.prompts.apply(PromptEdit("ask", MoveLabel("production", 1)))
    accepted = await app.accept(id="j0", variables={"topic": "tea"}, **reference)
    await app.deliver(app.sender.sent[-1][1].body)
    await app.deliver(message(text=None, variables={"topic": "tea"}, **reference))

    assert accepted.status == 202
    for job_id in ("j0", "j1"):
        shown = (await app.show(job_id)).json()
        assert (shown["status"], shown["prompt"]) == ("succeeded", {"name": "ask", "version": used})
    assert {prompt.messages[1].content for prompt in app.model.prompts[::2]} == {f"About tea? {used}"}
    assert {prompt.version for prompt in app.model.prompts[::2]} == {f"ask:{used}"}
    assert [(prompt.origin.job_id, prompt.origin.step) for prompt in app.model.prompts] == [
        ("j0", "reason"),
        ("j0", "summarise"),
        ("j1", "reason"),
        ("j1", "summarise"),
    ]


async def test_a_jobs_steps_tell_the_model_and_why_each_answer_ended(app: App) -> None:
    await app.deliver(message(model="gpt-x"))

    shown = (await app.show("j1")).json()
    assert [(step["model"], step["finish_reason"]) for step in shown["steps"]] == [("gpt-x", "stop")] * 2
    assert shown["prompt"] is None


async def test_model_and_limit_are_the_jobs_own(app: App) -> None:
    await app.deliver(message(model="gpt-x", max_output_tokens=7))

    assert (app.model.prompts[0].model, app.model.prompts[0].max_output_tokens) == ("gpt-x", 7)
    assert app.model.prompts[1].model == "gpt-x"


CREATE, CLAIM, STORE_REASON, STORE_SUMMARY, FINISH, MARK_SENT = range(1, 7)
"""A job's requests to the store, in their order."""


@pytest.mark.parametrize("nth", range(CREATE, MARK_SENT + 1))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_request_to_the_store_pays_no_stored_step_twice(
    app: App, nth: int, when: str
) -> None:
    start = app.cosmos.transport.requests
    kills = 1

    def kill(_: object) -> None:
        nonlocal kills
        if kills and app.cosmos.transport.requests == start + nth:
            kills -= 1
            app.die()

    setattr(app.cosmos.transport, "watch" if when == "before" else "watch_done", kill)

    assert await app.deliver_until_settled(message()) == 2
    assert (await app.show("j1")).json()["status"] == "succeeded"
    # Only a step whose answer was on its way to the store when the worker died is paid once more.
    was_in_flight = (nth, when) in {(STORE_REASON, "before"), (STORE_SUMMARY, "before")}
    assert len(app.model.prompts) == 2 + was_in_flight
    # Only a result that was with the broker, and not yet noted as that, is sent once more.
    was_sent = (nth, when) == (MARK_SENT, "before")
    assert len(app.sender.results()) == 1 + was_sent
    assert len({str(told) for told in app.sender.results()}) == 1


async def test_an_undisturbed_job_takes_no_other_requests(app: App) -> None:
    start = app.cosmos.transport.requests

    await app.deliver(message())

    assert app.cosmos.transport.requests == start + MARK_SENT


async def test_a_late_note_about_the_request_leaves_the_result_to_be_sent(app: App) -> None:
    accepted, _ = await app.jobs.create(
        ReasonerIn.model_validate(message()), JobMessage(kind="request", session_id="acme#0", body="{}")
    )
    app.sender.is_down = True
    with pytest.raises(DependencyUnavailableError):
        await app.deliver(message())
    app.sender.is_down = False

    await app.jobs.mark_sent(accepted)
    app.clock.advance(60)
    await app.sweep()

    assert [told["message"] for told in app.sender.results()] == ["SUCCESS"]


async def test_a_kill_after_sending_only_sends_again(app: App) -> None:
    kills = 1

    def kill() -> None:
        nonlocal kills
        if kills:
            kills -= 1
            app.die()

    app.sender.after_sending = kill

    assert await app.deliver_until_settled(message()) == 2
    assert len(app.model.prompts) == 2
    first, second = app.sender.results()
    assert first == second


async def test_a_broker_that_is_down_at_the_end_is_asked_again_at_the_next_delivery(app: App) -> None:
    app.sender.is_down = True
    with pytest.raises(DependencyUnavailableError):
        await app.deliver(message())
    app.sender.is_down = False

    await app.deliver(message())

    assert len(app.model.prompts) == 2
    assert len(app.sender.results()) == 1


async def test_a_job_that_fails_comes_back_by_itself_with_its_steps_and_keeps_no_session(app: App) -> None:
    await app.accept(id="j1", text="Why?")

    async def fail_at_the_summary() -> None:
        if len(app.model.prompts) == 2:
            app.model.failures = [DependencyUnavailableError("The model")]

    app.model.think = fail_at_the_summary
    await app.deliver(message())
    halfway = (await app.show("j1")).json()

    await app.deliver_what_was_put_off()

    assert (halfway["status"], [step["name"] for step in halfway["steps"]]) == ("queued", ["reason"])
    assert halfway["waiting_for"] == "DependencyUnavailableError: The model is not available"
    assert app.clock.slept == []
    assert len(app.model.prompts) == 3
    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["waiting_until"], shown["waiting_for"]) == ("succeeded", None, None)


async def test_what_the_model_refuses_for_good_fails_the_job_and_is_told(app: App) -> None:
    app.model.failures = [PromptRefusedError("The content filter refused it")]

    await app.deliver(message())

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["result"]) == ("failed", None)
    assert "The content filter refused it" in shown["error"]
    assert app.sender.results()[0]["message"] == shown["error"]
    assert await app.quarantined() == []


async def test_an_unknown_prompt_fails_the_job_by_name(app: App) -> None:
    await app.deliver(message(text=None, prompt_name="nowhere"))

    assert "'nowhere' not found" in (await app.show("j1")).json()["error"]


async def test_a_job_that_the_budget_refuses_gives_its_place_back_and_is_delivered_again_in_its_time(
    app: App,
) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=30.0)]
    began = app.clock.now()

    await app.deliver(message())

    assert app.clock.slept == []
    waiting = (await app.show("j1")).json()
    until = datetime.fromisoformat(waiting["waiting_until"])
    assert (waiting["status"], waiting["waiting_for"], waiting["error"]) == ("queued", "Too much", None)
    assert timedelta(seconds=30) <= until - began <= timedelta(seconds=33)
    await app.deliver_what_was_put_off()
    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["waiting_until"], shown["waiting_for"]) == ("succeeded", None, None)
    assert len(app.model.prompts) == 3


async def test_a_step_that_is_done_is_not_paid_again_after_a_wait(app: App) -> None:
    async def refuse_the_summary() -> None:
        if len(app.model.prompts) == 2:
            app.model.failures = [BudgetExceededError("Too much", retry_after=1.0)]

    app.model.think = refuse_the_summary
    await app.deliver(message())
    await app.deliver_what_was_put_off()

    assert (await app.show("j1")).json()["status"] == "succeeded"
    assert len(app.model.prompts) == 3


@pytest.mark.slow
async def test_a_job_that_is_refused_often_is_tried_less_and_less_often(app: App) -> None:
    waits = []
    app.model.failures = [BudgetExceededError("Too much", retry_after=0.5)] * 9
    await app.deliver(message())
    for _ in range(9):
        began = app.clock.now()
        await app.deliver_what_was_put_off()
        waits.append((app.clock.now() - began).total_seconds())

    assert (await app.show("j1")).json()["status"] == "succeeded"
    for wait, least in zip(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64], strict=True):
        assert least <= wait <= least * 1.1


async def test_a_job_whose_model_asks_for_a_long_pause_gives_its_place_back(app: App) -> None:
    app.model.failures = [ModelOutageError("The model", "refuses", retry_after=120.0, asks_for_pause=True)]
    await app.accept(id="j1", text="Why?")
    began = app.clock.monotonic()
    await app.deliver(message())
    took = app.clock.monotonic() - began
    waiting = (await app.show("j1")).json()
    await app.deliver_what_was_put_off()

    assert (waiting["status"], waiting["waiting_for"]) == ("queued", "The model refuses")
    assert took < 1  # nobody waited in the job's session
    assert app.clock.monotonic() - began >= 120
    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_an_outage_of_which_nobody_asked_to_wait_is_a_failure(app: App) -> None:
    app.model.failures = [DependencyUnavailableError("The model", retry_after=120.0)]

    await app.deliver(message())

    job = await app.jobs.read("j1")
    assert (job.failures, job.waits) == (1, 0)


async def test_jobs_that_wait_for_one_budget_come_back_one_after_the_other(app: App) -> None:
    for number in range(8):
        app.model.failures = [BudgetExceededError("Too much", retry_after=60.0)]
        await app.deliver(message(id=f"j{number}"))

    assert len({sent.not_before for _, sent in app.sender.sent}) == 8


async def test_a_job_waits_for_the_next_days_budget(app: App) -> None:
    app.model.failures = [BudgetExceededError("The day is used up", retry_after=86_400.0)]

    await app.deliver(message())
    await app.deliver_what_was_put_off()

    assert (await app.show("j1")).json()["status"] == "succeeded"


@pytest.mark.parametrize("seconds", [90_001.0, 30 * 86_400.0])
async def test_a_budget_that_admits_a_job_only_after_more_than_a_day_fails_it_and_is_told(
    app: App, seconds: float
) -> None:
    app.model.failures = [BudgetExceededError("The month is used up", retry_after=seconds)]

    await app.deliver(message())

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["waiting_until"]) == ("failed", None)
    assert shown["error"] == "The month is used up (a job waits for 25 hours at most)"
    assert [told["message"] for told in app.sender.results()] == [shown["error"]]


@pytest.mark.slow
async def test_a_job_waits_for_a_day_and_no_longer(app: App) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=3600.0)] * 100
    await app.deliver(message())
    began, times = app.clock.now(), 0
    while (await app.show("j1")).json()["status"] == "queued":
        await app.deliver_what_was_put_off()
        times += 1

    assert timedelta(hours=25) == LONGEST_WAIT
    assert 22 <= times <= 25
    assert app.clock.now() - began < LONGEST_WAIT


async def test_a_kill_while_a_job_is_put_off_loses_nothing_and_pays_for_nothing_twice(app: App) -> None:
    for nth in range(1, 5):
        job_id = f"j{nth}"
        app.model.failures = [BudgetExceededError("Too much", retry_after=1.0)]
        start, calls = app.cosmos.transport.requests, len(app.model.prompts)

        def kill(_: object, at: int = start + nth) -> None:
            if app.cosmos.transport.requests == at:
                app.die()

        app.cosmos.transport.watch_done = kill
        await app.deliver_until_settled(message(id=job_id))
        app.cosmos.transport.watch_done = lambda _: None
        app.clock.advance(60)
        await app.sweep()
        for _, sent in list(app.sender.sent):
            if sent.not_before is not None:
                await app.deliver(sent.body, sent.message_id)

        assert (await app.show(job_id)).json()["status"] == "succeeded", nth
        assert len([told for told in app.sender.results() if told["id"] == job_id]) == 1, nth
        assert len(app.model.prompts) - calls <= 3, nth


async def test_a_lost_answer_while_a_job_is_put_off_puts_it_off_once(app: App) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=1.0)]
    start = app.cosmos.transport.requests

    def lose(_: object) -> None:
        if app.cosmos.transport.requests == start + 3:
            app.cosmos.transport.lose_answers = 1

    app.cosmos.transport.watch = lose
    await app.deliver(message())

    assert (await app.jobs.read("j1")).waits == 1
    assert len(app.sender.sent) == 1


async def test_a_late_note_about_the_first_request_leaves_the_one_that_was_put_off_to_be_sent(
    app: App,
) -> None:
    accepted, _ = await app.jobs.create(
        ReasonerIn.model_validate(message()), JobMessage(kind="request", session_id="acme#0", body="{}")
    )
    app.clock.advance(1)
    app.model.failures = [BudgetExceededError("Too much", retry_after=1.0)]
    app.sender.is_down = True
    with pytest.raises(DependencyUnavailableError):
        await app.deliver(message())
    app.sender.is_down = False

    await app.jobs.mark_sent(accepted)
    app.clock.advance(60)
    await app.sweep()

    assert [sent.not_before is not None for _, sent in app.sender.sent] == [True]


async def test_only_its_holder_extends_checkpoints_puts_off_or_ends_a_job(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    first = await app.jobs.claim(job, "first", HOLD_SECONDS)
    app.clock.advance(HOLD_SECONDS)
    second = await app.jobs.claim(first, "second", HOLD_SECONDS)
    told = JobMessage(kind="result", body="{}")
    step = JobStep(text="x", usage=Usage())
    delay = JobDelay(told, app.clock.now(), "x")

    for act in (
        lambda: app.jobs.extend(first, HOLD_SECONDS),
        lambda: app.jobs.checkpoint(first, "reason", step, Usage(), HOLD_SECONDS),
        lambda: app.jobs.put_off(first, delay),
        lambda: app.jobs.finish(first, JobEnd(JobStatus.FAILED, told)),
        lambda: app.jobs.give_back(first, "x", Usage()),
    ):
        with pytest.raises(JobInWorkError):
            await act()
    assert (await app.jobs.read("j1")).etag == second.etag


async def test_a_worker_counts_as_dead_only_where_the_job_is_still_in_its_hands(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    first = await app.jobs.claim(job, "first", HOLD_SECONDS)
    await app.jobs.give_back(first, "x", Usage())
    with pytest.raises(ItemChangedError):
        await app.jobs.claim(first, "second", HOLD_SECONDS)
    second = await app.jobs.claim(await app.jobs.read("j1"), "second", HOLD_SECONDS)
    app.clock.advance(HOLD_SECONDS)
    with pytest.raises(ItemChangedError):
        await app.jobs.claim(job, "third", HOLD_SECONDS)
    third = await app.jobs.claim(second, "third", HOLD_SECONDS)

    assert (second.failures, third.failures) == (0, 1)


async def test_a_job_that_was_given_back_is_nobodys_to_extend_or_end(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    held = await app.jobs.claim(job, "first", HOLD_SECONDS)
    await app.jobs.give_back(held, "x", Usage())

    with pytest.raises(JobInWorkError):
        await app.jobs.extend(held, HOLD_SECONDS)
    with pytest.raises(JobInWorkError):
        await app.jobs.finish(held, JobEnd(JobStatus.FAILED, JobMessage(kind="result", body="{}")))
    assert (await app.jobs.read("j1")).status is JobStatus.QUEUED


async def test_a_second_worker_comes_back_after_the_first_and_never_works_beside_it(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    first = await app.jobs.claim(job, "first", HOLD_SECONDS)

    await app.deliver(message())
    beside = (len(app.model.prompts), app.clock.slept)
    await app.deliver_what_was_put_off()

    assert beside == (0, [1.0])
    assert app.clock.now().timestamp() >= first.lease_until
    assert (await app.show("j1")).json()["status"] == "succeeded"
    with pytest.raises(JobInWorkError):
        await app.jobs.give_back(first, "too late", Usage())


async def test_a_lease_that_ends_while_its_job_is_put_off_holds_up_no_session(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    await app.jobs.claim(job, "first", HOLD_SECONDS)
    app.clock.advance(HOLD_SECONDS - 1.5)  # after a second of waiting it is still the first one's
    start = app.cosmos.transport.requests

    def end_lease(_: object) -> None:
        if (
            app.cosmos.transport.requests == start + 5
        ):  # found, asked for, read, asked for; read to put it off
            app.clock.advance(1)

    app.cosmos.transport.watch = end_lease

    await app.deliver(message())
    beside = (len(app.model.prompts), app.clock.slept)
    await app.deliver_what_was_put_off()

    assert beside == (0, [1.0])
    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_a_second_delivery_of_a_job_that_ends_soon_waits_for_that(app: App) -> None:
    begun = app.clock.monotonic()

    async def think() -> None:
        await app.until(begun + 1)

    app.model.think = think
    await asyncio.gather(app.deliver(message()), app.deliver(message()))

    assert {queue for queue, _ in app.sender.sent} == {"reasoner-out"}


async def test_a_copy_that_waits_for_a_worker_is_sent_by_whoever_gets_the_delivery_next(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    await app.jobs.claim(job, "dead", HOLD_SECONDS)
    app.sender.is_down = True
    with pytest.raises(DependencyUnavailableError, match="Service Bus"):
        await app.deliver(message())
    app.sender.is_down = False

    await app.deliver(message())
    await app.deliver_what_was_put_off()

    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_two_deliveries_at_once_pay_each_step_once(app: App) -> None:
    await asyncio.gather(app.deliver(message()), app.deliver(message()))

    assert len(app.model.prompts) == 2
    assert len({str(told) for told in app.sender.results()}) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "MalformedRequestError"),
        (b"\xff\xfe", "MalformedRequestError"),
        (message(text=None), "ValidationError"),
        (message(messages=[{"role": "user", "content": "x"}]), "ValidationError"),
        (message(strategy="tree"), "ValidationError"),
        (message(variables={"a": "b"}), "ValidationError"),
        (message(text=None, prompt_name="no/such"), "ValidationError"),
        (message(text=None, prompt={"name": "no/such"}), "ValidationError"),
        (message(text=None, prompt={"name": "p", "label": "a", "version": 1}), "ValidationError"),
        (message(prompt={"name": "p"}), "ValidationError"),
        (message(max_output_tokens=1_000_000), "ValidationError"),
        (message(model="no such\n"), "ValidationError"),
        (message(id="no spaces"), "ValidationError"),
        (message(schema_version=2**64), "ValidationError"),
        (message(schema_version=-(10**30)), "ValidationError"),
        (message(tenant_id="nobody"), "TenantNotFoundError"),
        (message(tenant_id="global:tenants"), "ValidationError"),
    ],
)
async def test_what_can_never_succeed_is_quarantined_with_its_reason(
    app: App, body: dict[str, object] | bytes, reason: str
) -> None:
    await app.deliver(body)
    await app.deliver(body)

    entries = [*await app.quarantined(), *await app.quarantined("global:quarantine")]
    assert [entry["reason"] for entry in entries] == [reason]
    assert app.model.prompts == []


async def test_a_quarantine_that_fails_keeps_the_message_in_its_queue(app: App) -> None:
    await app.deliver(b"{")
    app.cosmos.transport.lose_requests = 100

    with pytest.raises(DependencyUnavailableError):
        await app.deliver(b"[", "m-2")


async def test_a_message_that_exhausted_its_deliveries_fails_its_job_and_is_kept(app: App) -> None:
    await app.give_up(message())
    await app.give_up(message())
    await app.give_up(b"junk", "j2")

    assert (await app.jobs.read("j1")).status is JobStatus.FAILED
    assert len(app.sender.results()) == 1
    [kept] = await app.quarantined()
    assert (kept["reason"], kept["detail"]) == (
        "DeliveriesExhaustedError",
        "Dead-lettered by the broker: MaxDeliveryCountExceeded",
    )
    assert len(await app.quarantined("global:quarantine")) == 1


async def test_a_dead_duplicate_of_a_finished_job_changes_nothing(app: App) -> None:
    await app.deliver(message())

    await app.give_up(message())

    assert (await app.show("j1")).json()["status"] == "succeeded"
    assert [told["message"] for told in app.sender.results()] == ["SUCCESS"]


async def test_a_message_that_asks_for_something_else_under_a_jobs_id_is_kept_and_changes_nothing(
    app: App,
) -> None:
    await app.accept(id="j1", text="Why?")

    await app.deliver(message(text="How?"))
    await app.give_up(message(text="How?"), "m-2")

    assert (await app.show("j1")).json()["status"] == "queued"
    assert app.model.prompts == []
    reasons = {str(entry["reason"]) for entry in await app.quarantined()}
    assert reasons == {"JobConflictError", "DeliveriesExhaustedError"}
    await app.deliver(message())
    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_a_message_with_what_a_newer_release_added_is_still_its_job(app: App) -> None:
    await app.accept(id="j1", text="Why?")

    await app.deliver(message(schema_version=2, added_later="x"))

    assert (await app.show("j1")).json()["status"] == "succeeded"
    assert await app.quarantined() == []


async def test_a_model_call_that_outlasts_a_hold_is_not_paid_for_beside(app: App) -> None:
    ends = app.clock.monotonic() + 2 * HOLD_SECONDS

    async def think() -> None:
        await app.until(ends)

    app.model.think = think
    await asyncio.gather(app.deliver(message()), app.deliver(message(), "m-2"))

    assert len(app.model.prompts) == 2
    assert len({str(told) for told in app.sender.results()}) == 1


async def test_a_worker_that_lost_its_job_pays_for_nothing_more(app: App) -> None:
    refusals = [BudgetExceededError("Too much", retry_after=30.0)]

    async def think() -> None:
        if refusals:
            # Meanwhile this worker could not say that it lives, and another one took the job.
            app.clock.advance(HOLD_SECONDS)
            await app.jobs.claim(await app.jobs.read("j1"), "other", 10 * HOLD_SECONDS)
            raise refusals.pop()

    app.model.think = think
    await app.deliver(message())

    assert len(app.model.prompts) == 1
    assert (await app.jobs.read("j1")).holder == "other"


async def test_a_hold_that_cannot_be_prolonged_for_a_moment_is_kept(app: App) -> None:
    began = app.clock.monotonic()

    async def think() -> None:
        app.cosmos.transport.lose_requests = 3
        await app.until(began + HOLD_SECONDS / 2)

    app.model.think = think
    await app.deliver(message(text="Why?"))

    assert (await app.show("j1")).json()["status"] == "succeeded"
    assert len(app.model.prompts) == 2


async def test_a_cancelled_worker_leaves_its_job_to_the_next_one_at_once(app: App) -> None:
    thinking = asyncio.Event()

    async def think() -> None:
        thinking.set()
        await asyncio.Event().wait()

    app.model.think = think
    work = asyncio.create_task(app.deliver(message()))
    await thinking.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    left = await app.jobs.read("j1")
    began = app.clock.monotonic()
    app.model.think = FakeModel().think

    await app.deliver(message())

    assert (left.status, left.last_failure) == (JobStatus.QUEUED, "The work broke off")
    assert app.clock.monotonic() == began
    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_a_defect_gives_the_job_back_and_does_not_show_in_what_is_told(app: App) -> None:
    app.model.failures = [ZeroDivisionError("the customer's words")]
    await app.deliver(message())

    await app.give_up(message())

    [told] = app.sender.results()
    assert told["message"] == "No delivery is left. At the last: The work broke off"


async def test_a_dead_letter_whose_worker_died_waits_for_its_lease_and_says_so(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    await app.jobs.claim(job, "dead", HOLD_SECONDS)

    with pytest.raises(JobInWorkError):
        await app.give_up(message())
    app.clock.advance(HOLD_SECONDS)
    await app.give_up(message())

    assert app.sender.results()[0]["message"] == "No delivery is left. At the last: Its worker died"


async def test_a_job_that_kills_each_of_its_workers_fails_after_five_and_is_kept(app: App) -> None:
    async def die() -> None:
        app.die()

    app.model.think = die
    for _ in range(5):
        with pytest.raises(KilledError):
            await app.deliver(message())
        await app.deliver(message())  # the broker brings it again at once
        queue, copy = app.sender.sent[-1]
        assert queue == "reasoner-in"
        assert copy.not_before is not None
        app.clock.advance((copy.not_before - app.clock.now()).total_seconds())

    await app.deliver(message())

    assert len(app.model.prompts) == 5
    told = [told["message"] for told in app.sender.results()]
    assert told == ["No delivery is left. At the last: Its worker died"]
    [kept] = await app.quarantined()
    assert kept["reason"] == "DeliveriesExhaustedError"
    assert kept["detail"] == "Its work failed 5 times in a row: Its worker died"


async def test_a_job_whose_model_always_fails_ends_after_a_minute_and_is_kept(app: App) -> None:
    app.model.failures = [DependencyUnavailableError("The model")] * 100
    began, waits = app.clock.now(), []
    await app.deliver(message())
    while (await app.show("j1")).json()["status"] == "queued":
        before = app.clock.now()
        await app.deliver_what_was_put_off()
        waits.append((app.clock.now() - before).total_seconds())

    assert waits == [2, 8, 20, 30]
    assert (app.clock.now() - began).total_seconds() == sum(waits)
    shown = (await app.show("j1")).json()
    last = "DependencyUnavailableError: The model is not available"
    assert (shown["status"], shown["error"]) == ("failed", f"No delivery is left. At the last: {last}")
    assert [told["message"] for told in app.sender.results()] == [shown["error"]]
    [kept] = await app.quarantined()
    assert (kept["reason"], kept["detail"]) == (
        "DeliveriesExhaustedError",
        f"Its work failed 5 times in a row: {last}",
    )


async def test_a_step_that_is_finished_lets_a_job_fail_five_times_more(app: App) -> None:
    async def fail_four_times() -> None:
        fails = [name for name, count in left.items() if count]
        if fails and app.model.prompts[-1].origin.step == fails[0]:
            left[fails[0]] -= 1
            app.model.failures = [DependencyUnavailableError("The model")]

    left = {"reason": 4, "summarise": 4}
    app.model.think = fail_four_times
    await app.deliver(message())
    for _ in range(8):
        await app.deliver_what_was_put_off()

    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_a_failure_that_says_when_to_come_back_is_tried_then_and_within_a_quarter_of_an_hour(
    app: App,
) -> None:
    waits: list[timedelta] = []
    for seconds in (30.0, 86_400.0):
        app.model.failures = [RateLimitError("Later", retry_after=seconds)]
        before = app.clock.now()
        await (app.deliver(message()) if not waits else app.deliver_what_was_put_off())
        waits.append((app.sender.sent[-1][1].not_before or before) - app.clock.now())

    assert [wait.total_seconds() for wait in waits] == [30, 900]


async def test_a_failure_before_a_job_is_stored_puts_nothing_off(app: App) -> None:
    def lose_the_creation(_: object) -> None:
        app.cosmos.transport.lose_requests = 3
        app.cosmos.transport.watch = lambda _: None

    app.cosmos.transport.watch = lose_the_creation
    with pytest.raises(DependencyUnavailableError):
        await app.deliver(message())

    assert app.sender.sent == []
    await app.deliver(message())
    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_a_kill_while_a_failed_job_is_put_off_loses_nothing_and_pays_for_nothing_twice(
    app: App,
) -> None:
    for nth in range(1, 9):
        job_id = f"j{nth}"
        app.model.failures = [DependencyUnavailableError("The model")]
        start, calls = app.cosmos.transport.requests, len(app.model.prompts)

        def kill(_: object, at: int = start + nth) -> None:
            if app.cosmos.transport.requests == at:
                app.die()

        app.cosmos.transport.watch_done = kill
        for _ in range(20):
            try:
                await app.deliver(message(id=job_id))
                break
            except KilledError:
                app.clock.advance(HOLD_SECONDS + 1)
        app.cosmos.transport.watch_done = lambda _: None
        app.clock.advance(60)
        await app.sweep()
        for _, sent in list(app.sender.sent):
            if sent.not_before is not None:
                await app.deliver(sent.body, sent.message_id)

        assert (await app.show(job_id)).json()["status"] == "succeeded", nth
        assert len({str(told) for told in app.sender.results() if told["id"] == job_id}) == 1, nth
        assert len(app.model.prompts) - calls <= 4, nth


async def test_a_store_that_is_down_when_a_job_is_given_back_hides_no_failure(app: App) -> None:
    async def think() -> None:
        app.cosmos.transport.lose_requests = 100

    app.model.think = think
    app.model.failures = [PromptRefusedError("no"), DependencyUnavailableError("The model")]
    with pytest.raises(DependencyUnavailableError, match="Cosmos DB"):
        await app.deliver(message())
    app.cosmos.transport.lose_requests = 0
    app.clock.advance(2 * HOLD_SECONDS)
    app.model.think = FakeModel().think
    await app.deliver(message())
    assert (await app.show("j1")).json()[
        "waiting_for"
    ] == "DependencyUnavailableError: The model is not available"


@pytest.mark.parametrize("nth", range(1, 7))
async def test_an_answer_of_the_store_that_is_lost_pays_and_tells_nothing_twice(app: App, nth: int) -> None:
    start = app.cosmos.transport.requests

    def lose(_: object) -> None:
        if app.cosmos.transport.requests == start + nth:
            app.cosmos.transport.lose_answers = 1

    app.cosmos.transport.watch = lose

    await app.deliver(message())

    assert (await app.show("j1")).json()["status"] == "succeeded"
    assert len(app.model.prompts) == 2
    assert len(app.sender.results()) == 1


@pytest.mark.parametrize(
    ("unfit", "problem"),
    [(" \n ", "has less than 1 characters"), ("x" * 131_073, "has more than 131072 bytes")],
)
async def test_an_answer_of_no_use_is_asked_for_again_once_and_then_fails_the_job(
    app: App, unfit: str, problem: str
) -> None:
    app.model.text = unfit

    await app.deliver(message())

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["steps"], len(app.model.prompts)) == ("failed", [], 2)
    assert shown["error"] == f"UnfitAnswerError: The answer to step 'reason' {problem}"
    assert shown["usage"]["total_tokens"] == 20
    assert app.sender.results()[0]["usage"]["total_tokens"] == 20


async def test_an_answer_that_is_of_use_when_it_is_asked_for_again_counts_both(app: App) -> None:
    async def find_the_words() -> None:
        app.model.text = "" if len(app.model.prompts) == 1 else "sound"

    app.model.think = find_the_words

    await app.deliver(message())

    shown = (await app.show("j1")).json()
    assert [step["usage"]["total_tokens"] for step in shown["steps"]] == [20, 10]
    assert (shown["status"], shown["usage"]["total_tokens"]) == ("succeeded", 30)


async def test_a_result_that_no_queue_takes_is_told_without_its_analysis(app: App) -> None:
    app.model.text = "漢" * 40_000

    await app.deliver(message())

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["result"]["reason"]) == ("succeeded", app.model.text)
    [(_, sent)] = app.sender.sent
    assert len(sent.body) <= 200_000
    [told] = app.sender.results()
    assert (told["ai_reason"], told["reason"], len(told["summary"])) == (None, None, 500)
    assert told["message"].endswith("GET /api/v1/reasoning/jobs/j1")


async def test_the_budget_is_the_tenants_for_the_reasoner(app: App) -> None:
    await app.deliver(message())

    assert set(app.model.callers) == {("acme", "reasoner")}
