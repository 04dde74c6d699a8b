"""The audit trail over its routes, in the whole app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme") as opened:
        yield opened


def acting_for(app: WholeApp, tenant_id: str) -> dict[str, str]:
    return app.admin | {"x-tenant-id": tenant_id}


async def trail(app: WholeApp, headers: dict[str, str], query: str = "") -> Any:  # noqa: ANN401  # JSON of any shape
    return (await app.must("list_audit", Call(query=query, headers=headers))).json()


@pytest.mark.slow
async def test_each_time_the_administrator_acts_for_a_tenant_its_own_administrators_see_it(
    app: WholeApp,
) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)
    sent = acting_for(app, "acme") | {"x-request-id": "r-1"}
    for route, path in (("list_prompts", {}), ("get_prompt", {"name": "absent"})):
        app.clock.advance(1)
        await app.client.call(route, Call(path, headers=sent))

    acts = (await trail(app, boss, "action=admin.act"))["items"]

    # With the way that the key was made by.
    assert [act["subject"] for act in acts] == ["get_prompt", "list_prompts", "create_key"]
    assert acts[0]["actor"] == {"kind": "administrator", "id": ""}
    assert (acts[0]["request_id"], acts[0]["outcome"]) == ("r-1", "done")


async def test_the_administrator_reads_a_tenants_trail_and_that_is_in_it(app: WholeApp) -> None:
    first = (await trail(app, acting_for(app, "acme")))["items"]

    assert [entry["subject"] for entry in first] == ["list_audit"]


async def test_while_the_trail_is_down_the_administrator_acts_for_nobody(app: WholeApp) -> None:
    def lose_audits(request: Any) -> None:  # noqa: ANN401  # azure-core's request
        app.cosmos.transport.lose_requests = 1 if "/colls/audit/" in request.url else 0

    app.cosmos.transport.watch = lose_audits
    body = {"template": "never saved"}
    answer = await app.client.call(
        "save_prompt", Call.of(body, headers=acting_for(app, "acme"), name="greeting")
    )
    app.cosmos.transport.watch = lambda _: None

    assert (answer.status, answer.json()["error"]) == (503, "DependencyUnavailableError")
    absent = await app.client.call("get_prompt", Call({"name": "greeting"}, headers=acting_for(app, "acme")))
    assert absent.status == 404


async def test_the_trail_is_read_a_page_at_a_time_and_by_time(app: WholeApp) -> None:
    for _ in range(3):
        app.clock.advance(60)
        await app.must("list_prompts", Call(headers=acting_for(app, "acme")))
    app.clock.advance(60)
    boss = await app.new_key("acme", Role.TENANT_ADMIN)

    first = await trail(app, boss, "limit=2&action=admin.act")
    second = await trail(app, boss, f"limit=2&action=admin.act&cursor={first['next_cursor']}")
    early = await trail(app, boss, "from=2026-01-31T10:31:00Z&to=2026-01-31T10:32:00%2B00:00")

    assert [entry["subject"] for entry in first["items"]] == ["create_key", "list_prompts"]
    assert [entry["subject"] for entry in second["items"]] == ["list_prompts", "list_prompts"]
    assert second["next_cursor"] is None
    assert [entry["at"] for entry in early["items"]] == ["2026-01-31T10:31:00Z"]


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-01-31T10:31:00",  # of which clock?
        "from=0001-01-01T00:00:00%2B14:00",
        "to=9999-12-31T23:59:59-14:00",
        "cursor=abc",
        "action=%27%20OR%201=1",
        "limit=0",
    ],
)
async def test_nonsense_is_refused_by_name(app: WholeApp, query: str) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)

    answer = await app.client.call("list_audit", Call(query=query, headers=boss))

    assert answer.status == 422
    assert list(answer.json()["detail"]["fields"]) == ["query." + query.partition("=")[0]]


async def test_users_read_no_trail_and_tenants_see_their_own_only(app: WholeApp) -> None:
    await app.new_tenant("globex")
    user, stranger = await app.new_key("acme", Role.USER), await app.new_key("globex", Role.TENANT_ADMIN)

    forbidden = await app.client.call("list_audit", Call(headers=user))
    elsewhere = await trail(app, stranger | {"x-tenant-id": "acme"})
    platforms = await app.client.call("list_platform_audit", Call(headers=stranger))

    assert (forbidden.status, platforms.status) == (403, 403)
    assert "acme" not in str(elsewhere)
    mine = await app.must("list_platform_audit", Call(headers=app.admin))
    assert mine.status == 200
