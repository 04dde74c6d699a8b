"""The beginning of a name finds a caller's own things alone."""

from __future__ import annotations

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app


async def test_a_prefix_finds_nothing_of_another_tenant_and_no_tenant_finds_tenants() -> None:
    async with whole_app() as app:
        keys = {}
        for tenant_id in ("acme", "acme-rival"):
            await app.new_tenant(tenant_id)
            keys[tenant_id] = await app.new_key(tenant_id, Role.TENANT_ADMIN)
            bot = Call.of({"system_prompt": "mine"}, headers=keys[tenant_id], bot_id=f"bot-of-{tenant_id}")
            await app.must("save_bot", bot)

        found = (await app.must("list_bots", Call(query="prefix=bot-of-acme", headers=keys["acme"]))).json()
        tenants = await app.client.call("list_tenants", Call(query="prefix=acme", headers=keys["acme"]))
        everybodys = (await app.must("list_tenants", Call(query="prefix=ACME", headers=app.admin))).json()

    assert [bot["bot_id"] for bot in found["items"]] == ["bot-of-acme"]
    assert tenants.status == 403
    assert [one["tenant_id"] for one in everybodys["items"]] == ["acme", "acme-rival"]
