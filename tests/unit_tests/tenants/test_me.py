"""Who the caller is, and what a tenant's administrator sees of its own tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import WholeApp, whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with whole_app() as opened:
        await opened.new_tenant("acme", tier="free")
        await opened.new_tenant("acme-eu")
        yield opened


async def test_a_key_is_told_its_tenant_role_tier_and_the_limits_in_force(app: WholeApp) -> None:
    made = await app.must("create_key", Call.of({"name": "a key"}, headers=app.admin, tenant_id="acme"))
    key = {"authorization": f"Bearer {made.json()['key']}"}

    told = (await app.must("get_me", Call(headers=key))).json()
    limits = told.pop("limits")

    assert told == {
        "role": "user",
        "tenant_id": "acme",
        "tier": "free",
        "key_id": made.json()["key_id"],
        "user_id": None,
    }
    assert limits["tokens_per_minute"] == 20_000
    override = {"tokens_per_minute": 5}
    await app.must("put_limits", Call.of(override, headers=app.admin, tenant_id="acme"))
    told = (await app.must("get_me", Call(headers=key))).json()
    assert (told["limits"]["tokens_per_minute"], told["limits"]["requests_per_minute"]) == (5, 60)


async def test_the_administrator_is_told_whom_it_acts_for(app: WholeApp) -> None:
    alone = (await app.must("get_me", Call(headers=app.admin))).json()
    acting = (await app.must("get_me", Call(headers=app.admin | {"x-tenant-id": "acme"}))).json()

    assert (alone["role"], alone["tenant_id"], alone["limits"]) == ("admin", None, None)
    assert (acting["role"], acting["tenant_id"], acting["key_id"]) == ("admin", "acme", None)


async def test_a_tenants_administrator_reads_its_own_tenant_and_no_other(app: WholeApp) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)
    user = await app.new_key("acme", Role.USER)

    own = await app.client.call("get_tenant", Call({"tenant_id": "acme"}, headers=boss))
    others = [
        await app.client.call("get_tenant", Call({"tenant_id": name}, headers=boss))
        for name in ("acme-eu", "nobody", "ACME")
    ]
    users = await app.client.call("get_tenant", Call({"tenant_id": "acme"}, headers=user))

    assert (own.status, own.json()["tier"], own.json()["status"]) == (200, "free", "active")
    assert [answer.status for answer in others] == [404] * 3
    assert users.status == 403


async def test_the_administrator_who_looks_at_a_tenant_does_not_act_for_it(app: WholeApp) -> None:
    await app.must("get_tenant", Call({"tenant_id": "acme"}, headers=app.admin))
    await app.must("purge_tenant", Call({"tenant_id": "acme-eu"}, headers=app.admin))

    shown = await app.must("get_tenant", Call({"tenant_id": "acme-eu"}, headers=app.admin))

    assert shown.json()["status"] == "purging"
    boss = await app.new_key("acme", Role.TENANT_ADMIN)
    trail = (await app.must("list_audit", Call(headers=boss))).json()["items"]
    assert [entry["subject"] for entry in trail if entry["action"] == "admin.act"] == ["create_key"]
