"""The ledger's own limits, each where it binds and by its number."""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import TYPE_CHECKING, cast

import pytest

from shared.caching.region import Cache
from shared.cosmos.container import BatchFailedError, BatchFailure, ItemChangedError
from shared.errors import ConflictError, DependencyUnavailableError, RateLimitError, ValidationError
from shared.tokens.api_models import LockRequest
from shared.tokens.counters import id_part
from shared.tokens.errors import LockNotFoundError
from shared.tokens.ledger import TokenLedger
from shared.tokens.limits import LimitsOverride, LimitStore, limits_in_force
from shared.tokens.lock_ids import LockIds
from shared.tokens.policy import FixedPolicy, SettingsPolicy
from shared.tokens.quota import AppShares
from shared.tokens.service import TokenService
from shared.tokens.settings import TOKENS_APP_SHARES
from shared.tokens.snapshot import ExchangeLatency
from shared.tokens.store_clock import StoreClock, StoreClocks
from tests.support.fakes import FakeClock, FakeTenantSettings
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import APP, MODEL, SECRET, TENANT, run_async
from tests.support.simulated_cosmos import ProcessClock, SimulatedContainer, SimulatedStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.cosmos.container import BatchOperation, Json, Key, Patch
    from shared.tenancy.context import TenantContext
    from shared.tenancy.settings import Setting
    from shared.tokens.stored_models import Lock


def contended(bench: Bench) -> list[int]:
    """Let somebody else always have been first, from now on; returns the tries."""
    tries: list[int] = []

    def refuse(operations: Sequence[BatchOperation]) -> Sequence[BatchOperation]:
        tries.append(len(operations))
        raise BatchFailedError(1, BatchFailure.CHANGED)

    bench.store.tamper = refuse
    return tries


def test_a_lock_that_others_are_always_before_is_tried_32_times() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        tries = contended(bench)
        with pytest.raises(DependencyUnavailableError, match="contended"):
            await bench.ledger.lock(TENANT, APP, 1, MODEL)
        assert len(tries) == 32

    run_async(scenario())


def test_a_report_that_others_are_always_before_is_tried_16_times() -> None:
    async def scenario() -> None:
        bench = Bench()
        lock = await bench.ledger.lock(TENANT, APP, 1, MODEL)
        tries = contended(bench)
        with pytest.raises(DependencyUnavailableError, match="contended"):
            await bench.ledger.report(TENANT, APP, lock.lock_id, used(1))
        assert len(tries) == 16

    run_async(scenario())


FREE = (20_000, 60, 1_000_000, 10_000_000, 30)
STANDARD = (200_000, 600, 50_000_000, 500_000_000, 300)
PREMIUM = (2_000_000, 6_000, 1_000_000_000, 10_000_000_000, 3_000)


def _five_times(limits: tuple[int, ...]) -> tuple[int, ...]:
    """Return the limits of embeddings beside those of all else: as many requests, five times the tokens."""
    minute, requests, day, month, _ = limits
    return 5 * minute, requests, 5 * day, 5 * month


@pytest.mark.parametrize(
    ("tier", "published"),
    [
        ("free", (*FREE, *_five_times(FREE))),
        ("standard", (*STANDARD, *_five_times(STANDARD))),
        ("premium", (*PREMIUM, *_five_times(PREMIUM))),
        ("own", (*FREE, *_five_times(FREE))),
    ],
)
def test_every_tier_allows_what_is_published(tier: str, published: tuple[int, ...]) -> None:
    limits = limits_in_force(tier, None, 0)

    assert (limits.tokens_per_minute, limits.requests_per_minute) == published[:2]
    assert (limits.tokens_per_day, limits.tokens_per_month, limits.concurrency) == published[2:5]
    pool = limits.embeddings
    assert (pool.tokens_per_minute, pool.requests_per_minute) == published[5:7]
    assert (pool.tokens_per_day, pool.tokens_per_month) == published[7:]


def test_one_batch_has_a_hundred_operations_at_most_and_not_many_fewer() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(concurrency=1_000, requests_per_minute=1_000))
        sizes: list[int] = []

        def measure(operations: Sequence[BatchOperation]) -> Sequence[BatchOperation]:
            sizes.append(len(operations))
            return operations

        bench.store.tamper = measure
        apps = [f"app-{number}" for number in range(101)]
        locks = await asyncio.gather(*(bench.ledger.lock(TENANT, app, 1, MODEL) for app in apps))
        assert 50 < max(sizes) <= 100
        sizes.clear()
        pairs = zip(apps, locks, strict=True)
        await asyncio.gather(
            *(bench.ledger.report(TENANT, app, lock.lock_id, used(1)) for app, lock in pairs)
        )
        assert 50 < max(sizes) <= 100

    run_async(scenario())


def test_1024_locks_wait_for_one_exchange_and_the_next_one_is_of_another() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(concurrency=5_000, requests_per_minute=5_000))
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        for count, groups in ((1_024, 1), (1_025, 2)):
            before = len(bench.items("locks:"))
            await asyncio.gather(*(bench.ledger.lock(TENANT, APP, 1, MODEL) for _ in range(count)))
            assert len(bench.items("locks:")) - before == groups

    run_async(scenario())


def test_a_lock_may_be_reported_for_a_day_and_its_record_is_kept_five_minutes_longer() -> None:
    async def scenario() -> None:
        bench = Bench()
        early, late = [await bench.ledger.lock(TENANT, APP, 1, MODEL) for _ in range(2)]
        assert [item["ttl"] for item in bench.items("locks:").values()] == [86_700, 86_700]
        await asyncio.sleep(86_390)
        await bench.ledger.report(TENANT, APP, early.lock_id, used(1))
        await asyncio.sleep(20)
        with pytest.raises(LockNotFoundError):
            await bench.ledger.report(TENANT, APP, late.lock_id, used(1))

    run_async(scenario())


def test_an_applications_counter_is_forgotten_after_a_day_and_the_tenants_never() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        kept = {name: item["ttl"] for name, item in bench.items("scope:").items()}
        assert kept.pop("scope:tenant") == -1
        assert set(kept.values()) == {86_400}

    run_async(scenario())


def test_the_item_that_tells_the_time_removes_itself_after_a_minute() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.status(TENANT, APP)
        assert [item["ttl"] for item in bench.items("clock").values()] == [60]

    run_async(scenario())


def test_what_a_day_used_is_known_for_two_days_after_it() -> None:
    async def scenario() -> None:
        bench = Bench()

        async def days_after(seconds: float) -> list[str]:
            await asyncio.sleep(seconds)
            lock = await bench.ledger.lock(TENANT, APP, 1, MODEL)
            await bench.ledger.report(TENANT, APP, lock.lock_id, used(1))
            spent = cast("dict[str, int]", bench.items("scope:")["scope:tenant"]["spent"])
            return sorted(key for key in spent if key.startswith("d"))

        first = (await days_after(0))[0]
        assert first in await days_after(2 * 86_400)
        assert first not in await days_after(86_400)

    run_async(scenario())


def test_a_models_name_has_128_characters_at_most() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, "m" * 128)
        with pytest.raises(ValidationError):
            await bench.ledger.lock(TENANT, APP, 1, "m" * 129)

    run_async(scenario())


def test_a_name_of_200_characters_stays_readable_in_an_items_id() -> None:
    assert id_part("m" * 200) == "m" * 200
    assert id_part("m" * 201) == "==" + hashlib.sha256(b"m" * 201).hexdigest()


def test_limits_that_others_always_change_are_tried_five_times() -> None:
    async def scenario() -> None:
        store = SimulatedStore()
        tries: list[str] = []

        class Contended(SimulatedContainer):
            async def patch(self, key: Key, item_id: str, patch: Patch) -> Json:  # noqa: ARG002  # the real one's
                tries.append(item_id)
                raise ItemChangedError(item_id)

        with pytest.raises(ConflictError):
            await LimitStore(Contended(store, random.Random(1))).put(TENANT, None)  # noqa: S311  # no secret
        assert len(tries) == 5

    run_async(scenario())


async def test_a_tenants_policy_is_read_again_after_ten_seconds() -> None:
    clock = FakeClock()
    settings = CountingSettings()
    policy = SettingsPolicy(settings, Cache(clock))
    read = []
    for seconds in (0, 9.9, 0.2):
        clock.advance(seconds)
        await policy.app_shares(TENANT)
        read.append(settings.asked)

    assert read[0] == read[1] < read[2]


class CountingSettings(FakeTenantSettings):
    """Settings that count how often they were asked for."""

    asked = 0

    async def value[T](self, tenant: TenantContext, setting: Setting[T]) -> T:
        self.asked += 1
        return await super().value(tenant, setting)


def test_shares_are_of_100_applications_at_most() -> None:
    TOKENS_APP_SHARES.parse({f"a{number}": 0.5 for number in range(100)})
    with pytest.raises(ValidationError):
        TOKENS_APP_SHARES.parse({f"a{number}": 0.5 for number in range(101)})


def test_the_stores_time_is_known_to_a_tenth_of_a_second_around_the_second_that_it_tells() -> None:
    clock = StoreClock()
    clock.observe(1_000, sent=10.0, received=10.0)

    assert (clock.earliest(10.0), clock.latest(10.0)) == pytest.approx((999.9, 1_001.1))


def test_bounds_of_the_stores_time_grow_by_200_microseconds_a_second_up_to_two_seconds() -> None:
    clock = StoreClock()
    clock.observe(1_000, sent=10.0, received=10.0)

    assert clock.earliest(1_010.0) == pytest.approx(1_999.9 - 0.2)
    assert clock.latest(1_010.0) == pytest.approx(2_001.1 + 0.2)
    # 1.2 s wide at first, and 0.8 s more after 2,000 s.
    assert clock.is_precise(10.0 + 1_999)
    assert not clock.is_precise(10.0 + 2_001)


@pytest.mark.parametrize(
    ("slowest", "margin"), [(0.0, 0.1), (0.1, 0.1), (0.2, 0.15), (4.0, 3.0), (5.4, 4.0), (60.0, 4.0)]
)
def test_an_exchange_is_given_a_tenth_of_a_second_at_least_and_four_at_most(
    slowest: float, margin: float
) -> None:
    latency = ExchangeLatency()
    latency.observe(slowest)  # of which half is learned at once

    assert latency.margin() == pytest.approx(margin)


def test_clocks_of_2048_partitions_are_remembered() -> None:
    clocks = StoreClocks(StoreClock)
    first, second = clocks.of("0"), clocks.of("1")
    for number in range(2, 2_049):
        clocks.of(str(number))

    assert clocks.of("1") is second
    assert clocks.of("0") is not first


def test_the_status_of_an_application_is_read_from_its_own_counter_too() -> None:
    async def scenario() -> None:
        bench = Bench(policy=FixedPolicy(shares=AppShares({APP: 0.5})))
        _, elsewhere = bench.instance()
        assert (await bench.ledger.status(TENANT, APP)).available_tokens == 10_000
        await elsewhere.lock(TENANT, APP, 700, MODEL)
        assert (await bench.ledger.status(TENANT, APP)).available_tokens == 9_300

    run_async(scenario())


class RefusingLedger(TokenLedger):
    """A ledger that refuses every lock without saying when to come back."""

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:  # noqa: ARG002  # the real one's
        raise RateLimitError("Not now")


def test_who_is_refused_without_a_time_comes_back_in_a_second() -> None:
    async def scenario() -> None:
        bench = Bench()
        ledger = RefusingLedger(bench.container, LockIds([SECRET]), ProcessClock())
        refused = await TokenService(TENANT, ledger, MODEL).lock(LockRequest(app_id=APP, token_count=1))
        assert (refused.reply.allowed, refused.retry_after) == (False, 1.0)

    run_async(scenario())
