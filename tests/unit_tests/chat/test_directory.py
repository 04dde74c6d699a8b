"""Bots are the tenant's own or everybody's; chat remembers them for half a minute, and no other tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functions.chat.bots.directory import FRESHNESS, MAX_CACHED_CHARACTERS
from shared.tenancy.context import Role
from tests.support.fakes import Call, tenant_context

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.chat.app import App

GLOBAL = "scope=global"
SECONDS_IN_FORCE = FRESHNESS.ttl_seconds + FRESHNESS.stale_seconds


async def save_global(app: App, bot_id: str = "b", text: str = "everybody's") -> None:
    saved = await app.save_bot(bot_id, headers=app.admin, query=GLOBAL, system_prompt=text)
    assert (saved.status, saved.json()["source"]) == (200, "global")


async def test_a_tenants_own_bot_goes_before_the_global_one_and_the_answer_says_which(app: App) -> None:
    await save_global(app)
    await save_global(app, "g")

    own = (await app.on_bot()).json()
    strangers = (await app.on_bot(headers=app.stranger)).json()
    named = (await app.on_bot(query=GLOBAL)).json()
    absent = await app.on_bot(query="scope=tenant", headers=app.stranger)

    assert (own["source"], own["config"]["system_prompt"]) == ("tenant", "Be brief.")
    assert (strangers["source"], strangers["config"]["system_prompt"]) == ("global", "everybody's")
    assert named == strangers
    assert absent.status == 404


async def test_chat_answers_with_the_tenants_own_bot_and_else_with_the_global_one(app: App) -> None:
    await save_global(app)

    await app.chat()
    own = app.model.said[0]
    assert (await app.chat(headers=app.stranger)).status == 200
    everybodys = app.model.said[0]
    listed = await app.on_bot("list_conversations", headers=app.stranger)

    assert (own, everybodys) == (("system", "Be brief."), ("system", "everybody's"))
    assert app.model.callers == [("acme", "bot:b"), ("globex", "bot:b")]
    assert len(listed.json()["items"]) == 1
    assert (await app.turns())[0][2] == "hi"


async def test_global_bots_are_listed_apart(app: App) -> None:
    await save_global(app, "g")

    async def ids(query: str, headers: dict[str, str]) -> list[tuple[str, str]]:
        answer = await app.client.call("list_bots", Call(query=query, headers=headers))
        return [(bot["bot_id"], bot["source"]) for bot in answer.json()["items"]]

    assert await ids("", app.user) == [("b", "tenant")]
    assert await ids(GLOBAL, app.user) == await ids(GLOBAL, app.admin) == [("g", "global")]


async def test_global_bots_are_the_administrators_to_change(app: App) -> None:
    await save_global(app, "g")
    acting = app.admin | {"x-tenant-id": "acme"}
    path = {"bot_id": "g"}

    for headers in (app.editor, app.stranger):
        assert (await app.save_bot("g", headers=headers, query=GLOBAL)).status == 403
        refused = await app.client.call("delete_bot", Call(path, GLOBAL, headers))
        assert refused.status == 403
    assert (await app.save_bot("g", headers=acting, query=GLOBAL)).status == 200
    assert (await app.client.call("delete_bot", Call(path, GLOBAL, app.admin))).status == 204
    assert (await app.client.call("get_bot", Call(path, "", app.user))).status == 404


async def test_the_administrator_who_names_no_tenant_has_the_global_bots_alone(app: App) -> None:
    await save_global(app)

    assert (await app.on_bot(headers=app.admin)).json()["source"] == "global"
    for answer in (
        await app.save_bot(headers=app.admin),
        await app.on_bot(query="scope=tenant", headers=app.admin),
        await app.client.call("list_bots", Call(headers=app.admin)),
        await app.on_bot("delete_bot", headers=app.admin),
    ):
        assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["header.x-tenant-id"])


async def test_a_warm_turn_asks_the_store_for_no_bot(app: App, cosmos: MemoryCosmos) -> None:
    await save_global(app, "b")
    for headers in (app.user, app.stranger):
        await app.chat(headers=headers)
    before = cosmos.transport.requests
    await app.chat(conversation_id="cold")
    warm = cosmos.transport.requests - before

    await app.on_bot("reload_bot", headers=app.editor)
    await app.save_bot()
    before = cosmos.transport.requests
    await app.chat(conversation_id="c2")

    assert cosmos.transport.requests - before == warm + 1


@pytest.mark.parametrize("scope", ["", GLOBAL])
async def test_a_change_made_here_is_in_force_here_at_once(app: App, scope: str) -> None:
    editor = app.admin if scope else app.stranger
    for text in ("first", "second"):
        await app.save_bot(headers=editor, query=scope, system_prompt=text)
        await app.chat(headers=app.stranger)
        assert app.model.said[0] == ("system", text)

    removed = await app.client.call("delete_bot", Call({"bot_id": "b"}, scope, editor))
    assert (removed.status, (await app.chat(headers=app.stranger)).status) == (204, 404)


async def test_a_change_made_elsewhere_is_in_force_within_half_a_minute_or_after_a_reload(
    app: App, clock: FakeClock
) -> None:
    await app.chat()
    elsewhere = app.composition.directory.own(tenant_context("acme", Role.TENANT_ADMIN))
    changed = (await elsewhere.read("b")).config
    for text, reload in (("second", True), ("third", False)):
        await elsewhere.save("b", changed.model_copy(update={"system_prompt": text}), None)
        await app.chat()
        assert app.model.said[0] != ("system", text)
        if reload:
            shown = await app.on_bot("reload_bot", headers=app.editor)
            assert shown.json()["config"]["system_prompt"] == text
        else:
            clock.advance(SECONDS_IN_FORCE)
        await app.chat()
        assert app.model.said[0] == ("system", text)


async def test_a_reload_that_cannot_read_the_bot_leaves_the_one_before_in_force(app: App) -> None:
    await app.chat()
    app.trouble.at(1, requests=5)
    failed = await app.on_bot("reload_bot", headers=app.editor)

    assert failed.status in {503, 504}
    assert (await app.chat()).status == 200


async def test_a_reload_of_a_bot_that_is_gone_ends_it_here(app: App) -> None:
    await app.chat()
    await app.composition.directory.own(tenant_context("acme", Role.TENANT_ADMIN)).delete("b", None)

    assert (await app.on_bot("reload_bot", headers=app.editor)).status == 404
    assert (await app.chat()).status == 404


async def test_a_bot_with_long_instructions_takes_no_room_in_the_cache(app: App) -> None:
    await app.save_bot(system_prompt="x" * (MAX_CACHED_CHARACTERS + 1))
    await app.on_bot("reload_bot", headers=app.editor)
    await app.chat()
    elsewhere = app.composition.directory.own(tenant_context("acme", Role.TENANT_ADMIN))
    await elsewhere.delete("b", None)

    assert (await app.chat()).status == 404
