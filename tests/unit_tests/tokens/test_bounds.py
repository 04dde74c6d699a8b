"""The ledger's own limits, each where it binds and by its number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import BatchFailedError, BatchFailure
from shared.errors import DependencyUnavailableError, RateLimitError
from shared.tenancy.store import Tier
from shared.tokens.api_models import LockRequest
from shared.tokens.ledger import TokenLedger
from shared.tokens.limits import TIER_LIMITS
from shared.tokens.lock_ids import LockIds
from shared.tokens.policy import FixedPolicy
from shared.tokens.quota import AppShares
from shared.tokens.service import TokenService
from shared.tokens.snapshot import ExchangeLatency
from shared.tokens.store_clock import StoreClock, StoreClocks
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import APP, MODEL, SECRET, TENANT, run_async
from tests.support.simulated_cosmos import ProcessClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.cosmos.container import BatchOperation
    from shared.tenancy.context import TenantContext
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


def test_every_tier_allows_what_is_published() -> None:
    published = {
        tier: (
            limits.tokens_per_minute,
            limits.requests_per_minute,
            limits.tokens_per_day,
            limits.tokens_per_month,
            limits.concurrency,
        )
        for tier, limits in TIER_LIMITS.items()
    }

    free = (20_000, 60, 1_000_000, 10_000_000, 30)
    assert published == {
        Tier.FREE: free,
        Tier.STANDARD: (200_000, 600, 50_000_000, 500_000_000, 300),
        Tier.PREMIUM: (2_000_000, 6_000, 1_000_000_000, 10_000_000_000, 3_000),
        Tier.OWN: free,
    }


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
