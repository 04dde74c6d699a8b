"""What bounds a lock: the tenant, its applications and models, a minute, a day, a month, and what is open."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import BudgetExceededError, ValidationError
from shared.tokens.errors import LockTooLargeError, TokenBudgetExhaustedError, TokenRateLimitError
from shared.tokens.limits import LimitsOverride, RateLimit
from shared.tokens.policy import FixedPolicy
from shared.tokens.quota import AppShares
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import APP, MODEL, TENANT, run_async
from tests.support.simulated_cosmos import START

SHARES = FixedPolicy(AppShares({"small": 0.25, "*": 0.5}))


def end_of_day() -> float:
    """Return the seconds from the simulation's beginning to the next day."""
    now = datetime.fromtimestamp(START, UTC)
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return tomorrow.timestamp() - START


async def refusal(bench: Bench, tokens: int, app: str = APP, model: str = MODEL) -> BudgetExceededError:
    with pytest.raises(BudgetExceededError) as caught:
        await bench.ledger.lock(TENANT, app, tokens, model)
    return caught.value


def test_a_lock_counts_in_all_of_its_scopes_or_in_none() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(models={"rare": RateLimit(tokens=500, requests=9)}))
        await bench.ledger.lock(TENANT, APP, 400, "rare")
        refused = await refusal(bench, 101, model="rare")
        assert refused.detail["limit"] == "tokens_per_minute"
        await bench.ledger.lock(TENANT, "other", 300, MODEL)
        assert bench.counts("tenant") == (700, 2)
        assert bench.counts(f"app:{APP}") == bench.counts("model:rare") == (400, 1)
        assert bench.counts("app:other") == bench.counts(f"model:{MODEL}") == (300, 1)

    run_async(scenario())


def test_a_settlement_reaches_all_of_the_locks_scopes() -> None:
    async def scenario() -> None:
        bench = Bench()
        reported = await bench.ledger.lock(TENANT, APP, 400, MODEL)
        released = await bench.ledger.lock(TENANT, APP, 300, MODEL)
        await bench.ledger.report(TENANT, APP, reported.lock_id, used(50))
        await bench.ledger.release(TENANT, APP, released.lock_id)
        for scope in ("tenant", f"app:{APP}", f"model:{MODEL}"):
            assert bench.counts(scope) == (50, 1)

    run_async(scenario())


def test_a_flood_of_one_application_leaves_room_for_the_others() -> None:
    async def scenario() -> None:
        bench = Bench(policy=SHARES)
        await bench.ledger.lock(TENANT, "small", 5_000, MODEL)
        assert (await refusal(bench, 1, "small")).detail["limit"] == "tokens_per_minute"
        status = await bench.ledger.status(TENANT, "small")
        assert (status.limit_tokens, status.available_tokens) == (5_000, 0)
        await bench.ledger.lock(TENANT, "large", 10_000, MODEL)

    run_async(scenario())


def test_a_share_that_is_no_whole_number_is_rounded_down_to_one_at_least() -> None:
    async def scenario() -> None:
        bench = Bench(policy=SHARES)
        await bench.limit(LimitsOverride(tokens_per_minute=1_003, requests_per_minute=7))
        status = await bench.ledger.status(TENANT, "small")
        assert (status.limit_tokens, status.limit_requests) == (250, 1)
        await bench.ledger.lock(TENANT, "small", 250, MODEL)
        assert (await refusal(bench, 1, "small")).detail["limit"] == "tokens_per_minute"
        status = await bench.ledger.status(TENANT, "large")
        assert (status.limit_tokens, status.limit_requests) == (501, 3)
        await bench.limit(LimitsOverride(tokens_per_minute=3, requests_per_minute=3))
        status = await bench.ledger.status(TENANT, "small")
        assert (status.limit_tokens, status.limit_requests) == (1, 1)

    run_async(scenario())


LIMITS_OF_TWO = {
    "tokens_per_minute": LimitsOverride(tokens_per_minute=200),
    "requests_per_minute": LimitsOverride(requests_per_minute=2),
    "concurrency": LimitsOverride(concurrency=2),
    "tokens_per_day": LimitsOverride(tokens_per_day=200),
    "tokens_per_month": LimitsOverride(tokens_per_month=200),
}


@pytest.mark.parametrize("limit", LIMITS_OF_TWO)
def test_a_lock_waits_for_no_more_than_it_needs(limit: str) -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS_OF_TWO[limit])
        first = await bench.ledger.lock(TENANT, APP, 100, MODEL)
        await asyncio.sleep(20)
        await bench.ledger.lock(TENANT, APP, 100, MODEL)
        refused = await refusal(bench, 100)
        assert refused.detail["limit"] == limit
        now = START + asyncio.get_running_loop().time()
        assert refused.retry_after is not None
        assert first.second + 60 <= now + refused.retry_after <= first.second + 60 + 4

    run_async(scenario())


@pytest.mark.parametrize(
    ("limit", "reported"),
    [(limit, reported) for limit in LIMITS_OF_TWO for reported in (False, True) if limit != "concurrency"]
    + [("concurrency", False)],
)
def test_the_store_itself_refuses_what_one_instance_does_not_know_of_another(
    limit: str, *, reported: bool
) -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS_OF_TWO[limit])
        _, other = bench.instance()
        await bench.ledger.lock(TENANT, APP, 100, MODEL)
        lock = await other.lock(TENANT, APP, 100, MODEL)
        if reported:
            await other.report(TENANT, APP, lock.lock_id, used(100))
        assert (await refusal(bench, 100)).detail["limit"] == limit
        assert bench.counts("tenant") == (200, 2)

    run_async(scenario())


@pytest.mark.parametrize("limit", LIMITS_OF_TWO)
def test_two_instances_at_once_admit_no_more_than_the_limit(limit: str) -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS_OF_TWO[limit])
        ledgers = (bench.ledger, bench.instance()[1])
        locks = [ledgers[number % 2].lock(TENANT, f"app-{number}", 100, MODEL) for number in range(8)]
        found = await asyncio.gather(*locks, return_exceptions=True)
        assert sum(not isinstance(one, BaseException) for one in found) == 2
        assert {type(one) for one in found if isinstance(one, BaseException)} <= {
            TokenRateLimitError,
            TokenBudgetExhaustedError,
        }
        assert bench.counts("tenant") == (200, 2)

    run_async(scenario())


def test_new_names_are_no_new_shares() -> None:
    async def scenario() -> None:
        bench = Bench(policy=SHARES)
        first = await bench.ledger.lock(TENANT, "name-1", 6_000, MODEL)
        await bench.ledger.lock(TENANT, "name-2", 4_000, MODEL)
        await refusal(bench, 1, "name-3")
        await bench.ledger.release(TENANT, "name-1", first.lock_id)
        await bench.ledger.lock(TENANT, "name-3", 6_000, MODEL)
        assert bench.counts("app:*") == (10_000, 2)

    run_async(scenario())


def test_only_so_many_locks_are_open_and_a_report_makes_room_for_another() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(concurrency=2))
        first = await bench.ledger.lock(TENANT, APP, 10, MODEL)
        await bench.ledger.lock(TENANT, APP, 10, MODEL)
        refused = await refusal(bench, 10)
        assert isinstance(refused, TokenRateLimitError)
        assert refused.detail["limit"] == "concurrency"
        await bench.ledger.report(TENANT, APP, first.lock_id, used(5))
        await bench.ledger.lock(TENANT, APP, 10, MODEL)
        assert (await refusal(bench, 10)).retry_after is not None

    run_async(scenario())


def test_a_lock_larger_than_one_may_be_is_invalid_and_names_the_limit() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(tokens_per_lock=100))
        with pytest.raises(ValidationError) as caught:
            await bench.ledger.lock(TENANT, APP, 101, MODEL)
        assert caught.value.detail["limit"] == "tokens_per_lock"
        assert isinstance(caught.value, LockTooLargeError)
        assert (caught.value.tokens, caught.value.largest, caught.value.limit) == (
            101,
            100,
            "tokens_per_lock",
        )
        await bench.ledger.lock(TENANT, APP, 100, MODEL)

    run_async(scenario())


def test_a_used_up_day_is_another_refusal_than_a_full_minute_and_ends_with_the_day() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(tokens_per_minute=1_000, tokens_per_day=1_500))
        for _ in range(2):
            lock = await bench.ledger.lock(TENANT, APP, 700, MODEL)
            await bench.ledger.report(TENANT, APP, lock.lock_id, used(700))
            await asyncio.sleep(64)
        refused = await refusal(bench, 101)
        assert isinstance(refused, TokenBudgetExhaustedError)
        assert refused.detail["limit"] == "tokens_per_day"
        until_tomorrow = end_of_day() - asyncio.get_running_loop().time()
        assert refused.retry_after is not None
        assert until_tomorrow <= refused.retry_after <= until_tomorrow + 5
        await bench.ledger.lock(TENANT, APP, 100, MODEL)
        await asyncio.sleep(refused.retry_after)
        await bench.ledger.lock(TENANT, APP, 101, MODEL)

    run_async(scenario())


def test_a_used_up_month_ends_with_the_month() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(tokens_per_day=600, tokens_per_month=1_000))
        for _ in range(2):
            lock = await bench.ledger.lock(TENANT, APP, 500, MODEL)
            await bench.ledger.report(TENANT, APP, lock.lock_id, used(500))
            await asyncio.sleep(end_of_day())
        refused = await refusal(bench, 1)
        assert isinstance(refused, TokenBudgetExhaustedError)
        assert refused.detail["limit"] == "tokens_per_month"
        assert refused.retry_after is not None
        await asyncio.sleep(refused.retry_after)
        await bench.ledger.lock(TENANT, APP, 600, MODEL)

    run_async(scenario())


def test_a_wait_for_the_next_day_is_one_for_what_is_still_locked_then_too() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(tokens_per_day=1_000))
        await asyncio.sleep(end_of_day() - 10)
        reported = await bench.ledger.lock(TENANT, APP, 600, MODEL)
        await bench.ledger.report(TENANT, APP, reported.lock_id, used(600))
        await bench.ledger.lock(TENANT, APP, 400, MODEL)
        refused = await refusal(bench, 700)
        assert refused.retry_after is not None
        await asyncio.sleep(refused.retry_after)
        await bench.ledger.lock(TENANT, APP, 700, MODEL)

    run_async(scenario())


def test_usage_is_of_the_day_of_its_lock_not_of_its_report() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(tokens_per_day=1_000))
        await asyncio.sleep(end_of_day() - 10)
        before = datetime.fromtimestamp(START + asyncio.get_running_loop().time(), UTC)
        assert f"{before:%H:%M:%S}" == "23:59:50"
        lock = await bench.ledger.lock(TENANT, APP, 900, MODEL)
        await asyncio.sleep(40)
        await bench.ledger.report(TENANT, APP, lock.lock_id, used(900))
        assert [item["day"] for item in await bench.usage_items()] == [before.date().isoformat()]
        spent = bench.items("scope:tenant")["scope:tenant"]["spent"]
        assert spent == {f"d{before:%Y%m%d}": 900, f"m{before:%Y%m}": 900}
        await bench.ledger.lock(TENANT, APP, 1_000, MODEL)

    run_async(scenario())


def test_days_and_months_that_are_over_are_forgotten() -> None:
    async def scenario() -> None:
        bench = Bench()
        for _ in range(70):
            lock = await bench.ledger.lock(TENANT, APP, 500, MODEL)
            await bench.ledger.report(TENANT, APP, lock.lock_id, used(500))
            await asyncio.sleep(24 * 3600)
        spent = bench.items("scope:tenant")["scope:tenant"]["spent"]
        assert isinstance(spent, dict)
        assert len(spent) <= 5
        assert sum(int(str(item["prompt_tokens"])) for item in await bench.usage_items()) == 70 * 500

    run_async(scenario())


def test_what_is_locked_counts_against_the_day_until_its_minute_is_over() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LimitsOverride(tokens_per_day=1_000))
        forgotten = await bench.ledger.lock(TENANT, APP, 900, MODEL)
        refused = await refusal(bench, 200)
        assert isinstance(refused, TokenBudgetExhaustedError)
        assert refused.retry_after is not None
        assert refused.retry_after < 66
        await asyncio.sleep(refused.retry_after)
        await bench.ledger.lock(TENANT, APP, 200, MODEL)
        await bench.ledger.report(TENANT, APP, forgotten.lock_id, used(900))
        assert isinstance(await refusal(bench, 1), TokenBudgetExhaustedError)

    run_async(scenario())


@pytest.mark.parametrize(
    ("override", "tokens", "requests"),
    [
        (LimitsOverride(), "tokens_per_minute", "concurrency"),
        (LimitsOverride(tokens_per_day=15_000), "tokens_per_day", "concurrency"),
        (
            LimitsOverride(tokens_per_month=15_000, concurrency=1_000),
            "tokens_per_month",
            "requests_per_minute",
        ),
    ],
)
def test_status_names_the_limit_that_binds(override: LimitsOverride, tokens: str, requests: str) -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(override)
        lock = await bench.ledger.lock(TENANT, APP, 100, MODEL)
        for status in (lock.status, await bench.ledger.status(TENANT, APP)):
            assert status is not None
            assert (status.tokens_limited_by, status.requests_limited_by) == (tokens, requests)
            least = min(override.tokens_per_day or 20_000, override.tokens_per_month or 20_000)
            assert status.available_tokens == least - 100

    run_async(scenario())


def test_a_change_of_limits_is_in_force_with_the_next_lock_on_every_instance() -> None:
    async def scenario() -> None:
        bench = Bench()
        _, other = bench.instance()
        for ledger in (bench.ledger, other):
            await ledger.lock(TENANT, APP, 10, MODEL)
        await bench.limit(LimitsOverride(tokens_per_minute=50))
        for ledger in (bench.ledger, other):
            with pytest.raises(BudgetExceededError):
                await ledger.lock(TENANT, APP, 31, MODEL)
        assert (await other.limits(TENANT)).tokens_per_minute == 50
        await bench.limit(None)
        for ledger in (bench.ledger, other):
            await ledger.lock(TENANT, APP, 5_000, MODEL)

    run_async(scenario())


def test_an_override_that_expires_is_out_of_force_by_itself() -> None:
    async def scenario() -> None:
        bench = Bench()
        ends = datetime.fromtimestamp(START, UTC) + timedelta(seconds=30)
        await bench.limit(LimitsOverride(tokens_per_minute=50, expires_at=ends))
        with pytest.raises(ValidationError):
            await bench.ledger.lock(TENANT, APP, 51, MODEL)
        await asyncio.sleep(33)
        await bench.ledger.lock(TENANT, APP, 51, MODEL)

    run_async(scenario())
