"""Each turn tells what its answer took: time, tokens, cost; and who may change a conversation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from functions.chat.conversations.recent import MOST_BYTES
from functions.chat.conversations.reservation import NewTurn
from shared.cosmos.container import Patch, PatchOperation
from tests.support.fakes import Call, user_context
from tests.unit_tests.chat.app import USAGE

if TYPE_CHECKING:
    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.chat.app import App

ROUTES = {
    "get_conversation": None,
    "export_conversation": None,
    "rename_conversation": {"title": "mine"},
    "undo_turn": None,
    "rewind_conversation": {"turn": 0},
    "regenerate_answer": {},
    "fork_conversation": {},
    "rate_turn": {"rating": "up"},
    "delete_conversation": None,
}


async def call(app: App, route: str, headers: dict[str, str]) -> Answer:
    path = {"bot_id": "b", "conversation_id": "c"} | ({"turn": "1"} if route == "rate_turn" else {})
    return await app.client.call(route, Call.of(ROUTES[route] or {}, headers=headers, **path))


async def test_an_answer_tells_its_time_and_its_cost_now_and_later(app: App, clock: FakeClock) -> None:
    app.settings.values["usage.prices"] = {
        "currency": "EUR",
        "models": {"gpt-default": {"prompt": "2.5", "completion": "10"}},
    }

    async def think() -> None:
        clock.advance(1.25)

    app.model.before_answering = think
    told = (await app.chat()).json()
    later = (await app.on_conversation()).json()["items"][0]

    facts = {"latency_ms": 1250, "time_to_first_token_ms": None, "cost": "0.0000475", "currency": "EUR"}
    assert {name: told[name] for name in facts} == facts
    assert {name: later[name] for name in facts} == facts


async def test_a_model_without_a_price_has_no_cost(app: App) -> None:
    told = (await app.chat()).json()

    assert (told["cost"], told["currency"]) == (None, None)


@pytest.mark.parametrize("route", ROUTES)
async def test_another_users_conversation_is_absent_on_every_route(app: App, route: str) -> None:
    alice = app.authenticator.add("alice", user_context("alice"))
    bound = app.authenticator.add("bound", replace(user_context("bob"), principal="key-1"))
    await app.chat("my secret", headers=alice)
    foreign = await call(app, route, bound)

    assert (foreign.status, foreign.json()["error"]) == (404, "ConversationNotFoundError")
    assert b"secret" not in foreign.body
    shown = (await app.on_conversation(headers=alice)).json()
    assert [(turn["turn"], turn["rating"]) for turn in shown["items"]] == [(1, None)]
    assert (await call(app, route, alice)).status in {200, 201, 204}


@pytest.mark.parametrize("route", ROUTES)
async def test_another_tenants_conversation_is_absent_on_every_route(app: App, route: str) -> None:
    await app.chat("my secret")
    await app.save_bot(headers=app.stranger)
    foreign = await call(app, route, app.stranger)

    assert (foreign.status, foreign.json()["error"]) == (404, "ConversationNotFoundError")
    assert await app.turns() == [(1, "done", "my secret", "answer 1")]


async def test_a_made_up_conversation_begins_with_two_requests(app: App, cosmos: MemoryCosmos) -> None:
    before = cosmos.transport.requests
    await app.chat(conversation_id=None)

    assert cosmos.transport.requests - before == 2 + 1  # and the bot


async def test_texts_beyond_what_is_kept_at_hand_are_looked_up(app: App, cosmos: MemoryCosmos) -> None:
    long = "x" * (MOST_BYTES // 2)
    conversation = app.conversation()
    for _ in range(3):
        await conversation.complete(await conversation.reserve(NewTurn(long)), "r", USAGE)
    before = cosmos.transport.requests
    turn = await conversation.reserve(NewTurn("next"))
    await conversation.load_history(turn)
    await conversation.complete(turn, "r", USAGE)

    assert [one.number for one in turn.recent] == [1, 2, 3]
    assert cosmos.transport.requests - before == 3


async def test_a_conversation_without_what_is_at_hand_goes_on(app: App, cosmos: MemoryCosmos) -> None:
    await app.chat("one")
    await cosmos.container("conversations").delete(("acme", "b", "c"), "recent", None)
    await app.chat("two")

    assert [text for _, text in app.model.said] == ["Be brief.", "one", "answer 1", "two"]


async def test_a_head_of_an_older_release_reads_and_goes_on_as_before(app: App, cosmos: MemoryCosmos) -> None:
    await app.chat("one")
    container, key = cosmos.container("conversations"), ("acme", "b", "c")
    added = ("recent", "pending", "path", "segments", "open_from", "edits", "late", "recency", "title", "ttl")
    old = Patch(tuple(PatchOperation("remove", f"/{name}") for name in added))
    await container.patch(key, "head", old)
    await container.delete(key, "recent", None)

    assert await app.turns() == [(1, "done", "one", "answer 1")]
    listed = (await app.on_bot("list_conversations")).json()["items"]
    assert [one["conversation_id"] for one in listed] == ["c"]
    assert (await app.chat("two")).json()["turn"] == 2
    assert [text for _, text in app.model.said] == ["Be brief.", "one", "answer 1", "two"]
    assert (await call(app, "undo_turn", app.user)).status == 200
    assert [turn[0] for turn in await app.turns()] == [1]
