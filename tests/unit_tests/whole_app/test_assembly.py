"""The app's capabilities work together on the composition root of production."""

from __future__ import annotations

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app


async def test_a_tenants_first_conversation_needs_a_tenant_a_key_and_a_bot() -> None:
    async with whole_app() as app:
        await app.new_tenant("acme")
        boss = await app.new_key("acme", Role.TENANT_ADMIN)
        await app.must("save_bot", Call.of({"system_prompt": "Be brief."}, headers=boss, bot_id="b"))

        said = await app.must("chat", Call.of({"message": "hello"}, headers=boss, bot_id="b"))

        assert said.json()["response"] == "You said: hello"
        ready = await app.must("health_ready", Call())
        assert {one["state"] for one in ready.json()["dependencies"]} == {"up"}
