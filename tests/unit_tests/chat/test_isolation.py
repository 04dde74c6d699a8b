"""What is one tenant's is no other's: a foreign id answers as an absent one, and holds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit_tests.chat.app import App


@pytest.mark.parametrize("route", ["get_bot", "delete_bot", "list_conversations"])
async def test_another_tenants_bot_is_a_404_like_one_that_is_not_there(app: App, route: str) -> None:
    await app.chat("a secret of acme's")
    foreign = await app.on_bot(route, headers=app.stranger)
    await app.on_conversation("delete_conversation")
    await app.on_bot("delete_bot", headers=app.editor)
    absent = await app.on_bot(route, headers=app.stranger)

    assert (foreign.status, absent.status) == (404, 404)
    assert foreign.json()["message"] == absent.json()["message"]
    assert foreign.json()["detail"] == absent.json()["detail"] == {"bot_id": "b"}


async def test_nobody_chats_with_another_tenants_bot(app: App) -> None:
    refused = await app.chat(headers=app.stranger)

    assert (refused.status, refused.json()["error"]) == (404, "BotNotFoundError")
    assert app.model.prompts == []


async def test_another_tenants_bots_are_not_listed(app: App) -> None:
    listed = await app.on_bot("list_bots", headers=app.stranger)

    assert listed.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("route", ["get_conversation", "delete_conversation"])
@pytest.mark.parametrize("with_a_bot_of_that_name", [False, True])
async def test_another_tenants_conversation_is_a_404(
    app: App, route: str, *, with_a_bot_of_that_name: bool
) -> None:
    await app.chat("a secret of acme's")
    if with_a_bot_of_that_name:
        await app.save_bot(headers=app.stranger)
    refused = await app.on_conversation(route, headers=app.stranger)

    assert (refused.status, refused.json()["error"]) == (404, "ConversationNotFoundError")
    assert b"secret" not in refused.body
    assert len(await app.turns()) == 1


async def test_a_bot_saved_under_another_tenants_id_is_a_bot_of_ones_own(app: App) -> None:
    acmes = (await app.on_bot()).json()
    assert (await app.save_bot(headers=app.stranger | {"if-match": acmes["etag"]})).status == 412
    assert (await app.save_bot(headers=app.stranger, system_prompt="globex's")).status == 200

    assert (await app.on_bot()).json() == acmes
    listed = (await app.on_bot("list_conversations", headers=app.stranger)).json()
    assert listed["items"] == []


async def test_another_tenants_conversation_id_names_a_conversation_of_ones_own(app: App) -> None:
    await app.chat("a secret of acme's")
    await app.save_bot(headers=app.stranger, system_prompt="globex's")
    answer = await app.chat("mine", headers=app.stranger)

    assert answer.json()["turn"] == 1
    assert app.model.said == [("system", "globex's"), ("user", "mine")]
    assert app.model.callers[-1] == ("globex", "bot:b")
    shown = await app.on_conversation(headers=app.stranger)
    assert [turn["message"] for turn in shown.json()["items"]] == ["mine"]
    assert await app.turns() == [(1, "done", "a secret of acme's", "answer 1")]
    assert (await app.on_conversation("delete_conversation", headers=app.stranger)).status == 204
    assert len(await app.turns()) == 1


async def test_a_bot_does_not_see_the_prompts_of_another_tenant(app: App) -> None:
    await app.save_bot(headers=app.stranger, prompt={"name": "p"})
    await app.client.call("save_bot")  # without a key
    refused = await app.chat(headers=app.stranger)

    assert (refused.status, refused.json()["error"]) == (404, "PromptNotFoundError")


async def test_no_route_answers_without_a_key(app: App) -> None:
    for route in ("get_bot", "list_bots", "list_conversations", "delete_bot", "save_bot", "chat"):
        assert (await app.on_bot(route, headers={"x": "y"})).status == 401
    for route in ("get_conversation", "delete_conversation"):
        assert (await app.on_conversation(route, headers={"x": "y"})).status == 401
