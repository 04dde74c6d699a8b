"""Properties 2, 3 and 6 for one tenant's scope, and what the ledger refuses."""

from __future__ import annotations

import asyncio

import pytest

from shared.contracts import MOST_TOKENS, Usage
from shared.errors import (
    BudgetExceededError,
    DeadlineExceededError,
    DependencyUnavailableError,
    ValidationError,
)
from shared.resilience.deadlines import deadline
from shared.tenancy.store import Tier
from shared.tokens.errors import LockNotFoundError
from shared.tokens.limits import TIER_LIMITS
from shared.tokens.lock_ids import LockClaim, LockIds, new_group
from tests.support.fakes import tenant_context
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import APP, MODEL, TENANT, run_async
from tests.support.simulated_cosmos import Faults, ProcessClock

LIMITS = TIER_LIMITS[Tier.FREE]


def test_a_lock_counts_until_its_report_trues_it() -> None:
    async def scenario() -> None:
        ledger = Bench().ledger
        lock = await ledger.lock(TENANT, APP, 1_000, MODEL)
        locked = await ledger.status(TENANT, APP)
        assert (locked.locked_tokens, locked.used_tokens, locked.locked_requests) == (1_000, 0, 1)
        assert locked.available_tokens == LIMITS.tokens_per_minute - 1_000
        await ledger.report(TENANT, APP, lock.lock_id, used(200, 100))
        after = await ledger.status(TENANT, APP)
        assert (after.locked_tokens, after.used_tokens) == (0, 300)
        assert (after.locked_requests, after.used_requests) == (0, 1)
        assert after.available_tokens == LIMITS.tokens_per_minute - 300
        assert 55 < after.reset_time_seconds < 66
        await asyncio.sleep(after.reset_time_seconds)
        idle = await ledger.status(TENANT, APP)
        assert idle.available_tokens == LIMITS.tokens_per_minute
        assert idle.available_requests == LIMITS.concurrency
        assert idle.reset_time_seconds == 0

    run_async(scenario())


@pytest.mark.parametrize("kind", ["cached_tokens", "reasoning_tokens"])
def test_a_kind_of_tokens_beyond_its_whole_is_no_usage(kind: str) -> None:
    async def scenario() -> None:
        bench = Bench()
        lock = await bench.ledger.lock(TENANT, APP, 500, MODEL)
        with pytest.raises(ValidationError, match=kind):
            await bench.ledger.report(TENANT, APP, lock.lock_id, Usage.model_validate({kind: 1}))

    run_async(scenario())


def test_reporting_again_changes_nothing_on_any_instance() -> None:
    async def scenario() -> None:
        bench = Bench()
        lock = await bench.ledger.lock(TENANT, APP, 500, MODEL)
        for ledger in (bench.ledger, bench.instance()[1], bench.ledger):
            await ledger.report(TENANT, APP, lock.lock_id, used(100, 50), user="u/1")
            await ledger.release(TENANT, APP, lock.lock_id)
        assert (await bench.ledger.status(TENANT, APP)).used_tokens == 150
        (item,) = await bench.usage_items()
        assert (item["prompt_tokens"], item["completion_tokens"], item["requests"]) == (100, 50, 1)
        assert (item["model"], item["app_id"], item["user_id"]) == (MODEL, APP, "u/1")
        assert "/" not in str(item["id"])

    run_async(scenario())


def test_a_release_gives_back_its_lock_once_and_no_more() -> None:
    async def scenario() -> None:
        bench = Bench()
        kept = await bench.ledger.lock(TENANT, APP, 700, MODEL)
        given_back = await bench.ledger.lock(TENANT, APP, 700, MODEL)
        for _ in range(3):
            await bench.ledger.release(TENANT, APP, given_back.lock_id)
        status = await bench.ledger.status(TENANT, APP)
        assert (status.locked_tokens, status.locked_requests) == (kept.tokens, 1)

    run_async(scenario())


def test_a_late_report_is_counted_as_usage_and_makes_no_room() -> None:
    async def scenario() -> None:
        bench = Bench()
        late = await bench.ledger.lock(TENANT, APP, 1_000, MODEL)
        await asyncio.sleep(63)
        await bench.ledger.lock(TENANT, APP, 2_000, MODEL)
        await bench.ledger.report(TENANT, APP, late.lock_id, used(10))
        assert (await bench.ledger.status(TENANT, APP)).locked_tokens == 2_000
        assert [item["prompt_tokens"] for item in await bench.usage_items()] == [10]

    run_async(scenario())


@pytest.mark.parametrize("wait", [0, 63])
def test_use_beyond_a_lock_is_a_debt_that_later_locks_pay(wait: float) -> None:
    async def scenario() -> None:
        bench = Bench()
        lock = await bench.ledger.lock(TENANT, APP, 1_000, MODEL)
        await asyncio.sleep(wait)
        if wait:
            await bench.ledger.lock(TENANT, APP, 1, MODEL)  # frees the lock's second
        await bench.ledger.report(TENANT, APP, lock.lock_id, used(21_500))
        status = await bench.ledger.status(TENANT, APP)
        assert status.available_tokens == 0
        assert status.debt_tokens >= 501
        with pytest.raises(BudgetExceededError):
            await bench.ledger.lock(TENANT, APP, 1, MODEL)
        await asyncio.sleep(64)
        await bench.ledger.lock(TENANT, APP, LIMITS.tokens_per_minute, MODEL)

    run_async(scenario())


@pytest.mark.slow
def test_reports_beyond_their_locks_that_trickle_in_for_long_leave_the_next_lock_possible() -> None:
    async def scenario() -> None:
        bench = Bench()
        tenant = tenant_context(tier="premium")
        locks = [await bench.ledger.lock(tenant, APP, 1, MODEL) for _ in range(400)]
        for lock in locks:
            await bench.ledger.report(tenant, APP, lock.lock_id, used(2))
            await asyncio.sleep(2)
        await asyncio.sleep(64)
        await bench.ledger.lock(tenant, APP, TIER_LIMITS[Tier.PREMIUM].tokens_per_minute, MODEL)

    run_async(scenario())


def test_a_lock_does_not_wait_beyond_the_callers_deadline_and_is_given_back() -> None:
    async def scenario() -> None:
        bench = Bench()
        loop, clock = asyncio.get_running_loop(), ProcessClock()
        await bench.ledger.status(TENANT, APP)
        bench.container.faults = Faults(leg_seconds=4)
        began = loop.time()
        with deadline(10, clock), pytest.raises(DeadlineExceededError):
            await bench.ledger.lock(TENANT, APP, 1_000, MODEL)
        assert loop.time() - began < 10.5
        bench.container.faults = Faults()
        await asyncio.sleep(30)
        assert (await bench.ledger.status(TENANT, APP)).locked_tokens == 0

    run_async(scenario())


@pytest.mark.parametrize("usage", [used(MOST_TOKENS + 1), used(0, 2**70)])
def test_a_report_of_more_than_can_be_summed_is_refused_and_harms_nothing(usage: Usage) -> None:
    async def scenario() -> None:
        bench = Bench()
        lock = await bench.ledger.lock(TENANT, APP, 10, MODEL)
        with pytest.raises(ValidationError):
            await bench.ledger.report(TENANT, APP, lock.lock_id, usage)
        assert (await bench.ledger.status(TENANT, APP)).locked_tokens == 10
        await bench.ledger.report(TENANT, APP, lock.lock_id, used(MOST_TOKENS, MOST_TOKENS))
        assert (await bench.ledger.status(TENANT, APP)).used_tokens == 2 * MOST_TOKENS

    run_async(scenario())


def test_a_lock_id_of_another_tenant_application_or_deployment_is_unknown() -> None:
    async def scenario() -> None:
        bench = Bench()
        lock_id = (await bench.ledger.lock(TENANT, APP, 10, MODEL)).lock_id
        token_id, _, rate_id = lock_id.partition(":")
        forged = ["", ":", "x" * 2_000, f"{token_id}:{rate_id[::-1]}", f"A{token_id}:{rate_id}", "é:é"]
        for wrong in forged:
            with pytest.raises(LockNotFoundError):
                await bench.ledger.report(TENANT, APP, wrong, used(1))
        with pytest.raises(LockNotFoundError):
            await bench.ledger.release(tenant_context("globex"), APP, lock_id)
        with pytest.raises(LockNotFoundError):
            await bench.ledger.release(TENANT, "another", lock_id)
        with pytest.raises(LockNotFoundError):
            await bench.instance("another secret, also long")[1].release(TENANT, APP, lock_id)
        assert (await bench.ledger.status(TENANT, APP)).locked_tokens == 10

    run_async(scenario())


def test_a_secret_can_be_rotated() -> None:
    old, both = LockIds(["the old secret"]), LockIds(["the new secret", "the old secret"])
    claim = both.read("acme", APP, _issued(old))
    assert (claim.index, claim.tokens, claim.second, claim.model) == (3, 7, 1_800_000_000, MODEL)


def _issued(ids: LockIds) -> str:
    return ids.issue("acme", APP, LockClaim(new_group(), 3, 7, 1_800_000_000, MODEL))


def test_a_lock_cannot_be_settled_after_its_record_may_be_gone() -> None:
    async def scenario() -> None:
        bench = Bench()
        lock = await bench.ledger.lock(TENANT, APP, 10, MODEL)
        await asyncio.sleep(24 * 3600 + 10)
        with pytest.raises(LockNotFoundError):
            await bench.ledger.report(TENANT, APP, lock.lock_id, used(1))

    run_async(scenario())


@pytest.mark.parametrize(
    ("app_id", "tokens", "model"),
    [
        (APP, 0, MODEL),
        (APP, -5, MODEL),
        (APP, 20_001, MODEL),
        ("a b", 1, MODEL),
        (APP, 1, ""),
    ],
)
def test_what_can_never_be_admitted_is_invalid(app_id: str, tokens: int, model: str) -> None:
    async def scenario() -> None:
        with pytest.raises(ValidationError):
            await Bench().ledger.lock(TENANT, app_id, tokens, model)

    run_async(scenario())


def test_a_quiet_lock_is_one_round_trip() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 10, MODEL)
        for _ in range(100):
            await asyncio.sleep(2.3)
            before = bench.store.requests
            await bench.ledger.lock(TENANT, APP, 10, MODEL)
            assert bench.store.requests == before + 1

    run_async(scenario())


def test_a_scope_full_of_old_seconds_is_tidied_at_once() -> None:
    async def scenario() -> None:
        bench = Bench()
        for _ in range(25):
            await asyncio.sleep(1)
            await bench.ledger.lock(TENANT, APP, 10, MODEL)
        await asyncio.sleep(120)
        await bench.ledger.lock(TENANT, APP, LIMITS.tokens_per_minute, MODEL)
        for name in ("scope:tenant", f"scope:app:{APP}", f"scope:model:{MODEL}"):
            scope = bench.items(name)[name]
            assert (scope["tokens"], scope["requests"]) == (LIMITS.tokens_per_minute, 1)
            buckets = scope["b"]
            assert isinstance(buckets, dict)
            assert len(buckets) == 1

    run_async(scenario())


def test_a_cancelled_lock_is_given_back() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        bench.container.faults = Faults(leg_seconds=0.05)
        for delay in (0.0, 0.001, 0.003, 0.006):
            taking = asyncio.ensure_future(bench.ledger.lock(TENANT, APP, 5_000, MODEL))
            await asyncio.sleep(delay)
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
        await asyncio.sleep(1)  # its exchange was in flight: it is given back when that has ended
        status = await bench.ledger.status(TENANT, APP)
        assert (status.locked_tokens, status.locked_requests) == (1, 1)

    run_async(scenario())


def test_nothing_is_admitted_while_the_store_is_down_and_it_recovers_by_itself() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.container.down = True
        with pytest.raises(DependencyUnavailableError):
            await bench.ledger.lock(TENANT, APP, 10, MODEL)
        bench.container.down = False
        await bench.ledger.lock(TENANT, APP, 10, MODEL)

    run_async(scenario())


def test_an_answer_that_comes_too_late_is_no_admission() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 10, MODEL)
        bench.container.faults = Faults(leg_seconds=12)
        began = asyncio.get_running_loop().time()
        try:
            lock = await bench.ledger.lock(TENANT, APP, 10, MODEL)
        except DependencyUnavailableError:
            return
        assert lock.second >= began

    run_async(scenario())


def test_tenants_share_nothing() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, LIMITS.tokens_per_minute, MODEL)
        await bench.ledger.lock(tenant_context("globex"), APP, LIMITS.tokens_per_minute, MODEL)
        with pytest.raises(BudgetExceededError):
            await bench.ledger.lock(TENANT, APP, 1, MODEL)

    run_async(scenario())


@pytest.mark.parametrize("old_seconds", [0, 25])
def test_a_lock_whose_answer_was_lost_is_charged_once(old_seconds: int) -> None:
    async def scenario() -> None:
        bench = Bench()
        for _ in range(old_seconds):
            await asyncio.sleep(1)
            await bench.ledger.lock(TENANT, APP, 1, MODEL)
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        await asyncio.sleep(120)  # with many old seconds the next write is several patches
        bench.container.answers_to_lose = 2
        lock = await bench.ledger.lock(TENANT, APP, 100, MODEL)
        status = await bench.ledger.status(TENANT, APP)
        assert (status.locked_tokens, status.locked_requests) == (100, 1)
        bench.container.answers_to_lose = 2
        await bench.ledger.report(TENANT, APP, lock.lock_id, used(30))
        assert (await bench.ledger.status(TENANT, APP)).used_tokens == 30
        assert [item["prompt_tokens"] for item in await bench.usage_items()] == [30]

    run_async(scenario())
