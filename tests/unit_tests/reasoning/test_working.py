"""Working on a job: each step is paid once and the end is told once, wherever the worker dies."""

from __future__ import annotations

import asyncio

import pytest

from functions.reasoning.worker import LONGEST_WAIT_SECONDS
from shared.contracts import ReasonerIn
from shared.errors import BudgetExceededError, DependencyUnavailableError, PromptRefusedError
from shared.jobs.models import JobStatus
from shared.jobs.repository import JobInWorkError, Outgoing
from shared.messaging.sender import MAX_BODY_BYTES
from shared.prompts.models import PromptDraft
from tests.unit_tests.reasoning.app import HOLD_SECONDS, App, FakeModel, message


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
        ReasonerIn.model_validate(message()), Outgoing(kind="request", session_id="acme#0", body="{}")
    )
    app.sender.is_down = True
    with pytest.raises(DependencyUnavailableError):
        await app.deliver(message())
    app.sender.is_down = False

    await app.jobs.mark_sent(accepted, "request")
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


async def test_a_transient_failure_gives_the_job_back_with_its_steps(app: App) -> None:
    await app.accept(id="j1", text="Why?")
    app.model.failures = []
    app.model.text = "fine"
    with pytest.raises(DependencyUnavailableError, match="less than 5 characters"):
        await app.deliver(message())
    halfway = (await app.show("j1")).json()
    app.model.text = "long enough"

    await app.deliver(message())

    assert (halfway["status"], [step["name"] for step in halfway["steps"]]) == ("queued", ["reason"])
    assert len(app.model.prompts) == 3
    assert (await app.show("j1")).json()["status"] == "succeeded"


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


async def test_a_refused_budget_is_waited_for(app: App) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=30.0)]

    await app.deliver(message())

    assert 30.0 in app.clock.slept
    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_too_long_a_wait_for_the_budget_is_left_to_the_next_delivery(app: App) -> None:
    refusal = BudgetExceededError("Too much", retry_after=LONGEST_WAIT_SECONDS - 1)
    app.model.failures = [refusal, refusal]

    with pytest.raises(BudgetExceededError):
        await app.deliver(message())
    halfway = (await app.show("j1")).json()
    await app.deliver(message())

    assert (halfway["status"], halfway["error"]) == ("queued", None)
    assert (await app.show("j1")).json()["status"] == "succeeded"


async def test_a_budget_that_never_admits_a_job_fails_it_by_name_and_is_told(app: App) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=LONGEST_WAIT_SECONDS + 1)]
    with pytest.raises(BudgetExceededError):
        await app.deliver(message())

    await app.give_up(message())

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["error"]) == (
        "failed",
        "No delivery is left. At the last: BudgetExceededError: Too much",
    )
    assert [told["message"] for told in app.sender.results()] == [shown["error"]]


async def test_a_second_worker_waits_for_the_first_and_never_works_beside_it(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    first = await app.jobs.claim(job, "first", HOLD_SECONDS)

    await app.deliver(message())

    assert sum(app.clock.slept) >= HOLD_SECONDS
    assert (await app.show("j1")).json()["status"] == "succeeded"
    with pytest.raises(JobInWorkError):
        await app.jobs.give_back(first, "too late")


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
    outcomes = await asyncio.gather(
        app.deliver(message()), app.deliver(message(), "m-2"), return_exceptions=True
    )

    assert outcomes[0] is None
    assert outcomes[1] is None or isinstance(outcomes[1], JobInWorkError)
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
    with pytest.raises(JobInWorkError):
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
    with pytest.raises(ZeroDivisionError):
        await app.deliver(message())

    await app.give_up(message())

    [told] = app.sender.results()
    assert told["message"] == "No delivery is left. At the last: The work broke off"


async def test_a_job_whose_workers_all_died_says_so(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)
    await app.jobs.claim(job, "dead", HOLD_SECONDS)

    await app.give_up(message())

    assert app.sender.results()[0]["message"] == "No delivery is left. At the last: its workers died"


async def test_a_store_that_is_down_when_a_job_is_given_back_hides_no_failure(app: App) -> None:
    async def think() -> None:
        app.cosmos.transport.lose_requests = 100

    app.model.think = think
    app.model.failures = [PromptRefusedError("no"), DependencyUnavailableError("The model")]
    with pytest.raises(DependencyUnavailableError, match="Cosmos DB"):
        await app.deliver(message())
    app.cosmos.transport.lose_requests = 0
    app.clock.advance(2 * HOLD_SECONDS)
    with pytest.raises(DependencyUnavailableError, match="The model"):
        await app.deliver(message())


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


async def test_an_analysis_that_is_nothing_but_space_is_none(app: App) -> None:
    app.model.text = " \n "

    with pytest.raises(DependencyUnavailableError, match="less than 1 character"):
        await app.deliver(message())

    assert (await app.show("j1")).json()["steps"] == []


async def test_a_result_that_no_queue_takes_is_told_without_its_analysis(app: App) -> None:
    app.model.text = "漢" * (MAX_BODY_BYTES // 5)

    await app.deliver(message())

    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["result"]["reason"]) == ("succeeded", app.model.text)
    [(_, sent)] = app.sender.sent
    assert len(sent.body) <= MAX_BODY_BYTES
    [told] = app.sender.results()
    assert (told["ai_reason"], told["reason"], len(told["summary"])) == (None, None, 500)
    assert told["message"].endswith("GET /api/v1/reasoning/jobs/j1")


async def test_the_budget_is_the_tenants_for_the_reasoner(app: App) -> None:
    await app.deliver(message())

    assert set(app.model.callers) == {("acme", "reasoner")}
