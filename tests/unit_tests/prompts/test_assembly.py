"""The composition root gives prompts what the deployment and the tenants set."""

from __future__ import annotations

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app


async def test_the_prompts_that_the_deployment_names_are_read_together() -> None:
    async with whole_app(PROMPTS_PREFETCH="a, b,c") as app:
        await app.new_tenant("acme")
        boss = await app.new_key("acme", Role.TENANT_ADMIN)
        for name in ("a", "b", "c"):
            await app.must("save_prompt", Call.of({"template": name}, headers=boss, name=name))
        await app.must("get_prompt", Call({"name": "a"}, headers=boss))
        before = app.cosmos.transport.requests

        for name in ("b", "c"):
            await app.must("get_prompt", Call({"name": name}, headers=boss))

        assert app.cosmos.transport.requests == before


async def test_a_tenants_setting_keeps_the_global_prompts_out() -> None:
    async with whole_app() as app:
        await app.new_tenant("acme")
        boss = await app.new_key("acme", Role.TENANT_ADMIN)
        saving = Call.of({"template": "all's"}, headers=app.admin, name="p")
        saving = Call(saving.path, "scope=global", saving.headers, saving.body)
        assert (await app.client.call("save_prompt", saving)).status == 200
        shown = await app.must("get_prompt", Call({"name": "p"}, headers=boss))
        assert shown.json()["source"] == "global"

        key = "prompts.global_fallback"
        await app.must("put_setting", Call.of({"value": False}, headers=boss, key=key))
        app.clock.advance(61)

        assert (await app.client.call("get_prompt", Call({"name": "p"}, headers=boss))).status == 404
