"""A tenant's name, tier and status change over time, and are in force within half a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions.tenants.service import RESERVED_IDS
from shared.cosmos.container import Query
from shared.tenancy.context import Role
from tests.support.fakes import Answer, Call
from tests.support.whole_app import WholeApp, app_of
from tests.unit_tests.messaging.deliveries import FakeDelivery
from tests.unit_tests.tenants.owners import everything

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme") as opened:
        yield opened


async def change(app: WholeApp, tenant_id: str = "acme", if_match: str = "", **fields: Any) -> Answer:  # noqa: ANN401  # JSON
    headers = app.admin | ({"if-match": if_match} if if_match else {})
    return await app.client.call("update_tenant", Call.of(fields, headers=headers, tenant_id=tenant_id))


async def shown(app: WholeApp, tenant_id: str = "acme") -> dict[str, Any]:
    answer = await app.must("get_tenant", Call({"tenant_id": tenant_id}, headers=app.admin))
    found: dict[str, Any] = answer.json()
    return found


async def test_what_is_left_out_stays_as_it_is(app: WholeApp) -> None:
    renamed = await change(app, name="Acme Ltd")
    upgraded = await change(app, tier="standard")

    assert (renamed.status, renamed.json()["name"], renamed.json()["tier"]) == (200, "Acme Ltd", "premium")
    assert (upgraded.json()["name"], upgraded.json()["tier"], upgraded.json()["status"]) == (
        "Acme Ltd",
        "standard",
        "active",
    )
    assert upgraded.headers["etag"] == (await shown(app))["etag"]
    directory = await app.cosmos.container("tenants").read(("global:tenants",), "acme")
    assert directory is not None
    assert directory["name"] == "Acme Ltd"


async def test_a_suspended_tenant_is_locked_out_and_comes_back(app: WholeApp) -> None:
    key = await app.new_key("acme", Role.USER)
    statuses = [(await app.client.call("list_bots", Call(headers=key))).status]
    for status in ("suspended", "active"):
        assert (await change(app, status=status)).json()["status"] == status
        statuses.append((await app.client.call("list_bots", Call(headers=key))).status)

    assert statuses == [200, 401, 200]


async def test_another_instance_locks_a_suspended_tenant_out_within_30_seconds(app: WholeApp) -> None:
    key = await app.new_key("acme", Role.USER)
    await app.must("list_bots", Call(headers=key))
    stored = await app.cosmos.container("tenants").read(("acme",), "tenant")
    assert stored is not None
    await app.cosmos.container("tenants").replace(("acme",), stored | {"status": "suspended"}, None)

    app.clock.advance(30)

    assert (await app.client.call("list_bots", Call(headers=key))).status == 401


async def test_a_change_of_a_state_that_was_not_seen_is_refused(app: WholeApp) -> None:
    etag = (await shown(app))["etag"]
    first = await change(app, if_match=etag, name="One")
    second = await change(app, if_match=etag, name="Two")

    assert (first.status, second.status) == (200, 412)
    assert (await shown(app))["name"] == "One"


async def test_a_change_whose_answer_was_lost_is_said_to_be_done(app: WholeApp) -> None:
    etag = (await shown(app))["etag"]

    def lose_the_patchs_answer(request: Any) -> None:  # noqa: ANN401  # azure-core's
        if request.method == "PATCH" and app.cosmos.transport.lose_answers == 0 and not lost:
            lost.append(True)
            app.cosmos.transport.lose_answers = 1

    lost: list[bool] = []
    app.cosmos.transport.watch = lose_the_patchs_answer
    answer = await change(app, if_match=etag, name="One")

    assert lost
    assert (answer.status, answer.json()["name"]) == (200, "One")


@pytest.mark.parametrize(
    "fields", [{}, {"status": "purged"}, {"status": "purging"}, {"tier": "gold"}, {"name": ""}, {"id": "x"}]
)
async def test_what_makes_no_sense_is_refused(app: WholeApp, fields: dict[str, Any]) -> None:
    before = await shown(app)

    assert (await change(app, **fields)).status == 422
    assert await shown(app) == before


@pytest.mark.parametrize("tenant_id", ["nobody", "ACME", "global:tenants"])
async def test_an_absent_tenant_is_a_404(app: WholeApp, tenant_id: str) -> None:
    assert (await change(app, tenant_id, name="x")).status == 404


@pytest.mark.parametrize("tenant_id", [*sorted(RESERVED_IDS)[:3], "Platform", "ADMIN"])
async def test_a_reserved_id_is_refused_by_the_fields_name(app: WholeApp, tenant_id: str) -> None:
    body = {"tenant_id": tenant_id, "name": "x"}
    answer = await app.client.call("create_tenant", Call.of(body, headers=app.admin))

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["body.tenant_id"])


async def test_each_change_is_in_the_platforms_trail_without_the_name(app: WholeApp) -> None:
    await change(app, name="A name that tells of a customer", status="suspended")

    entries = (await app.must("list_platform_audit", Call(headers=app.admin))).json()["items"]
    told = sorted((entry["action"], entry["subject"], str(entry["detail"])) for entry in entries)
    assert told == [
        ("tenant.create", "acme", "{'tier': 'premium'}"),
        ("tenant.update", "acme", "{'status': 'suspended'}"),
    ]


async def test_a_message_for_a_tenant_that_is_being_purged_is_dropped(app: WholeApp) -> None:
    await app.must("purge_tenant", Call({"tenant_id": "acme"}, headers=app.admin))
    before = await everything(app, "acme")
    message = FakeDelivery(b'{"tenant_id": "acme", "id": "j1", "text": "Why?"}')

    await app.load_tokenizer()
    await app.functions["run_job"](message)
    await app.functions["give_up_job"](message)

    assert await everything(app, "acme") == before
    query = Query("SELECT c.id FROM c")
    assert await app.cosmos.container("quarantine").query(("global:quarantine",), query) == []
