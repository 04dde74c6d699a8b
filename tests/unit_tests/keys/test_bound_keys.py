"""A key that is bound to a user is that user's: what is others', or nobody's, is absent for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import WholeApp, whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fakes import Answer

ANN, BOB = "ann+test@example.com", "bob@example.com"
BOT = {"system_prompt": "You help.", "llm": {"model": "gpt-4o"}}


@dataclass
class World:
    """Tenant acme with its administrator's key, a server's key, and a key of each of two users."""

    app: WholeApp
    boss: dict[str, str]
    server: dict[str, str]
    ann: dict[str, str]
    bob: dict[str, str]

    async def make_key(self, **body: object) -> Answer:
        sent = {"name": "a key"} | body
        return await self.app.client.call("create_key", Call.of(sent, headers=self.boss, tenant_id="acme"))

    async def chat(self, headers: dict[str, str], **body: object) -> Answer:
        sent = {"message": "hello"} | body
        return await self.app.client.call("chat", Call.of(sent, headers=headers, bot_id="helper"))

    async def get(self, route: str, headers: dict[str, str], **path: str) -> Answer:
        return await self.app.client.call(route, Call(path, headers=headers))

    async def post_job(self, headers: dict[str, str], **body: object) -> Answer:
        return await self.app.client.call("accept_job", Call.of({"text": "think"} | body, headers=headers))


async def bearer(world: World, **body: object) -> dict[str, str]:
    made = await world.make_key(**body)
    assert made.status == 201, made.body
    return {"authorization": f"Bearer {made.json()['key']}"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with whole_app() as app:
        await app.new_tenant("acme")
        boss = await app.new_key("acme", Role.TENANT_ADMIN)
        world = World(app, boss, {}, {}, {})
        world.server = await bearer(world)
        world.ann = await bearer(world, user_id=ANN)
        world.bob = await bearer(world, user_id=BOB)
        await app.must("save_bot", Call.of(BOT, headers=boss, bot_id="helper"))
        yield world


async def test_a_bound_key_chats_as_its_user_and_as_nobody_else(world: World) -> None:
    own = await world.chat(world.ann)
    named = await world.chat(world.ann, user_id=ANN)
    others = await world.chat(world.ann, user_id=BOB)

    assert (own.status, named.status) == (200, 200)
    assert (others.status, others.json()["error"]) == (403, "PermissionDeniedError")
    for answer in (own, named):
        path = {"bot_id": "helper", "conversation_id": answer.json()["conversation_id"]}
        assert (await world.get("get_conversation", world.server, **path)).json()["user_id"] == ANN


async def test_a_bound_key_sees_its_users_conversations_alone(world: World) -> None:
    mine = (await world.chat(world.ann)).json()["conversation_id"]
    for_ann = (await world.chat(world.server, user_id=ANN)).json()["conversation_id"]
    bobs = (await world.chat(world.bob)).json()["conversation_id"]
    nobodys = (await world.chat(world.server)).json()["conversation_id"]

    listed = (await world.get("list_conversations", world.ann, bot_id="helper")).json()["items"]
    assert {item["conversation_id"] for item in listed} == {mine, for_ann}
    for foreign in (bobs, nobodys):
        path = {"bot_id": "helper", "conversation_id": foreign}
        assert (await world.get("get_conversation", world.ann, **path)).status == 404
        assert (await world.get("delete_conversation", world.ann, **path)).status == 404
        assert (await world.get("get_conversation", world.server, **path)).status == 200


async def test_a_job_of_nobody_is_absent_for_a_user_and_its_id_is_refused(world: World) -> None:
    mine = await world.post_job(world.ann, id="mine")
    nobodys = await world.post_job(world.server, id="nobodys")
    bobs = await world.post_job(world.bob, id="bobs")
    assert [answer.status for answer in (mine, nobodys, bobs)] == [202] * 3

    assert (await world.get("get_job", world.ann, job_id="mine")).status == 200
    for foreign in ("nobodys", "bobs"):
        assert (await world.get("get_job", world.ann, job_id=foreign)).status == 404
        assert (await world.post_job(world.ann, id=foreign)).status == 409
        assert (await world.get("get_job", world.server, job_id=foreign)).status == 200
    listed = (await world.get("list_jobs", world.ann)).json()["items"]
    assert [item["job_id"] for item in listed] == ["mine"]


async def test_an_administrators_bound_key_sees_all_of_the_tenant(world: World) -> None:
    await world.chat(world.bob)
    manager = await bearer(world, role="tenant_admin", user_id=ANN)

    listed = (await world.get("list_conversations", manager, bot_id="helper")).json()["items"]

    assert [item["user_id"] for item in listed] == [BOB]


async def test_the_binding_is_shown_in_lists_and_outlives_rotation(world: World) -> None:
    made = (await world.make_key(user_id=ANN)).json()
    rotation = Call.of({}, headers=world.boss, tenant_id="acme", key_id=made["key_id"])
    successor = (await world.app.must("rotate_key", rotation)).json()

    assert (made["user_id"], successor["user_id"]) == (ANN, ANN)
    listed = (await world.get("list_keys", world.boss, tenant_id="acme")).json()["items"]
    shown = {item["key_id"]: item["user_id"] for item in listed}
    assert (shown[made["key_id"]], shown[successor["key_id"]]) == (ANN, ANN)
    assert None in shown.values()
    as_ann = {"authorization": f"Bearer {successor['key']}"}
    assert (await world.get("get_me", as_ann)).json()["user_id"] == ANN


async def test_the_trail_names_the_key_that_acted_and_not_its_user(world: World) -> None:
    made = (await world.make_key(role="tenant_admin", user_id=ANN)).json()
    manager = {"authorization": f"Bearer {made['key']}"}
    sent: dict[str, Any] = {"name": "another"}
    another = await world.app.must("create_key", Call.of(sent, headers=manager, tenant_id="acme"))

    trail = (await world.get("list_audit", world.boss)).json()["items"]
    (entry,) = [entry for entry in trail if entry["subject"] == another.json()["key_id"]]

    assert entry["actor"] == {"kind": "key", "id": made["key_id"]}


@pytest.mark.parametrize("user_id", ["", "a/b", "a#b", "x" * 129, "a b", "a\nb", 7])
async def test_a_user_that_no_credential_can_have_is_refused(world: World, user_id: object) -> None:
    refused = await world.make_key(user_id=user_id)

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["body.user_id"])
