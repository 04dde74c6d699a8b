"""A bot's, or a turn's, answers have the form that it names, or the turn has none and tells what it took."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

from functions.chat.bots.manager import BotContext, BotManager
from shared.errors import DependencyUnavailableError
from shared.llm.chat_model import DeclinedAnswerError, FilteredAnswerError
from shared.llm.prices import ModelPrice, PriceTable
from shared.tenancy.context import acting_for
from tests.support.events import read_events
from tests.support.fakes import Call
from tests.unit_tests.chat.app import ACME, USAGE
from tests.unit_tests.chat.test_streamed_chat import asking

if TYPE_CHECKING:
    from tests.unit_tests.chat.app import App

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORMAT: dict[str, Any] = {"type": "json_schema", "schema": SCHEMA}
GOOD, BAD = '{"city": "Oslo"}', '{"town": "Oslo"}'
TWICE = (USAGE + USAGE).model_dump()


async def save(app: App, response_format: object = FORMAT) -> None:
    saved = await app.save_bot(system_prompt="Be brief.", response_format=response_format)
    assert saved.status == 200, saved.body


async def stream(app: App) -> list[tuple[str, Any]]:
    answer = await app.client.call("chat", asking(app, "where?"))
    return read_events(answer.body.replace(b": still at work\n\n", b""))


async def test_a_bots_form_is_stored_shown_and_asked_for(app: App) -> None:
    await save(app)
    app.model.texts = [GOOD]
    answer = (await app.chat("where?")).json()

    assert (await app.on_bot()).json()["config"]["response_format"] == FORMAT
    assert (answer["response"], answer["usage"]) == (GOOD, USAGE.model_dump())
    asked = app.model.prompts[-1].answer_format
    assert asked is not None
    assert asked.model_dump(mode="json") == FORMAT


async def test_a_bot_without_a_form_asks_for_none(app: App) -> None:
    await app.chat()
    assert app.model.prompts[-1].answer_format is None
    assert (await app.on_bot()).json()["config"]["response_format"] is None


async def test_an_answer_that_was_asked_for_again_is_one_turn_with_the_usage_of_both(app: App) -> None:
    await save(app)
    app.model.texts = [BAD, GOOD]
    answer = (await app.chat("where?")).json()

    assert (answer["response"], answer["turn"], answer["usage"]) == (GOOD, 1, TWICE)
    assert len(app.model.prompts) == 2
    [turn] = (await app.on_conversation()).json()["items"]
    assert (turn["status"], turn["usage"]) == ("done", TWICE)
    app.model.texts = [GOOD]
    await app.chat("and now?")
    assert app.model.said[1:] == [("user", "where?"), ("assistant", GOOD), ("user", "and now?")]


async def test_the_cost_of_an_answer_is_that_of_both_calls(app: App) -> None:
    price = ModelPrice(prompt=Decimal(100_000), completion=Decimal(0))
    app.models.table = PriceTable("USD", {"gpt-default": price})
    await save(app)
    app.model.texts = [BAD, GOOD]
    assert Decimal((await app.chat("where?")).json()["cost"]) == Decimal("1.4")


async def test_a_managers_bots_are_held_to_their_form(app: App) -> None:
    app.model.texts = [BAD, GOOD]
    with acting_for(ACME):
        manager = BotManager(runtime=app.runtime)
        bot = await manager.get_or_create("own", {"system_prompt": "x", "response_format": FORMAT})
        answer = await bot.reply("where?", BotContext(conversation_id="c", client_id="acme"))
    assert (answer.response, answer.usage.total_tokens) == (GOOD, TWICE["total_tokens"])


async def test_an_answer_that_does_not_fit_twice_is_an_error_by_name_and_the_turn_tells_its_usage(
    app: App,
) -> None:
    await save(app)
    app.model.texts = [BAD, BAD]
    refused = await app.chat("where?")

    error = refused.json()
    assert (refused.status, error["error"]) == (422, "InvalidAnswerError")
    assert error["detail"] == {
        "code": "invalid_answer",
        "problems": {"/city": "is required"},
        "attempts": 2,
        "usage": TWICE,
    }
    [turn] = (await app.on_conversation()).json()["items"]
    assert (turn["status"], turn["response"], turn["usage"]) == ("failed", None, TWICE)
    app.model.texts = [GOOD]
    assert (await app.chat("again")).json()["turn"] == 2
    assert app.model.said[1:] == [("user", "again")]


async def test_a_turn_whose_answer_cannot_be_asked_for_again_tells_what_the_first_one_took(app: App) -> None:
    await save(app)
    app.model.texts = [BAD]

    async def go_down_after_the_first() -> None:
        if len(app.model.prompts) > 1:
            app.model.failure = DependencyUnavailableError("The model")

    app.model.before_answering = go_down_after_the_first
    assert (await app.chat("where?")).status == 503

    [turn] = (await app.on_conversation()).json()["items"]
    assert (turn["status"], turn["usage"]) == ("failed", USAGE.model_dump())


async def test_a_streamed_answer_is_checked_at_its_end_and_not_asked_for_again(app: App) -> None:
    await save(app)
    app.model.texts = [BAD]
    told = await stream(app)

    assert told[:-1] == [("token", {"text": '{"town": '}), ("token", {"text": '"Oslo"}'})]
    name, error = told[-1]
    assert (name, error["error"], error["detail"]["attempts"]) == ("error", "InvalidAnswerError", 1)
    assert len(app.model.prompts) == 1
    [turn] = (await app.on_conversation()).json()["items"]
    assert (turn["status"], turn["usage"]) == ("failed", USAGE.model_dump())


async def test_a_streamed_answer_that_fits_ends_as_any(app: App) -> None:
    await save(app)
    app.model.texts = [GOOD]
    name, done = (await stream(app))[-1]
    assert (name, done["response"]) == ("done", GOOD)


async def test_a_turns_form_is_in_the_place_of_the_bots_for_this_turn_alone(app: App) -> None:
    await save(app)
    plain = (await app.chat("hi", response_format={"type": "text"})).json()
    app.model.texts = ["[]", "{}"]
    repaired = (await app.chat("hi", response_format={"type": "json_object"})).json()
    app.model.texts = [GOOD]
    as_ever = (await app.chat("hi")).json()

    assert [one["response"] for one in (plain, repaired, as_ever)] == ["answer 1", "{}", GOOD]


async def test_a_regenerated_answer_has_the_bots_form_or_the_one_that_is_named(app: App) -> None:
    app.model.texts = ["Oslo", GOOD, BAD, BAD]
    await app.chat("where?")

    async def regenerate(**body: object) -> tuple[int, str | None]:
        call = Call.of(body, headers=app.user, bot_id="b", conversation_id="c")
        answer = await app.client.call("regenerate_answer", call)
        return answer.status, answer.json().get("response")

    assert await regenerate(response_format=FORMAT) == (200, GOOD)
    await save(app)
    assert await regenerate() == (422, None)


@pytest.mark.parametrize(
    ("response_format", "path"),
    [
        ({"type": "xml"}, "type"),
        ({"type": "json_schema"}, ""),
        ({"type": "json_schema", "schema": {"type": "array"}}, "schema.type"),
        ({"type": "json_schema", "schema": SCHEMA, "strict": True}, "strict"),
        (
            {
                "type": "json_schema",
                "schema": {"type": "object", "properties": {"a": {"pattrn": "x"}}},
            },
            "schema.properties.a.pattrn",
        ),
    ],
)
async def test_a_form_that_nobody_could_keep_to_is_refused_with_its_path(
    app: App, response_format: dict[str, object], path: str
) -> None:
    expected = ["body.response_format" + (path and f".{path}")]
    saved = await app.save_bot(system_prompt="x", response_format=response_format)
    asked = await app.chat(response_format=response_format)

    for refused in (saved, asked):
        assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, expected)
    assert app.model.prompts == []
    assert (await app.on_bot()).json()["config"]["response_format"] is None


async def test_a_form_that_a_newer_release_stored_refuses_the_turn_and_names_it(app: App) -> None:
    bots = app.cosmos.container("bots")
    stored = await bots.read((ACME.tenant_id,), "b")
    assert stored is not None
    config = cast("dict[str, Any]", stored["config"]) | {"response_format": {"type": "grammar"}}
    await bots.upsert((ACME.tenant_id,), {**stored, "config": config})
    app.composition.directory.forget(ACME, "b")

    refused = await app.chat()
    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["response_format.type"])


@pytest.mark.parametrize("failure", [DeclinedAnswerError(USAGE), FilteredAnswerError(USAGE)])
async def test_a_refusal_of_the_model_or_of_its_filter_is_its_own_error_and_the_turn_tells_its_usage(
    app: App, failure: DeclinedAnswerError | FilteredAnswerError
) -> None:
    await save(app)
    app.model.failure = failure
    refused = await app.chat("where?")

    assert (refused.status, refused.json()["error"]) == (422, type(failure).__name__)
    assert len(app.model.prompts) == 1
    [turn] = (await app.on_conversation()).json()["items"]
    assert (turn["status"], turn["usage"]) == ("failed", USAGE.model_dump())


async def test_a_refusal_that_does_not_tell_its_usage_leaves_a_turn_without(app: App) -> None:
    app.model.failure = FilteredAnswerError(None)
    await app.chat("where?")
    [turn] = (await app.on_conversation()).json()["items"]
    assert (turn["status"], turn["usage"]["total_tokens"]) == ("failed", 0)


async def test_a_bot_that_keeps_nothing_fails_a_turn_and_goes_on(app: App) -> None:
    in_memory = {"backend": "memory"}
    saved = await app.save_bot(system_prompt="x", conversation_storage=in_memory, response_format=FORMAT)
    assert saved.status == 200
    app.model.texts = [BAD, BAD, GOOD]
    assert (await app.chat("where?")).status == 422
    assert (await app.chat("where?")).json()["response"] == GOOD
