"""With a user's token, conversations are the user's own; a tenant's key speaks for any user."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from functions.chat.bots.repository import BotRepository
from functions.chat.conversations.models import ChatRequest
from functions.chat.conversations.repository import ConversationRepository
from functions.chat.conversations.service import ChatService
from shared.tenancy.context import Role
from tests.support.fakes import user_context
from tests.unit_tests.chat.app import WordCounter

if TYPE_CHECKING:
    from tests.unit_tests.chat.app import App


@pytest.fixture
async def alice(app: App) -> dict[str, str]:
    await app.save_bot()
    return app.authenticator.add("alice", user_context("alice"))


@pytest.fixture
def bob(app: App) -> dict[str, str]:
    return app.authenticator.add("bob", user_context("bob"))


@pytest.fixture
def manager(app: App) -> dict[str, str]:
    return app.authenticator.add("manager", user_context("carol", role=Role.TENANT_ADMIN))


async def listed(app: App, headers: dict[str, str], query: str = "") -> list[str]:
    answer = await app.on_bot("list_conversations", query, headers=headers)
    assert answer.status == 200
    return [item["conversation_id"] for item in answer.json()["items"]]


async def cursor(app: App, headers: dict[str, str], query: str) -> str:
    """Return the cursor of the second page."""
    answer = await app.on_bot("list_conversations", query, headers=headers)
    return str(answer.json()["next_cursor"])


async def test_a_users_conversation_is_kept_and_metered_under_the_tokens_subject(
    app: App, alice: dict[str, str]
) -> None:
    answer = await app.chat(headers=alice)

    assert answer.status == 200
    assert (await app.on_conversation(headers=alice)).json()["user_id"] == "alice"
    assert app.model.prompts[-1].user == "alice"


async def test_a_key_that_is_bound_to_a_user_is_that_users_and_no_other_ones(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    bound = app.authenticator.add("bound", replace(user_context("alice"), principal="key-1"))
    await app.chat("his", headers=bob, conversation_id="his")
    await app.chat("hers", headers=alice, conversation_id="hers")
    await app.chat("by her key", headers=bound, conversation_id="hers")

    assert await listed(app, bound) == ["hers"]
    for route in ("get_conversation", "delete_conversation"):
        foreign = await app.on_conversation(route, headers=bound, conversation_id="his")
        assert foreign.status == 404
    assert (await app.chat(headers=bound, user_id="bob")).status == 403
    assert (await app.on_conversation(headers=bob, conversation_id="his")).json()["turns"] == 1
    assert (await app.on_conversation(headers=alice, conversation_id="hers")).json()["turns"] == 2


async def test_a_user_speaks_for_nobody_else(app: App, alice: dict[str, str]) -> None:
    for_bob = await app.chat(headers=alice, user_id="bob")
    for_herself = await app.chat(headers=alice, user_id="alice")

    assert (for_bob.status, for_bob.json()["error"]) == (403, "PermissionDeniedError")
    assert for_herself.status == 200
    assert len(app.model.prompts) == 1


@pytest.mark.parametrize("route", ["get_conversation", "delete_conversation"])
async def test_another_users_conversation_looks_like_an_absent_one(
    app: App, alice: dict[str, str], bob: dict[str, str], route: str
) -> None:
    await app.chat("my secret", headers=alice)

    foreign = await app.on_conversation(route, headers=bob)

    absent = await app.on_conversation(route, headers=app.stranger)
    assert (foreign.status, absent.status) == (404, 404)
    assert foreign.json()["message"] == absent.json()["message"]
    assert foreign.json()["detail"] == absent.json()["detail"]
    shown = (await app.on_conversation(headers=alice)).json()
    assert [turn["message"] for turn in shown["items"]] == ["my secret"]


async def test_another_users_conversation_is_not_continued(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    await app.chat("my secret", headers=alice)

    await app.chat("what did she say?", headers=bob)
    await app.chat("and now?", headers=bob)

    assert "my secret" not in str(app.model.prompts[1:])
    hers, his = [(await app.on_conversation(headers=whose)).json() for whose in (alice, bob)]
    assert [turn["message"] for turn in hers["items"]] == ["my secret"]
    assert [turn["message"] for turn in his["items"]] == ["what did she say?", "and now?"]
    assert (his["user_id"], his["conversation_id"]) == ("bob", hers["conversation_id"])


@pytest.mark.parametrize("whose", ["alice", "key", "key for alice"])
async def test_what_is_somebody_elses_answers_a_user_as_what_is_nobodys(
    app: App, alice: dict[str, str], bob: dict[str, str], whose: str
) -> None:
    who, named = {
        "alice": (alice, {}),
        "key": (app.user, {}),
        "key for alice": (app.user, {"user_id": "alice"}),
    }[whose]
    await app.chat("my secret", headers=who, conversation_id="hers", **named)
    as_bob = bob | {"x-request-id": "r"}

    async def seen(conversation_id: str) -> list[tuple[int, str]]:
        """Tell all that Bob gets by a conversation's name."""
        answers = [
            await app.on_conversation(headers=as_bob, conversation_id=conversation_id),
            await app.chat("hello", headers=as_bob, conversation_id=conversation_id),
            await app.chat("again", headers=as_bob, conversation_id=conversation_id),
            await app.on_conversation(headers=as_bob, conversation_id=conversation_id),
            await app.on_bot("list_conversations", headers=as_bob),
            await app.on_conversation("delete_conversation", headers=as_bob, conversation_id=conversation_id),
            await app.on_conversation(headers=as_bob, conversation_id=conversation_id),
        ]
        # The model counts what it is asked.
        passing = rf'{conversation_id}|answer [0-9]+|"etag":"[^,]+"'
        said = [re.sub(passing, "*", one.body.decode()) for one in answers]
        return [(one.status, text) for one, text in zip(answers, said, strict=True)]

    assert await seen("hers") == await seen("absent")
    shown = (await app.on_conversation(headers=who, conversation_id="hers")).json()
    assert [turn["message"] for turn in shown["items"]] == ["my secret"]


async def test_users_who_begin_under_one_name_at_once_each_get_their_own(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    app.cosmos.transport.lets_others_run = True

    answers = await asyncio.gather(app.chat("hers", headers=alice), app.chat("his", headers=bob))

    assert [(answer.status, answer.json()["turn"]) for answer in answers] == [(200, 1), (200, 1)]
    for whose, message in ((alice, "hers"), (bob, "his")):
        shown = (await app.on_conversation(headers=whose)).json()
        assert [turn["message"] for turn in shown["items"]] == [message]


async def test_a_tenants_key_sees_each_of_one_name_where_it_is(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    await app.chat("hers", headers=alice)
    await app.chat("his", headers=bob)

    first, second = await listed(app, app.user)
    shown = (await app.on_conversation(headers=app.user, conversation_id=second)).json()

    assert first == "c"
    assert (shown["user_id"], shown["items"][0]["message"]) == ("bob", "his")
    assert await listed(app, bob) == await listed(app, alice) == ["c"]
    assert (await app.on_conversation(headers=bob, conversation_id=second)).status == 200
    assert (await app.on_conversation(headers=alice, conversation_id=second)).status == 404


async def test_nobody_takes_the_place_that_another_user_would_get(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    await app.chat("hers", headers=alice)
    await app.chat("his", headers=bob)
    [_, place] = await listed(app, app.user)
    assert (await app.on_conversation("delete_conversation", headers=bob)).status == 204

    await app.chat("squatting", headers=alice, conversation_id=place)
    await app.chat("his again", headers=bob)

    shown = (await app.on_conversation(headers=app.user, conversation_id=place)).json()
    assert [turn["message"] for turn in shown["items"]] == ["his again"]


async def test_a_list_holds_the_users_own_and_pages_over_others(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    for number in range(4):
        who = alice if number % 2 else bob
        await app.chat(headers=who, conversation_id=f"c{number}")
    await app.chat(headers=app.user, conversation_id="nobodys")
    await app.chat(headers=app.user, conversation_id="c4", user_id="alice")

    assert await listed(app, alice) == ["c1", "c3", "c4"]
    assert await listed(app, alice, f"limit=1&cursor={await cursor(app, alice, 'limit=1')}") == ["c3"]
    assert await listed(app, bob) == ["c0", "c2"]


async def test_a_repeat_of_a_users_turn_is_not_paid_again_wherever_its_conversation_is(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    await app.chat("hers", headers=alice)
    await app.chat("his", headers=bob)
    bobs = user_context("bob")

    def opened(bot_id: str, conversation_id: str) -> ConversationRepository:
        container = app.cosmos.container("conversations")
        return ConversationRepository(
            bobs, container, app.clock, bot_id=bot_id, conversation_id=conversation_id
        )

    service = ChatService(
        tenant=bobs,
        bots=BotRepository(bobs, app.cosmos.container("bots"), app.clock),
        prompts=app.prompts,
        open_conversation=opened,
        open_in_memory=opened,
        open_model=lambda bot_id: app.model.opened_for(bobs, bot_id),
        default_model="gpt-default",
        counter=WordCounter(),
        tokenizer_of=partial(app.models.tokenizer, bobs),
        count_turn=lambda _bot, _per_minute: None,
    )
    request = ChatRequest(message="again", conversation_id="c")

    first = await service.reply("b", request, "operation-1")
    second = await service.reply("b", request, "operation-1")

    assert first == second
    assert (first.turn, len(app.model.prompts)) == (2, 3)


async def test_a_tenants_key_lists_the_conversations_of_one_user(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    for number in range(4):
        await app.chat(headers=alice if number % 2 else bob, conversation_id=f"c{number}")
    await app.chat(headers=app.user, conversation_id="c4", user_id="alice")
    await app.chat(headers=app.user, conversation_id="c5")

    after = await cursor(app, app.user, "user_id=alice&limit=1")
    assert await listed(app, app.user, "user_id=alice") == ["c1", "c3", "c4"]
    assert await listed(app, app.user, f"user_id=alice&limit=2&cursor={after}") == ["c3", "c4"]
    assert await listed(app, app.user, "user_id=nobody") == []
    assert await listed(app, alice, "user_id=alice") == ["c1", "c3", "c4"]
    foreign = await app.on_bot("list_conversations", "user_id=bob", headers=alice)
    assert (foreign.status, foreign.json()["error"]) == (403, "PermissionDeniedError")


async def test_a_tenants_key_and_its_administrators_see_all_and_name_any_user(
    app: App, alice: dict[str, str], manager: dict[str, str]
) -> None:
    await app.chat(headers=alice, conversation_id="a")
    await app.chat(headers=app.user, conversation_id="b", user_id="bob")
    await app.chat(headers=manager, conversation_id="c")
    await app.chat(headers=manager, conversation_id="d", user_id="dora")

    assert await listed(app, app.user) == ["a", "b", "c", "d"]
    assert await listed(app, manager) == ["a", "b", "c", "d"]
    names = [prompt.user for prompt in app.model.prompts]
    assert names == ["alice", "bob", "carol", "dora"]


async def test_a_user_of_the_same_name_in_another_tenant_is_somebody_else(
    app: App, alice: dict[str, str]
) -> None:
    await app.chat(headers=alice)
    namesake = app.authenticator.add("namesake", user_context("alice", "globex"))

    assert (await app.on_conversation(headers=namesake)).status == 404


async def test_a_conversation_begun_anew_by_another_user_is_out_of_the_first_ones_reach(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    await app.chat("old", headers=alice)
    assert (await app.on_conversation("delete_conversation", headers=alice)).status == 204
    await app.chat("new", headers=bob)

    assert (await app.on_conversation("delete_conversation", headers=alice)).status == 404
    assert (await app.chat("newer", headers=alice)).json()["turn"] == 1
    assert (await app.on_conversation(headers=bob)).json()["turns"] == 1


async def test_a_conversation_stays_where_it_is_when_its_name_becomes_free(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    await app.chat("hers", headers=alice)
    await app.chat("his", headers=bob)
    assert (await app.on_conversation("delete_conversation", headers=alice)).status == 204

    assert (await app.chat("again", headers=bob)).json()["turn"] == 2
