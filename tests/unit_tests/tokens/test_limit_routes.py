"""`/tenants/{tenant_id}/limits` over the edge of the whole app."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.tenancy.audit import AuditAction, AuditFilter
from shared.tenancy.context import Role, TenantContext
from shared.tenancy.store import Tier
from shared.tokens.limits import LARGEST, TIER_LIMITS
from tests.support.fakes import Answer, Call
from tests.support.whole_app import WholeApp, app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIER = TIER_LIMITS[Tier.STANDARD]


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme", tier="standard") as opened:
        yield opened


async def put(app: WholeApp, body: object, headers: dict[str, str] | None = None, **extra: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in extra.items()}
    call = Call.of(body, headers=(headers or app.admin) | named, tenant_id="acme")
    return await app.client.call("put_limits", call)


async def shown(app: WholeApp) -> Any:  # noqa: ANN401  # JSON
    return (await app.must("get_limits", Call({"tenant_id": "acme"}, headers=app.admin))).json()


async def audited(app: WholeApp) -> list[tuple[str, str, dict[str, str]]]:
    headers = await app.new_key("acme", Role.TENANT_ADMIN)
    who = await app.runtime.authenticator.authenticate(headers["authorization"])
    assert isinstance(who, TenantContext)
    entries = await app.runtime.audit.page(who, AuditFilter(action=AuditAction.LIMITS_PUT), 100)
    return [(entry.subject, entry.outcome, entry.detail) for entry in reversed(entries)]


async def test_without_an_override_the_tiers_limits_hold(app: WholeApp) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)

    answer = await app.must("get_limits", Call({"tenant_id": "acme"}, headers=boss))

    body = answer.json()
    assert body["limits"] == body["tier_limits"] == TIER.model_dump()
    assert (body["tier"], body["override"], body["expired"]) == ("standard", None, False)
    assert answer.headers["etag"] == body["etag"]


async def test_an_override_holds_until_it_expires(app: WholeApp) -> None:
    expires_at = (app.clock.now() + timedelta(days=1)).isoformat()
    override = {
        "tokens_per_minute": 5,
        "models": {"o3": {"tokens": 3, "requests": 1}},
        "expires_at": expires_at,
    }

    answer = await put(app, override)

    assert answer.status == 200
    limits = (await shown(app))["limits"]
    assert limits == TIER.model_dump() | {
        "tokens_per_minute": 5,
        "models": {"o3": {"tokens": 3, "requests": 1}},
    }
    app.clock.advance(24 * 3600)
    later = await shown(app)
    assert (later["limits"], later["expired"]) == (TIER.model_dump(), True)
    assert later["override"]["tokens_per_minute"] == 5


async def test_an_override_that_gives_nothing_takes_the_last_one_back(app: WholeApp) -> None:
    await put(app, {"requests_per_minute": 1})

    answer = await put(app, {})

    assert (answer.json()["override"], answer.json()["limits"]) == (None, TIER.model_dump())
    assert (await shown(app))["override"] is None


async def test_a_deletion_takes_the_override_back_once_and_is_the_administrators_alone(app: WholeApp) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)
    path = {"tenant_id": "acme"}
    given = (await put(app, {"tokens_per_minute": 5})).json()

    refused = await app.client.call("delete_limits", Call(path, headers=boss))
    stale = await app.client.call("delete_limits", Call(path, headers=app.admin | {"if-match": '"7"'}))
    assert (refused.status, stale.status) == (403, 412)
    assert (await shown(app))["limits"]["tokens_per_minute"] == 5

    removed = await app.must("delete_limits", Call(path, headers=app.admin | {"if-match": given["etag"]}))
    again = await app.must("delete_limits", Call(path, headers=app.admin))
    for answer in (removed, again):
        assert (answer.json()["override"], answer.json()["limits"]) == (None, TIER.model_dump())
    assert removed.headers["etag"] == removed.json()["etag"] != given["etag"]
    trail = (await app.must("list_audit", Call(headers=boss))).json()["items"]
    outcomes = [entry["outcome"] for entry in trail if entry["action"] == "limits.delete"]
    assert sorted(outcomes) == ["done", "done", "refused"]


async def test_a_change_replaces_the_one_before_whole(app: WholeApp) -> None:
    await put(app, {"requests_per_minute": 1})
    await put(app, {"concurrency": 2})

    limits = (await shown(app))["limits"]
    assert (limits["requests_per_minute"], limits["concurrency"]) == (TIER.requests_per_minute, 2)


async def test_only_the_administrator_changes_limits_and_only_the_tenants_own_reads_them(
    app: WholeApp,
) -> None:
    await app.new_tenant("globex")
    boss, user = await app.new_key("acme", Role.TENANT_ADMIN), await app.new_key("acme", Role.USER)
    stranger = await app.new_key("globex", Role.TENANT_ADMIN)
    path = {"tenant_id": "acme"}

    assert (await put(app, {"concurrency": 9}, boss)).status == 403
    assert (await put(app, {"concurrency": 9}, user)).status == 403
    assert (await put(app, {"concurrency": 9}, stranger)).status == 404
    assert (await app.client.call("get_limits", Call(path, headers=user))).status == 403
    assert (await app.client.call("get_limits", Call(path, headers=stranger))).status == 404
    absent = Call({"tenant_id": "nobody"}, headers=app.admin)
    assert (await app.client.call("get_limits", absent)).status == 404
    assert (await shown(app))["override"] is None
    assert await audited(app) == []


async def test_if_match_keeps_two_administrators_apart(app: WholeApp) -> None:
    seen = (await shown(app))["etag"]

    first = await put(app, {"concurrency": 1}, if_match=seen)
    second = await put(app, {"concurrency": 2}, if_match=seen)

    assert (first.status, second.status) == (200, 412)
    assert (await shown(app))["limits"]["concurrency"] == 1
    for junk in ('"x"', "7", '"1', "-1", '"' + "9" * 40 + '"'):
        assert (await put(app, {"concurrency": 3}, if_match=junk)).status == 412
    assert (await put(app, {"concurrency": 4}, if_match=first.headers["etag"])).status == 200
    assert (await put(app, {"concurrency": 5}, if_match="*")).status == 200


async def test_a_change_is_audited_with_its_outcome(app: WholeApp) -> None:
    await put(app, {"concurrency": 1, "models": {"o3": {"tokens": 3, "requests": 1}}})
    app.clock.advance(1)
    await put(app, {"concurrency": 2}, if_match='"7"')

    assert await audited(app) == [
        ("acme", "done", {"concurrency": "1"}),
        ("acme", "refused", {"concurrency": "2"}),
    ]


async def test_a_change_whose_answer_is_lost_is_made_once(app: WholeApp) -> None:
    before = (await shown(app))["etag"]
    lost: list[str] = []

    def lose_the_answer(request: Any) -> None:  # noqa: ANN401  # azure-core's
        if request.method in {"PATCH", "POST"} and "/colls/ledger/" in request.url and not lost:
            lost.append(request.url)
            app.cosmos.transport.lose_answers = 1

    app.cosmos.transport.watch_done = lose_the_answer
    answer = await put(app, {"concurrency": 1}, if_match=before)

    assert lost
    assert answer.status == 200
    assert (await shown(app))["limits"]["concurrency"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"tokens_per_minute": 0},
        {"tokens_per_minute": -1},
        {"tokens_per_minute": 1.5},
        {"tokens_per_minute": "5"},
        {"tokens_per_minute": True},
        {"tokens_per_day": LARGEST + 1},
        {"concurrency": 10**30},
        {"tier": "premium"},
        {"expires_at": "2026-02-01T00:00:00"},
        {"expires_at": "tomorrow"},
        {"expires_at": "2020-01-01T00:00:00Z", "concurrency": 1},
        {"expires_at": 1},
        {"models": {"": {"tokens": 1, "requests": 1}}},
        {"models": {"m": {"tokens": "1", "requests": 1}}},
        {"models": {"m": {"tokens": 1}}},
        {"models": {f"m{n}": {"tokens": 1, "requests": 1} for n in range(51)}},
        [],
    ],
)
async def test_what_is_no_limit_is_refused_by_name(app: WholeApp, body: object) -> None:
    answer = await put(app, body)

    assert answer.status == 422
    assert all(name.startswith("body") for name in answer.json()["detail"]["fields"])
    assert (await shown(app))["override"] is None


async def test_a_change_is_in_force_with_the_next_lock_on_every_instance(app: WholeApp) -> None:
    user = await app.new_key("acme", Role.USER)
    other = app.another_instance()

    async def lock(on: WholeApp, tokens: int) -> Answer:
        app.clock.advance(0.01)
        body = {"app_id": "bot", "token_count": tokens, "model": "o3"}
        return await on.client.call("lock_tokens", Call.of(body, headers=user))

    for instance in (app, other):
        assert (await lock(instance, 100)).json()["allowed"] is True
    await put(app, {"tokens_per_minute": 1_000})
    for instance in (other, app):
        assert (await lock(instance, 1_001)).status == 422
        assert (await lock(instance, 801)).json()["allowed"] is False
        assert (await lock(instance, 1)).headers["x-ratelimit-limit-tokens"] == "1000"
    await put(other, {"models": {"o3": {"tokens": 10_000, "requests": 5}}, "tokens_per_lock": 5_000})
    for instance in (app, other):
        assert (await lock(instance, 5_001)).status == 422
        assert (await lock(instance, 4_000)).json()["allowed"] is (instance is app)
    await put(app, {})
    assert (await lock(other, 50_000)).json()["allowed"] is True


async def test_an_expired_override_is_out_of_force_for_locks(app: WholeApp) -> None:
    user = await app.new_key("acme", Role.USER)
    body = {"app_id": "bot", "token_count": 100}
    await put(
        app,
        {"tokens_per_minute": 50, "expires_at": (app.clock.now() + timedelta(seconds=90)).isoformat()},
    )

    assert (await app.client.call("lock_tokens", Call.of(body, headers=user))).status == 422
    app.clock.advance(100)
    assert (await app.must("lock_tokens", Call.of(body, headers=user))).json()["allowed"] is True
