"""Budgets that are used up are told of: once for each crossing, whatever is killed at which request."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.tenancy.context import Role
from shared.tenancy.store import Tier
from shared.tokens.admission import RefusedLock
from shared.tokens.alerts import Crossing, Period, find_crossings
from shared.tokens.counters import TENANT_COUNTER, new_counter
from shared.tokens.limits import TIER_LIMITS, LimitsOverride, LimitStore
from tests.support.budget_alerts import ACME, Instance, KilledError, Spender
from tests.support.fakes import Call
from tests.support.whole_app import app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DAY = TIER_LIMITS[Tier.STANDARD].tokens_per_day or 0
MONTH = TIER_LIMITS[Tier.STANDARD].tokens_per_month or 0


@pytest.fixture
async def instance() -> AsyncIterator[Instance]:
    async with app_of("acme", tier="standard") as app:
        yield Instance(app)


async def test_each_crossing_is_told_once(instance: Instance) -> None:
    told = []
    for used in (0, DAY * 79 // 100, DAY * 80 // 100, DAY * 99 // 100, DAY, DAY * 2):
        await instance.spend(d20260131=used, m202601=used)
        await instance.sweep()
        await instance.sweep()
        told.append(len(instance.broker.sent))

    assert told == [0, 0, 1, 1, 2, 2]
    [warning, exhausted] = instance.broker.received().values()
    assert warning | {"id": "", "at": ""} == {
        "tenant_id": "acme",
        "id": "",
        "schema_version": 1,
        "period": "day",
        "starts": "2026-01-31",
        "percent": 80,
        "limit_tokens": DAY,
        "used_tokens": DAY * 80 // 100,
        "at": "",
    }
    assert (exhausted["percent"], exhausted["used_tokens"]) == (100, DAY)
    assert datetime.fromisoformat(warning["at"]) == instance.app.clock.now()
    assert {message.message_id for _, message in instance.broker.sent} == {warning["id"], exhausted["id"]}


async def test_a_day_a_month_and_the_next_day_are_budgets_of_their_own(instance: Instance) -> None:
    await instance.spend(d20260131=DAY, m202601=MONTH * 9 // 10)
    await instance.sweep()
    assert instance.told() == {
        ("day", "2026-01-31", 80),
        ("day", "2026-01-31", 100),
        ("month", "2026-01-01", 80),
    }

    instance.app.clock.advance(24 * 3600)
    await instance.spend(d20260131=DAY, d20260201=DAY, m202601=MONTH, m202602=DAY)
    await instance.sweep()
    assert instance.told() >= {("day", "2026-02-01", 80), ("month", "2026-01-01", 100)}
    assert len(instance.broker.sent) == len(instance.told()) == 6


async def test_periods_that_are_long_over_are_not_looked_at(instance: Instance) -> None:
    await instance.spend(d20260101=DAY, d20260128=DAY, m202511=MONTH, m202512=MONTH)
    await instance.sweep()
    assert instance.broker.sent == []

    await instance.spend(d20260129=DAY)
    await instance.sweep()
    assert instance.told() == {("day", "2026-01-29", 80), ("day", "2026-01-29", 100)}


async def test_another_limit_is_another_budget(instance: Instance) -> None:
    await instance.spend(d20260131=DAY * 8 // 10)
    await instance.sweep()
    store = LimitStore(instance.app.runtime.container("ledger"))

    await store.put(ACME, LimitsOverride(tokens_per_day=DAY * 2))
    await instance.sweep()
    assert len(instance.broker.sent) == 1
    await store.put(ACME, LimitsOverride(tokens_per_day=DAY // 2))
    await instance.sweep()
    await store.put(ACME, None)
    await instance.sweep()

    told = [(one["limit_tokens"], one["percent"]) for one in instance.broker.received().values()]
    assert told == [(DAY, 80), (DAY // 2, 100), (DAY // 2, 80)]
    assert len(instance.broker.sent) == 3


async def test_no_tenants_crossing_is_anothers(instance: Instance) -> None:
    await instance.app.new_tenant("globex", "standard")
    for tenant_id in ("acme", "globex"):
        await instance.spend(tenant_id, d20260131=DAY)

    await instance.sweep()

    told = sorted((one["tenant_id"], one["percent"]) for one in instance.broker.received().values())
    assert told == [("acme", 80), ("acme", 100), ("globex", 80), ("globex", 100)]


async def test_a_broker_that_is_down_is_told_later(instance: Instance) -> None:
    await instance.spend(d20260131=DAY)
    instance.broker.is_down = True
    await instance.sweep()
    instance.broker.is_down = False

    await instance.spend()  # even if what was counted is gone by then
    await instance.sweep()

    assert instance.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}


READ_SCOPE, READ_POOL, READ_80, CREATE_80, READ_100, CREATE_100, PENDING, SENT_80, SENT_100 = range(1, 10)
"""The requests for one tenant with two crossings, after those that find the tenant."""


@pytest.mark.parametrize("nth", range(READ_SCOPE, SENT_100 + 1))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_request_loses_no_alert_and_doubles_none(
    instance: Instance, nth: int, when: str
) -> None:
    await instance.spend(d20260131=DAY)
    transport, seen, killed = instance.app.cosmos.transport, 0, False

    def kill(request: Any) -> None:  # noqa: ANN401  # azure-core's
        nonlocal seen, killed
        if "/colls/ledger/" in request.url and not killed:
            seen += 1
            if seen == nth:
                killed = True
                raise KilledError

    setattr(transport, "watch" if when == "before" else "watch_done", kill)
    with pytest.raises(KilledError):
        await instance.sweep()
    instance.app.clock.advance(15)
    for _ in range(2):
        await instance.sweep()

    assert killed
    assert instance.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}
    # Only what was with the broker and not yet noted as that is sent once more, and dropped by its id.
    was_sent = when == "before" and nth in {SENT_80, SENT_100}
    assert len(instance.broker.sent) == 2 + was_sent


async def test_an_undisturbed_sweep_takes_no_other_requests(instance: Instance) -> None:
    seen: list[str] = []
    instance.app.cosmos.transport.watch = lambda request: seen.append(request.url)

    await instance.spend(d20260131=DAY)
    for expected in (SENT_100, 5, 5):
        seen.clear()
        await instance.sweep()
        assert len([url for url in seen if "/colls/ledger/" in url]) == expected
    await instance.spend(d20260131=1)
    seen.clear()
    await instance.sweep()
    assert len([url for url in seen if "/colls/ledger/" in url]) == 3


async def test_instance_that_sweep_at_once_tell_the_same(instance: Instance) -> None:
    await instance.spend(d20260131=DAY, m202601=MONTH)

    await asyncio.gather(*(instance.sweep() for _ in range(5)))

    assert len(instance.broker.received()) == 4


async def test_a_suspended_tenant_is_told_nothing_and_keeps_no_other_waiting(instance: Instance) -> None:
    await instance.app.new_tenant("globex", "standard")
    await instance.spend("acme", d20260131=DAY)
    await instance.spend("globex", d20260131=DAY)
    change = Call.of({"status": "suspended"}, headers=instance.app.admin, tenant_id="acme")
    await instance.app.must("update_tenant", change)

    await instance.sweep()

    assert {one["tenant_id"] for one in instance.broker.received().values()} == {"globex"}


def test_a_lock_that_finds_too_little_left_has_met_the_end_of_the_budget() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    scope = new_counter(TENANT_COUNTER).model_copy(
        update={
            "spent": {"d20260131": 990, "w202605": 5, "d": 5, "m20260131": 5},
            "override": {"tokens_per_day": 1_000},
        }
    )
    day = Period("day", datetime(2026, 1, 31, tzinfo=UTC).date())
    warning, exhausted = Crossing(day, 80, 1_000, 990), Crossing(day, 100, 1_000, 990)

    assert [*find_crossings(scope, "standard", noon)] == [warning]
    assert [*find_crossings(scope, "standard", noon, RefusedLock(10, noon))] == [warning]
    assert [*find_crossings(scope, "standard", noon, RefusedLock(11, noon))] == [warning, exhausted]
    assert [*find_crossings(scope, "standard", noon, RefusedLock(11, noon + 12 * 3600))] == [warning]
    early = scope.model_copy(update={"spent": {"d20260131": 700}})
    assert [*find_crossings(early, "standard", noon, RefusedLock(400, noon))] == []


@pytest.mark.parametrize(
    ("key", "midnight"),
    [
        ("d20260131", datetime(2026, 2, 1, tzinfo=UTC)),
        ("m202602", datetime(2026, 3, 1, tzinfo=UTC)),
        ("m202802", datetime(2028, 3, 1, tzinfo=UTC)),
        ("d20280229", datetime(2028, 3, 1, tzinfo=UTC)),
        ("m202612", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_period_that_is_over_is_held_to_the_limits_of_its_end(key: str, midnight: datetime) -> None:
    limits = {"tokens_per_day": MONTH * 3, "tokens_per_month": MONTH * 3, "expires_at": midnight.isoformat()}
    scope = new_counter(TENANT_COUNTER).model_copy(update={"spent": {key: MONTH * 2}, "override": limits})
    over = midnight.timestamp()

    assert [*find_crossings(scope, "standard", over - 1)] == []
    assert [*find_crossings(scope, "standard", over)] == []
    expired = scope.model_copy(
        update={"override": limits | {"expires_at": (midnight - timedelta(hours=1)).isoformat()}}
    )
    assert {crossing.percent for crossing in find_crossings(expired, "standard", over)} == {80, 100}


@pytest.fixture
async def spender(instance: Instance) -> Spender:
    store = LimitStore(instance.app.runtime.container("ledger"))
    await store.put(ACME, LimitsOverride(tokens_per_day=1_000, tokens_per_month=100_000))
    return Spender(instance, await instance.app.new_key("acme", Role.USER))


async def test_what_is_reported_over_the_routes_is_told(instance: Instance, spender: Spender) -> None:
    told = []
    for tokens in (790, 9, 1, 190, 10):
        await spender.use(tokens)
        await instance.sweep()
        told.append(len(instance.broker.sent))

    assert told == [0, 0, 1, 1, 2]
    assert instance.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}


async def test_a_budget_that_refuses_a_lock_is_at_its_end(instance: Instance, spender: Spender) -> None:
    await spender.use(950)
    await instance.sweep()
    assert instance.told() == {("day", "2026-01-31", 80)}

    for _ in range(3):
        assert (await spender.lock(60))["allowed"] is False
    await instance.sweep()

    assert instance.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}
    assert len(instance.broker.sent) == 2
    exhausted = [one for one in instance.broker.received().values() if one["percent"] == 100]
    assert [one["used_tokens"] for one in exhausted] == [950]


async def test_a_refusal_is_no_end_of_the_day_before(instance: Instance, spender: Spender) -> None:
    await spender.use(850)
    instance.app.clock.advance(24 * 3600)
    await spender.use(900)

    assert (await spender.lock(200))["allowed"] is False
    await instance.sweep()

    assert instance.told() == {
        ("day", "2026-01-31", 80),
        ("day", "2026-02-01", 80),
        ("day", "2026-02-01", 100),
    }


async def test_a_refusal_that_a_minute_cures_is_no_end(instance: Instance, spender: Spender) -> None:
    await spender.use(850)
    assert (await spender.lock(100))["allowed"] is True  # may come back unused

    assert (await spender.lock(100))["allowed"] is False
    await instance.sweep()

    assert instance.told() == {("day", "2026-01-31", 80)}


async def test_refusals_in_a_flood_are_not_each_looked_into(instance: Instance, spender: Spender) -> None:
    await spender.use(990)
    seen: list[str] = []
    await spender.lock(500)
    instance.app.cosmos.transport.watch = lambda request: seen.append(request.url)

    for _ in range(10):
        await spender.lock(500)

    looks = [url for url in seen if "/colls/ledger/" in url]
    assert len(looks) <= 2 * 10  # the ledger's own: a refusal looks, and so do its headers


@pytest.mark.parametrize("nth", range(1, 5))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_while_a_refusal_is_looked_into_leaves_it_to_the_next(
    instance: Instance, spender: Spender, nth: int, when: str
) -> None:
    await spender.use(990)
    transport, seen, killed = instance.app.cosmos.transport, 0, False

    def kill(request: Any) -> None:  # noqa: ANN401  # azure-core's
        nonlocal seen, killed
        if "/colls/ledger/" in request.url and not killed:
            seen += 1
            if seen == 1 + nth:  # the first is the ledger's own
                killed = True
                raise KilledError

    setattr(transport, "watch" if when == "before" else "watch_done", kill)
    body = {"app_id": "bot", "token_count": 500}
    lost = await instance.app.client.call("lock_tokens", Call.of(body, headers=spender.headers))
    assert lost.status == 500  # the edge's word for what the instance's caller would never have heard
    survivor = Spender(Instance(instance.app.another_instance()), spender.headers)
    assert (await survivor.lock(500))["allowed"] is False
    instance.app.clock.advance(15)
    await instance.sweep()

    assert killed
    assert instance.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}
    assert len(instance.broker.sent) == 2


async def test_a_store_that_fails_meanwhile_does_not_change_the_refusal(
    instance: Instance, spender: Spender
) -> None:
    await spender.use(990)
    transport, seen = instance.app.cosmos.transport, 0

    def fail(request: Any) -> None:  # noqa: ANN401  # azure-core's
        nonlocal seen
        if "/colls/ledger/" in request.url:
            seen += 1
            transport.lose_requests = int(2 <= seen <= 4)  # all three attempts of the look

    transport.watch = fail
    assert (await spender.lock(500))["allowed"] is False
    assert seen >= 4

    instance.app.clock.advance(6)
    assert (await spender.lock(500))["allowed"] is False
    await instance.sweep()
    assert ("day", "2026-01-31", 100) in instance.told()
