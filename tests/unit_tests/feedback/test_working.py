"""Working on feedback: each is analysed and told once, whatever happens on the way."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.errors import BudgetExceededError, DependencyUnavailableError
from shared.llm.chat_model import FilteredAnswerError, ModelOutageError
from shared.llm.errors import PromptRefusedError
from tests.unit_tests.feedback.app import ANALYSIS, USAGE

if TYPE_CHECKING:
    from tests.unit_tests.feedback.app import FeedbackApp


async def test_a_feedback_is_analysed_stored_and_told(app: FeedbackApp) -> None:
    accepted = await app.accept(task_id="t7")
    await app.deliver_what_was_sent()

    assert (accepted.status, accepted.headers["location"]) == (202, "/api/v1/feedback/f1")
    shown = await app.show()
    assert (shown["status"], shown["language"], shown["task_id"]) == ("succeeded", "en", "t7")
    assert shown["analysis"] == {
        "ai_hashtag": "#paper-jam",
        "hashtag": "#bug",
        "category": "complaint",
        "summary": "The printer jams.",
        "contains_pii": False,
        "personal_data": [],
    }
    assert shown["usage"]["total_tokens"] == 10
    assert app.broker.bodies("feedback-form-out") == [
        {
            "tenant_id": "acme",
            "id": "f1",
            "schema_version": 1,
            "taskId": "t7",
            "ai_hashtag": "#paper-jam",
            "hashtag": "#bug",
            "summary": "The printer jams.",
            "category": "complaint",
            "contains_pii": False,
            "message": "SUCCESS",
        }
    ]


async def test_a_message_of_an_outsider_creates_the_feedback(app: FeedbackApp) -> None:
    await app.deliver(taskId="t7", unknown="ignored")

    shown = await app.show()
    assert (shown["status"], shown["task_id"]) == ("succeeded", "t7")


async def test_ten_deliveries_give_one_analysis_and_one_bill(app: FeedbackApp) -> None:
    for _ in range(10):
        await app.deliver()

    assert len(app.model.prompts) == 1
    assert len(app.broker.bodies("feedback-form-out")) == 1
    assert (await app.show())["usage"]["total_tokens"] == 10


CREATE, CLAIM, FINISH, MARK_SENT = range(1, 5)
"""A feedback's requests to its container, in their order."""


@pytest.mark.parametrize("nth", range(CREATE, MARK_SENT + 1))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_request_to_the_store_gives_one_analysis(
    app: FeedbackApp, nth: int, when: str
) -> None:
    app.kill_at(nth, when)

    assert await app.deliver_until_settled() == 2
    assert (await app.show())["status"] == "succeeded"
    # Only an answer that was on its way to the store when the worker died is paid once more.
    assert len(app.model.prompts) == 1 + ((nth, when) == (FINISH, "before"))
    # Only a result that was with the broker, and not yet noted as that, is sent once more, under its id.
    told = [message for queue, message in app.broker.sent if queue == "feedback-form-out"]
    assert len(told) == 1 + ((nth, when) == (MARK_SENT, "before"))
    assert {(message.message_id, message.body) for message in told} == {("acme:f1", told[0].body)}


async def test_an_undisturbed_feedback_takes_no_other_requests(app: FeedbackApp) -> None:
    asked: list[str] = []
    app.app.cosmos.transport.watch = lambda request: asked.append(request.url)

    await app.deliver()

    assert len([url for url in asked if "/colls/feedback/docs" in url]) == MARK_SENT


async def test_a_message_whose_ids_are_too_long_for_the_broker_has_a_digest(app: FeedbackApp) -> None:
    await app.accept(id="f" * 128)
    await app.accept(id="f" * 127 + "g")

    first, second = (message.message_id for _, message in app.broker.sent)
    assert (len(first), first[:5]) == (len("acme:") + 32, "acme:")
    assert first != second


async def test_personal_data_is_not_shown_to_the_model_and_is_masked_in_what_is_stored(
    app: FeedbackApp,
) -> None:
    app.model.analysis = ANALYSIS | {
        "summary": "Ann Smith (ann@example.com) says that the printer jams.",
        "personal_data": [{"kind": "name", "text": "Ann Smith"}],
    }

    await app.deliver(text="It jams. Ann Smith, ann@example.com")

    assert app.model.prompts[0].messages[-1].content == "It jams. Ann Smith, [email]"
    analysis = (await app.show())["analysis"]
    assert analysis["summary"] == "[name] ([email]) says that the printer jams."
    assert (analysis["contains_pii"], analysis["personal_data"]) == (True, ["email", "name"])


async def test_the_model_is_told_the_language_and_held_to_a_schema(app: FeedbackApp) -> None:
    await app.deliver(language="pt-BR")

    [prompt] = app.model.prompts
    assert '"pt-BR"' in prompt.messages[0].content
    assert prompt.answer_format is not None
    assert prompt.answer_format.json_schema is not None
    assert prompt.answer_format.json_schema.is_strict
    assert (prompt.origin.job_id, prompt.origin.step) == ("f1", "analyse")


async def test_another_hashtag_is_asked_for_again_and_both_answers_are_paid(app: FeedbackApp) -> None:
    app.model.answers = [json.dumps(ANALYSIS | {"hashtag": "#printers"})]

    await app.deliver()

    shown = await app.show()
    assert (shown["analysis"]["hashtag"], shown["usage"]["total_tokens"]) == ("#bug", 20)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (json.dumps(ANALYSIS | {"hashtag": "#printers"}), "InvalidAnswerError"),
        ("I would call it a #bug.", "InvalidAnswerError"),
    ],
)
async def test_answers_without_the_form_fail_it_with_their_usage(
    app: FeedbackApp, answer: str, reason: str
) -> None:
    app.model.answers = [answer, answer]

    await app.deliver()

    shown = await app.show()
    assert (shown["status"], shown["analysis"], shown["usage"]["total_tokens"]) == ("failed", None, 20)
    assert shown["error"].startswith(reason)
    [told] = app.broker.bodies("feedback-form-out")
    assert (told["message"], told["hashtag"], told["summary"]) == (shown["error"], None, None)


async def test_a_summary_that_is_none_fails_it_with_its_usage(app: FeedbackApp) -> None:
    app.model.analysis = ANALYSIS | {"summary": " Hm. "}

    await app.deliver()

    shown = await app.show()
    assert (shown["status"], shown["usage"]["total_tokens"]) == ("failed", 10)
    assert shown["error"] == "UnfitSummaryError: The model's summary has less than 5 characters"


@pytest.mark.parametrize(
    ("failure", "tokens"),
    [(PromptRefusedError("The content filter refused it"), 0), (FilteredAnswerError(USAGE), 10)],
)
async def test_what_the_model_refuses_fails_it_for_good(
    app: FeedbackApp, failure: PromptRefusedError, tokens: int
) -> None:
    app.model.failures = [failure]

    await app.deliver()

    shown = await app.show()
    assert (shown["status"], shown["usage"]["total_tokens"]) == ("failed", tokens)
    assert failure.message in shown["error"]
    assert await app.quarantined() == []


async def test_an_outage_puts_it_off_and_the_next_delivery_analyses_it(app: FeedbackApp) -> None:
    app.model.failures = [DependencyUnavailableError("The model")]
    await app.deliver()
    between = await app.show()

    await app.deliver_what_was_sent()

    assert between["status"] == "queued"
    assert between["waiting_for"] == "DependencyUnavailableError: The model is not available"
    assert (await app.show())["status"] == "succeeded"


async def test_what_the_budget_does_not_admit_waits_in_the_store_and_comes_back_at_its_time(
    app: FeedbackApp,
) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=30.0)]
    began = app.app.clock.now()

    await app.deliver()

    waiting = await app.show()
    until = datetime.fromisoformat(waiting["waiting_until"])
    assert (waiting["status"], waiting["waiting_for"]) == ("queued", "Too much")
    assert timedelta(seconds=30) <= until - began <= timedelta(seconds=40)
    [(queue, message)] = app.broker.sent
    assert (queue, message.not_before, message.session_id) == ("feedback-form-in", until, None)
    await app.deliver_what_was_sent()
    assert (await app.show())["status"] == "succeeded"


async def test_a_long_pause_that_the_model_asks_for_is_waited_for_and_a_short_one_is_a_failure(
    app: FeedbackApp,
) -> None:
    app.model.failures = [ModelOutageError("The model", "refuses", retry_after=60.0, asks_for_pause=True)]
    await app.accept()
    await app.deliver()
    waiting = await app.show()
    app.model.failures = [ModelOutageError("The model", "refuses", retry_after=2.0, asks_for_pause=True)]
    await app.deliver()
    failed = await app.show()
    await app.deliver()

    assert failed["waiting_for"] == "ModelOutageError: The model refuses"
    assert (waiting["status"], waiting["waiting_for"]) == ("queued", "The model refuses")
    assert waiting["waiting_until"] is not None
    [_, put_off, _] = app.broker.on("feedback-form-in")
    assert put_off.not_before is not None
    assert (await app.show())["status"] == "succeeded"


async def test_one_that_waited_for_25_hours_fails_with_the_budgets_words(app: FeedbackApp) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=25 * 3600 + 60.0)]

    await app.deliver()

    shown = await app.show()
    assert (shown["status"], shown["error"]) == ("failed", "Too much (the longest wait is 25 hours)")


async def test_one_whose_model_always_fails_ends_and_is_kept(app: FeedbackApp) -> None:
    app.model.failures = [DependencyUnavailableError("The model")] * 5
    await app.deliver()
    for _ in range(4):
        await app.deliver_what_was_sent()

    shown = await app.show()
    assert shown["status"] == "failed"
    assert [told["message"] for told in app.broker.bodies("feedback-form-out")] == [shown["error"]]
    assert [entry["reason"] for entry in await app.quarantined()] == ["DeliveriesExhaustedError"]


async def test_a_dead_letter_fails_it_with_the_last_reason(app: FeedbackApp) -> None:
    app.model.failures = [DependencyUnavailableError("The model")]
    await app.deliver()

    await app.give_up()

    shown = await app.show()
    assert shown["status"] == "failed"
    assert shown["error"].startswith("No delivery is left. At the last: DependencyUnavailableError")
    assert [entry["reason"] for entry in await app.quarantined()] == ["DeliveriesExhaustedError"]


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"language": "german please"}, "language"),
        ({"text": " " * 20_000}, "text"),
        ({"text": "a" * 20_001}, "text"),
        ({"id": "summary"}, "id"),
    ],
)
async def test_what_can_never_be_feedback_is_quarantined_with_the_field_and_costs_nothing(
    app: FeedbackApp, fields: dict[str, object], at_fault: str
) -> None:
    await app.deliver(**fields)

    [entry] = await app.quarantined()
    assert list(entry["fields"]) == [at_fault]
    assert app.model.prompts == []
    assert app.broker.sent == []


async def test_a_dead_letter_that_never_was_feedback_becomes_none(app: FeedbackApp) -> None:
    await app.give_up(text="   ")

    assert (await app.ask("get_feedback", feedback_id="f1")).status == 404
    assert [entry["reason"] for entry in await app.quarantined()] == ["DeliveriesExhaustedError"]


@pytest.mark.parametrize("fields", [{"language": None}, {"text": ""}, {"id": "a b"}])
async def test_what_is_no_message_of_the_queue_is_its_tenants_to_look_at(
    app: FeedbackApp, fields: dict[str, object]
) -> None:
    await app.deliver(**fields)

    [entry] = await app.quarantined()
    assert await app.quarantined("global:quarantine") == []
    assert entry["fields"].keys() == fields.keys()


async def test_another_text_under_a_known_id_is_quarantined_and_refused(app: FeedbackApp) -> None:
    await app.accept()

    refused = await app.accept(text="Something else")
    await app.deliver(text="Something else")

    assert refused.status == 409
    assert [entry["reason"] for entry in await app.quarantined()] == ["FeedbackConflictError"]


async def test_a_broker_that_is_down_refuses_nothing_and_the_sweeper_sends_it_later(app: FeedbackApp) -> None:
    app.broker.is_down = True
    accepted = await app.accept()
    app.broker.is_down = False
    app.app.clock.advance(60)

    await app.app.tick("sweep_feedback")

    assert accepted.status == 202
    assert [body["id"] for body in app.broker.bodies("feedback-form-in")] == ["f1"]


async def test_a_broker_that_does_not_take_an_analysis_is_asked_again_at_the_next_delivery(
    app: FeedbackApp,
) -> None:
    app.broker.is_down = True
    with pytest.raises(DependencyUnavailableError):
        await app.deliver()
    stored = await app.show()
    app.broker.is_down = False

    await app.deliver()

    assert (stored["status"], len(app.model.prompts)) == ("succeeded", 1)
    assert len(app.broker.bodies("feedback-form-out")) == 1
