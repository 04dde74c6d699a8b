"""Budgets that are used up are told of: once for each crossing, whatever is killed at which request."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import azure.functions as func
import pytest

from functions.tokens.trigger import blueprint
from shared.cosmos.partition import Partition
from shared.errors import DependencyUnavailableError
from shared.tenancy.context import Role
from shared.tenancy.store import Tier
from shared.tokens.alerts import Crossing, Period, crossings
from shared.tokens.limits import TIER_LIMITS, LimitsOverride, LimitStore
from shared.tokens.scopes import TENANT_SCOPE, new_scope
from tests.fakes import Call, tenant_context
from tests.whole_app import WholeApp, whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.servicebus.sender import OutgoingMessage
    from shared.tenancy.context import TenantContext

DAY = TIER_LIMITS[Tier.STANDARD].tokens_per_day or 0
MONTH = TIER_LIMITS[Tier.STANDARD].tokens_per_month or 0
ACME = tenant_context("acme", tier="standard")


class KilledError(BaseException):
    """The instance's end, which nothing in the app may catch."""


class Broker:
    """Keeps what was sent; down when told, killing its caller when told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, OutgoingMessage]] = []
        self.is_down = False

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        await asyncio.sleep(0)
        if self.is_down:
            raise DependencyUnavailableError("Service Bus")
        assert json.loads(message.body)["tenant_id"] == tenant.tenant_id
        self.sent.append((queue, message))

    def received(self) -> dict[str, Any]:
        """Return what a receiver gets: the queue drops what has the id of one before."""
        assert {queue for queue, _ in self.sent} <= {"budget-alerts-out"}
        bodies: dict[str, bytes] = {}
        for _, message in self.sent:
            assert bodies.setdefault(message.message_id, message.body) == message.body
        return {message_id: json.loads(body) for message_id, body in bodies.items()}


class Instances:
    """The app's timer, fired by hand, and the ledger's books."""

    def __init__(self, app: WholeApp) -> None:
        self.app, self.broker = app, Broker()
        app.runtime.__dict__["sender"] = self.broker
        functions = func.FunctionApp()
        functions.register_functions(blueprint(app.runtime))
        [self.fire] = [
            function.get_user_function()
            for function in functions.get_functions()
            if function.get_function_name() == "send_budget_alerts"
        ]

    async def spend(self, tenant_id: str = "acme", **spent: int) -> None:
        """Put what was reported where the ledger puts it."""
        partition = Partition.of(tenant_context(tenant_id), self.app.runtime.container("ledger"))
        await partition.upsert(new_scope(TENANT_SCOPE).model_copy(update={"spent": spent}))

    async def sweep(self) -> None:
        await self.fire(None)

    def told(self) -> set[tuple[str, str, int]]:
        return {(one["period"], one["starts"], one["percent"]) for one in self.broker.received().values()}


@pytest.fixture
async def instances() -> AsyncIterator[Instances]:
    async with whole_app() as app:
        await app.new_tenant("acme", "standard")
        yield Instances(app)


async def test_each_crossing_is_told_once(instances: Instances) -> None:
    told = []
    for used in (0, DAY * 79 // 100, DAY * 80 // 100, DAY * 99 // 100, DAY, DAY * 2):
        await instances.spend(d20260131=used, m202601=used)
        await instances.sweep()
        await instances.sweep()
        told.append(len(instances.broker.sent))

    assert told == [0, 0, 1, 1, 2, 2]
    [warning, exhausted] = instances.broker.received().values()
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
    assert datetime.fromisoformat(warning["at"]) == instances.app.clock.now()
    assert {message.message_id for _, message in instances.broker.sent} == {warning["id"], exhausted["id"]}


async def test_a_day_a_month_and_the_next_day_are_budgets_of_their_own(instances: Instances) -> None:
    await instances.spend(d20260131=DAY, m202601=MONTH * 9 // 10)
    await instances.sweep()
    assert instances.told() == {
        ("day", "2026-01-31", 80),
        ("day", "2026-01-31", 100),
        ("month", "2026-01-01", 80),
    }

    instances.app.clock.advance(24 * 3600)
    await instances.spend(d20260131=DAY, d20260201=DAY, m202601=MONTH, m202602=DAY)
    await instances.sweep()
    assert instances.told() >= {("day", "2026-02-01", 80), ("month", "2026-01-01", 100)}
    assert len(instances.broker.sent) == len(instances.told()) == 6


async def test_periods_that_are_long_over_are_not_looked_at(instances: Instances) -> None:
    await instances.spend(d20260101=DAY, d20260128=DAY, m202511=MONTH, m202512=MONTH)
    await instances.sweep()
    assert instances.broker.sent == []

    await instances.spend(d20260129=DAY)
    await instances.sweep()
    assert instances.told() == {("day", "2026-01-29", 80), ("day", "2026-01-29", 100)}


async def test_another_limit_is_another_budget(instances: Instances) -> None:
    await instances.spend(d20260131=DAY * 8 // 10)
    await instances.sweep()
    store = LimitStore(instances.app.runtime.container("ledger"))

    await store.put(ACME, LimitsOverride(tokens_per_day=DAY * 2))
    await instances.sweep()
    assert len(instances.broker.sent) == 1
    await store.put(ACME, LimitsOverride(tokens_per_day=DAY // 2))
    await instances.sweep()
    await store.put(ACME, None)
    await instances.sweep()

    told = [(one["limit_tokens"], one["percent"]) for one in instances.broker.received().values()]
    assert told == [(DAY, 80), (DAY // 2, 100), (DAY // 2, 80)]
    assert len(instances.broker.sent) == 3


async def test_no_tenants_crossing_is_anothers(instances: Instances) -> None:
    await instances.app.new_tenant("globex", "standard")
    for tenant_id in ("acme", "globex"):
        await instances.spend(tenant_id, d20260131=DAY)

    await instances.sweep()

    told = sorted((one["tenant_id"], one["percent"]) for one in instances.broker.received().values())
    assert told == [("acme", 80), ("acme", 100), ("globex", 80), ("globex", 100)]


async def test_a_broker_that_is_down_is_told_later(instances: Instances) -> None:
    await instances.spend(d20260131=DAY)
    instances.broker.is_down = True
    await instances.sweep()
    instances.broker.is_down = False

    await instances.spend()  # even if what was counted is gone by then
    await instances.sweep()

    assert instances.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}


READ_SCOPE, READ_80, CREATE_80, READ_100, CREATE_100, PENDING, SENT_80, SENT_100 = range(1, 9)
"""The requests for one tenant with two crossings, after those that find the tenant."""


@pytest.mark.parametrize("nth", range(READ_SCOPE, SENT_100 + 1))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_request_loses_no_alert_and_doubles_none(
    instances: Instances, nth: int, when: str
) -> None:
    await instances.spend(d20260131=DAY)
    transport, seen, killed = instances.app.cosmos.transport, 0, False

    def kill(request: Any) -> None:  # noqa: ANN401  # azure-core's
        nonlocal seen, killed
        if "/colls/ledger/" in request.url and not killed:
            seen += 1
            if seen == nth:
                killed = True
                raise KilledError

    setattr(transport, "watch" if when == "before" else "watch_done", kill)
    with pytest.raises(KilledError):
        await instances.sweep()
    instances.app.clock.advance(15)
    for _ in range(2):
        await instances.sweep()

    assert killed
    assert instances.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}
    # Only what was with the broker and not yet noted as that is sent once more, and dropped by its id.
    was_sent = when == "before" and nth in {SENT_80, SENT_100}
    assert len(instances.broker.sent) == 2 + was_sent


async def test_an_undisturbed_sweep_takes_no_other_requests(instances: Instances) -> None:
    seen: list[str] = []
    instances.app.cosmos.transport.watch = lambda request: seen.append(request.url)

    await instances.spend(d20260131=DAY)
    for expected in (SENT_100, 4, 4):
        seen.clear()
        await instances.sweep()
        assert len([url for url in seen if "/colls/ledger/" in url]) == expected
    await instances.spend(d20260131=1)
    seen.clear()
    await instances.sweep()
    assert len([url for url in seen if "/colls/ledger/" in url]) == 2


async def test_instances_that_sweep_at_once_tell_the_same(instances: Instances) -> None:
    await instances.spend(d20260131=DAY, m202601=MONTH)

    await asyncio.gather(*(instances.sweep() for _ in range(5)))

    assert len(instances.broker.received()) == 4


async def test_a_suspended_tenant_is_told_nothing_and_keeps_no_other_waiting(instances: Instances) -> None:
    await instances.app.new_tenant("globex", "standard")
    await instances.spend("acme", d20260131=DAY)
    await instances.spend("globex", d20260131=DAY)
    change = Call.of({"status": "suspended"}, headers=instances.app.admin, tenant_id="acme")
    await instances.app.must("update_tenant", change)

    await instances.sweep()

    assert {one["tenant_id"] for one in instances.broker.received().values()} == {"globex"}


def test_a_lock_that_finds_too_little_left_has_met_the_end_of_the_budget() -> None:
    limits = TIER_LIMITS[Tier.STANDARD].model_copy(update={"tokens_per_day": 1_000})
    scope = new_scope(TENANT_SCOPE).model_copy(
        update={"spent": {"d20260131": 990, "w202605": 5, "d": 5, "m20260131": 5}}
    )
    day = Period("day", datetime(2026, 1, 31, tzinfo=UTC).date())

    assert [*crossings(scope, limits)] == [Crossing(day, 80, 1_000, 990)]
    assert [*crossings(scope, limits, asked=10)] == [Crossing(day, 80, 1_000, 990)]
    assert [*crossings(scope, limits, asked=11)] == [
        Crossing(day, 80, 1_000, 990),
        Crossing(day, 100, 1_000, 990),
    ]
    early = scope.model_copy(update={"spent": {"d20260131": 700}})
    assert [*crossings(early, limits, asked=400)] == []


class Spender:
    """One application of acme's, over the app's routes."""

    def __init__(self, instances: Instances, headers: dict[str, str]) -> None:
        self._app = instances.app
        self.headers = headers

    async def lock(self, tokens: int) -> Any:  # noqa: ANN401  # JSON
        body = {"app_id": "bot", "token_count": tokens}
        return (await self._app.must("lock_tokens", Call.of(body, headers=self.headers))).json()

    async def use(self, tokens: int) -> None:
        request_id = (await self.lock(tokens))["request_id"]
        body = {"app_id": "bot", "request_id": request_id, "prompt_tokens": tokens, "completion_tokens": 0}
        await self._app.must("report_tokens", Call.of(body, headers=self.headers))


@pytest.fixture
async def spender(instances: Instances) -> Spender:
    store = LimitStore(instances.app.runtime.container("ledger"))
    await store.put(ACME, LimitsOverride(tokens_per_day=1_000, tokens_per_month=100_000))
    return Spender(instances, await instances.app.new_key("acme", Role.USER))


async def test_what_is_reported_over_the_routes_is_told(instances: Instances, spender: Spender) -> None:
    told = []
    for tokens in (790, 9, 1, 190, 10):
        await spender.use(tokens)
        await instances.sweep()
        told.append(len(instances.broker.sent))

    assert told == [0, 0, 1, 1, 2]
    assert instances.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}


async def test_a_budget_that_refuses_a_lock_is_at_its_end(instances: Instances, spender: Spender) -> None:
    await spender.use(950)
    await instances.sweep()
    assert instances.told() == {("day", "2026-01-31", 80)}

    for _ in range(3):
        assert (await spender.lock(60))["allowed"] is False
    await instances.sweep()

    assert instances.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}
    assert len(instances.broker.sent) == 2
    exhausted = [one for one in instances.broker.received().values() if one["percent"] == 100]
    assert [one["used_tokens"] for one in exhausted] == [950]


async def test_a_refusal_that_a_minute_cures_is_no_end(instances: Instances, spender: Spender) -> None:
    await spender.use(850)
    assert (await spender.lock(100))["allowed"] is True  # may come back unused

    assert (await spender.lock(100))["allowed"] is False
    await instances.sweep()

    assert instances.told() == {("day", "2026-01-31", 80)}


async def test_refusals_in_a_flood_are_not_each_looked_into(instances: Instances, spender: Spender) -> None:
    await spender.use(990)
    seen: list[str] = []
    await spender.lock(500)
    instances.app.cosmos.transport.watch = lambda request: seen.append(request.url)

    for _ in range(10):
        await spender.lock(500)

    looks = [url for url in seen if "/colls/ledger/" in url]
    assert len(looks) <= 2 * 10  # the ledger's own: a refusal looks, and so do its headers


@pytest.mark.parametrize("nth", range(1, 5))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_while_a_refusal_is_looked_into_leaves_it_to_the_next(
    instances: Instances, spender: Spender, nth: int, when: str
) -> None:
    await spender.use(990)
    transport, seen, killed = instances.app.cosmos.transport, 0, False

    def kill(request: Any) -> None:  # noqa: ANN401  # azure-core's
        nonlocal seen, killed
        if "/colls/ledger/" in request.url and not killed:
            seen += 1
            if seen == 1 + nth:  # the first is the ledger's own
                killed = True
                raise KilledError

    setattr(transport, "watch" if when == "before" else "watch_done", kill)
    with pytest.raises(KilledError):
        await spender.lock(500)
    survivor = Spender(Instances(instances.app.another_instance()), spender.headers)
    assert (await survivor.lock(500))["allowed"] is False
    instances.app.clock.advance(15)
    await instances.sweep()

    assert killed
    assert instances.told() == {("day", "2026-01-31", 80), ("day", "2026-01-31", 100)}
    assert len(instances.broker.sent) == 2


async def test_a_store_that_fails_meanwhile_does_not_change_the_refusal(
    instances: Instances, spender: Spender
) -> None:
    await spender.use(990)
    transport, seen = instances.app.cosmos.transport, 0

    def fail(request: Any) -> None:  # noqa: ANN401  # azure-core's
        nonlocal seen
        if "/colls/ledger/" in request.url:
            seen += 1
            transport.lose_requests = int(2 <= seen <= 4)  # all three attempts of the look

    transport.watch = fail
    assert (await spender.lock(500))["allowed"] is False
    assert seen >= 4

    instances.app.clock.advance(6)
    assert (await spender.lock(500))["allowed"] is False
    await instances.sweep()
    assert ("day", "2026-01-31", 100) in instances.told()
