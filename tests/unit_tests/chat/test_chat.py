"""A turn is answered from its bot, its prompt and its history, stored, and paid for by its tenant."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from functions.chat.bots.repository import BotRepository
from functions.chat.conversations.models import ChatRequest
from functions.chat.conversations.reservation import RESERVATION_SECONDS
from functions.chat.conversations.service import ANSWER_SECONDS, ChatService
from shared.errors import BudgetExceededError, DependencyTimeoutError, DependencyUnavailableError
from shared.llm.chat_model import ModelOutageError, PromptTooLongError
from shared.llm.errors import PromptRefusedError
from shared.prompts.edits import MoveLabel, PromptEdit
from shared.prompts.models import MessageTemplate, PromptDraft
from tests.support.fakes import Call
from tests.unit_tests.chat.app import ACME, USAGE, WordCounter

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock
    from tests.unit_tests.chat.app import App


def service(app: App, answer_seconds: float = ANSWER_SECONDS) -> ChatService:
    return ChatService(
        tenant=ACME,
        bots=BotRepository(ACME, app.cosmos.container("bots"), app.clock),
        prompts=app.prompts,
        open_conversation=lambda _, conversation_id: app.conversation(conversation_id),
        open_in_memory=lambda _, conversation_id: app.conversation(conversation_id),
        open_model=lambda bot_id: app.model.opened_for(ACME, bot_id),
        default_model="gpt-default",
        counter=WordCounter(),
        tokenizer_of=partial(app.models.tokenizer, ACME),
        count_turn=lambda _bot, _per_minute: None,
        answer_seconds=answer_seconds,
    )


async def test_a_turn_is_answered_and_stored_with_its_usage(app: App) -> None:
    answer = await app.chat("hello", user_id="u1")

    usage = USAGE.model_dump()
    assert answer.status == 200
    source = {
        "finish_reason": "stop",
        "model": "gpt-default",
        "prompt": None,
        "latency_ms": 0,
        "time_to_first_token_ms": None,
        "cost": None,
        "currency": None,
    }
    assert answer.json() == source | {
        "response": "answer 1",
        "conversation_id": "c",
        "turn": 1,
        "conversation_storage": "cosmos",
        "usage": usage,
    }
    shown = (await app.on_conversation()).json()
    assert shown == {
        "etag": (await app.on_conversation()).headers["etag"],
        "conversation_id": "c",
        "title": None,
        "turns": 1,
        "user_id": "u1",
        "forked_from": None,
        "created_at": "2026-01-31T10:30:00Z",
        "updated_at": "2026-01-31T10:30:00Z",
        "items": [
            {
                "turn": 1,
                "status": "done",
                "message": "hello",
                "response": "answer 1",
                "usage": usage,
                "rating": None,
                "created_at": "2026-01-31T10:30:00Z",
                "expires_at": None,
                "etag": shown["items"][0]["etag"],
            }
            | source
        ],
        "next_cursor": None,
    }


async def test_an_answer_that_the_output_limit_cut_says_so_now_and_later(app: App) -> None:
    app.model.finish_reason = "length"
    cut = (await app.chat("hello")).json()
    app.model.finish_reason = None
    unknown = (await app.chat("hello")).json()

    assert (cut["finish_reason"], unknown["finish_reason"]) == ("length", None)
    shown = (await app.on_conversation()).json()["items"]
    assert [turn["finish_reason"] for turn in shown] == ["length", None]


async def test_a_turn_without_an_answer_says_nothing_of_its_origin(app: App) -> None:
    app.model.failure = PromptRefusedError("no")
    await app.chat("hello")

    [turn] = (await app.on_conversation()).json()["items"]
    assert (turn["finish_reason"], turn["model"], turn["prompt"]) == (None, None, None)


async def test_a_message_that_is_too_long_is_refused_in_the_words_of_a_message(app: App) -> None:
    app.model.failure = PromptTooLongError("The prompt may take 30536 tokens", {"tokens": 30_536})
    refused = await app.chat("hello")

    answer = refused.json()
    assert (refused.status, list(answer["detail"]["fields"])) == (422, ["body.message"])
    assert "message is too long" in answer["message"]
    assert answer["detail"]["tokens"] == 30_536
    assert "token_count" not in refused.body.decode()
    assert [status for _, status, _, _ in await app.turns()] == ["failed"]


async def test_the_bots_configuration_decides_how_the_model_is_called(app: App) -> None:
    await app.chat()
    plain = app.model.prompts[-1]
    await app.save_bot(
        system_prompt="x",
        llm={"model": "gpt-own", "temperature": 0.0, "max_output_tokens": 9, "reasoning_effort": "low"},
    )
    await app.chat(user_id="u1")
    own = app.model.prompts[-1]

    assert (plain.model, plain.temperature, plain.max_output_tokens, plain.user) == (
        "gpt-default",
        None,
        None,
        None,
    )
    assert (own.model, own.temperature, own.max_output_tokens, own.user) == ("gpt-own", 0.0, 9, "u1")
    assert (plain.reasoning_effort, own.reasoning_effort) == (None, "low")


async def test_a_bot_without_a_model_uses_the_tenants_default_one(app: App) -> None:
    app.settings.values["chat.default_model"] = "gpt-of-the-tenant"

    await app.chat()

    assert app.model.prompts[-1].model == "gpt-of-the-tenant"


async def test_a_turn_is_paid_by_the_callers_tenant_under_the_bots_name(app: App) -> None:
    await app.chat()

    assert app.model.callers == [("acme", "bot:b")]


async def test_the_model_is_reminded_of_the_last_turns_that_the_budget_holds_and_no_more(app: App) -> None:
    await app.save_bot(system_prompt="Be brief.", memory={"type": "buffer", "max_tokens": 2 * (4 + 8)})
    for number in range(1, 5):
        await app.chat(f"message {number}")

    assert app.model.said == [
        ("system", "Be brief."),
        ("user", "message 2"),
        ("assistant", "answer 2"),
        ("user", "message 3"),
        ("assistant", "answer 3"),
        ("user", "message 4"),
    ]


async def test_a_bot_without_a_memory_is_reminded_of_nothing(app: App) -> None:
    await app.save_bot(system_prompt="Be brief.", memory={"max_tokens": 0})
    await app.chat("one")
    await app.chat("two")

    assert app.model.said == [("system", "Be brief."), ("user", "two")]


async def test_a_message_that_is_longer_than_the_bot_takes_is_refused_before_it_is_a_turn(app: App) -> None:
    await app.save_bot(system_prompt="x", limits={"max_message_characters": 3})

    assert (await app.chat("abc")).status == 200
    refused = await app.chat("abcd")

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["body.message"])
    assert len(await app.turns()) == len(app.model.prompts) == 1


async def test_a_bot_takes_so_many_turns_of_a_tenant_per_minute(app: App, clock: FakeClock) -> None:
    for headers in (app.editor, app.stranger):
        await app.save_bot(headers=headers, system_prompt="x", limits={"turns_per_minute": 2})

    answers = [await app.chat(conversation_id=f"c{number}") for number in range(3)]
    strangers = await app.chat(headers=app.stranger)
    await app.save_bot("b2", system_prompt="x", limits={"turns_per_minute": 2})
    neighbour = await app.client.call("chat", Call.of({"message": "x"}, headers=app.user, bot_id="b2"))
    clock.advance(float(answers[-1].headers["retry-after"]))
    later = await app.chat()

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["error"] == "TurnRateExceededError"
    assert answers[-1].json()["detail"] == {"bot_id": "b", "limit": 2}
    assert (strangers.status, neighbour.status, later.status) == (200, 200, 200)


async def test_a_bots_prompt_is_resolved_for_each_turn(app: App) -> None:
    await app.save_bot(prompt={"name": "p"})
    await app.prompts.save("p", PromptDraft(template="You serve {who}."), None)
    await app.chat(variables={"who": "Ada"})
    first = app.model.said[0]
    await app.prompts.save("p", PromptDraft(template="You obey {who}."), None)
    await app.chat(variables={"who": "Bob"})

    assert (first, app.model.said[0]) == (("system", "You serve Ada."), ("system", "You obey Bob."))


@pytest.mark.parametrize(
    ("reference", "used"),
    [
        ({"prompt": {"name": "p"}}, 2),
        ({"prompt": {"name": "p", "label": "production"}}, 2),
        ({"prompt": {"name": "p", "label": "beta"}}, 1),
        ({"prompt": {"name": "p", "label": "latest"}}, 3),
        ({"prompt": {"name": "p", "version": 1}}, 1),
    ],
)
async def test_a_bot_uses_the_version_that_it_names_and_its_answers_say_which(
    app: App,
    reference: dict[str, Any],
    used: int,
) -> None:
    for number in (1, 2, 3):
        await app.prompts.save("p", PromptDraft(template=f"Version {number}."), None)
    await app.prompts.apply(PromptEdit("p", MoveLabel("production", 2)))
    await app.prompts.apply(PromptEdit("p", MoveLabel("beta", 1)))
    await app.save_bot(**reference)

    answer = (await app.chat()).json()

    assert app.model.said[0] == ("system", f"Version {used}.")
    assert app.model.prompts[-1].version == f"p:{used}"  # the provider's cache of prompts goes by it
    assert answer["prompt"] == {"name": "p", "version": used}
    [turn] = (await app.on_conversation()).json()["items"]
    assert turn["prompt"] == answer["prompt"]


async def test_rolling_a_bot_back_is_moving_a_label(app: App) -> None:
    await app.save_bot(prompt={"name": "p"})
    await app.prompts.save("p", PromptDraft(template="Old."), None)
    await app.prompts.apply(PromptEdit("p", MoveLabel("production", 1)))
    await app.prompts.save("p", PromptDraft(template="New."), None)
    before = (await app.chat()).json()["prompt"]["version"]
    await app.prompts.apply(PromptEdit("p", MoveLabel("production", 2)))
    live = (await app.chat()).json()["prompt"]["version"]
    await app.prompts.apply(PromptEdit("p", MoveLabel("production", 1)))

    assert (before, live, (await app.chat()).json()["prompt"]["version"]) == (1, 2, 1)


@pytest.mark.parametrize(
    "reference", [{"name": "p", "label": "nowhere"}, {"name": "p", "version": 9}, {"name": "gone"}]
)
async def test_a_version_that_is_not_there_is_named_before_a_turn_begins(
    app: App, reference: dict[str, object]
) -> None:
    await app.prompts.save("p", PromptDraft(template="x"), None)
    await app.save_bot(prompt=reference)
    refused = await app.chat()

    assert (refused.status, refused.json()["error"]) == (404, "PromptNotFoundError")
    assert (await app.on_conversation()).status == 404


async def test_a_bots_prompt_may_be_a_chat_and_the_conversation_follows_it(app: App) -> None:
    parts = (
        MessageTemplate(role="system", content="You serve {who}."),
        MessageTemplate(role="assistant", content="How may I help?"),
    )
    await app.prompts.save("p", PromptDraft(template=parts), None)
    await app.save_bot(prompt={"name": "p"})

    await app.chat("one", variables={"who": "Ada"})

    assert app.model.said == [
        ("system", "You serve Ada."),
        ("assistant", "How may I help?"),
        ("user", "one"),
    ]


async def test_braces_in_a_system_prompt_are_text(app: App) -> None:
    await app.save_bot(system_prompt='Answer {"like": "this"}')
    await app.chat()

    assert app.model.said[0] == ("system", 'Answer {"like": "this"}')


@pytest.mark.parametrize(
    ("template", "variables", "detail"),
    [
        ("{a}", {"b": "x"}, {"missing": ["a"], "unknown": ["b"]}),
        ("{a}", {"a": ""}, {"name": "p"}),
        (None, {"b": "x"}, {"missing": [], "unknown": ["b"]}),
    ],
)
async def test_variables_that_do_not_fit_are_named_before_a_turn_begins(
    app: App, template: str | None, variables: dict[str, str], detail: dict[str, object]
) -> None:
    if template is not None:
        await app.prompts.save("p", PromptDraft(template=template), None)
        await app.save_bot(prompt={"name": "p"})
    refused = await app.chat(variables=variables)

    assert (refused.status, refused.json()["detail"]) == (422, detail)
    assert (await app.on_conversation()).status == 404


async def test_a_bot_whose_prompt_is_gone_says_which(app: App) -> None:
    await app.save_bot(prompt={"name": "gone"})
    refused = await app.chat()

    assert (refused.status, refused.json()["error"]) == (404, "PromptNotFoundError")
    assert refused.json()["detail"]["name"] == "gone"


async def test_without_an_id_a_conversation_of_its_own_begins(app: App) -> None:
    first = (await app.chat(conversation_id=None)).json()
    second = (await app.chat(conversation_id=None)).json()
    third = (await app.chat(conversation_id=first["conversation_id"])).json()

    assert (first["turn"], second["turn"], third["turn"]) == (1, 1, 2)
    assert first["conversation_id"] != second["conversation_id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": ""}, "body.message"),
        ({"conversation_id": "a/b"}, "body.conversation_id"),
        ({"conversation_id": ""}, "body.conversation_id"),
        ({"conversation_id": "x" * 129}, "body.conversation_id"),
        ({"user_id": "a b"}, "body.user_id"),
        ({"variables": {"a": 1}}, "body.variables.a"),
        ({"stream": "yes"}, "body.stream"),
        ({"tenant_id": "globex"}, "body.tenant_id"),
    ],
)
async def test_an_invalid_request_is_refused_by_field(app: App, body: dict[str, object], field: str) -> None:
    call = Call.of({"message": "hi"} | body, headers=app.user, bot_id="b")
    refused = await app.client.call("chat", call)

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, [field])
    assert app.model.prompts == []


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ModelOutageError("The model"), 503),
        (DependencyUnavailableError("The model"), 503),
        (PromptRefusedError("too long"), 422),
        (BudgetExceededError("not now", retry_after=7), 429),
        (RuntimeError("a defect"), 500),
    ],
)
async def test_a_turn_without_an_answer_is_marked_and_the_history_skips_it(
    app: App, failure: Exception, status: int
) -> None:
    await app.chat("one")
    app.model.failure = failure
    refused = await app.chat("two")
    app.model.failure = None
    await app.chat("three")

    assert refused.status == status
    assert [(number, state) for number, state, _, _ in await app.turns()] == [
        (1, "done"),
        (2, "failed"),
        (3, "done"),
    ]
    assert [text for _, text in app.model.said] == ["Be brief.", "one", "answer 1", "three"]


async def test_a_model_that_takes_too_long_fails_the_turn(app: App) -> None:
    app.model.before_answering = asyncio.Event().wait

    with pytest.raises(DependencyTimeoutError):
        await service(app, answer_seconds=0.01).reply("b", ChatRequest(message="hi", conversation_id="c"))
    assert await app.turns() == [(1, "failed", "hi", None)]


def test_a_turn_ends_well_before_its_reservation() -> None:
    assert ANSWER_SECONDS + 15 <= RESERVATION_SECONDS


async def test_a_caller_who_leaves_frees_the_conversation(app: App) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await never.wait()

    app.model.before_answering = wait
    leaving = asyncio.create_task(app.chat("one"))
    await asked.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    app.model.before_answering = None

    assert (await app.chat("two")).json()["turn"] == 2
    assert [(number, state) for number, state, _, _ in await app.turns()] == [(1, "failed"), (2, "done")]


async def test_an_answer_that_was_paid_for_is_stored_although_its_caller_left(app: App) -> None:
    request = ChatRequest(message="one", conversation_id="c")

    async def leave() -> None:
        asyncio.get_running_loop().call_soon(leaving.cancel)

    app.model.before_answering = leave
    leaving = asyncio.create_task(service(app).reply("b", request))
    with pytest.raises(asyncio.CancelledError):
        await leaving

    assert await app.turns() == [(1, "done", "one", "answer 1")]
