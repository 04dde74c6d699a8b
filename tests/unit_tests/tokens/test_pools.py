"""Embeddings have a pool of their own: what they lock leaves all else its budget, and the other way round."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import APIError, BudgetExceededError
from shared.tokens.admission import RefusedLock
from shared.tokens.alerts import find_crossings
from shared.tokens.counters import EMBEDDINGS_APP, TENANT_COUNTER, WindowCounter, new_counter
from shared.tokens.errors import LockNotFoundError, LockTooLargeError, TokenBudgetExhaustedError
from shared.tokens.limits import LimitsOverride, PoolLimits
from shared.tokens.lock_ids import LockClaim, LockIds
from shared.tokens.policy import FixedPolicy
from shared.tokens.quota import AppShares
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import APP, MODEL, SECRET, TENANT, run_async

VECTORS = "text-embedding-3-small"
POOL = PoolLimits(tokens_per_minute=1_000, requests_per_minute=20)
LIMITS = LimitsOverride(tokens_per_minute=1_000, requests_per_minute=20, embeddings=POOL)


async def embed(bench: Bench, tokens: int) -> str:
    """Lock tokens for embeddings; return the lock's id."""
    return (await bench.ledger.lock(TENANT, EMBEDDINGS_APP, tokens, VECTORS)).lock_id


async def chat(bench: Bench, tokens: int) -> str:
    """Lock tokens for anything else."""
    return (await bench.ledger.lock(TENANT, APP, tokens, MODEL)).lock_id


async def is_refused(bench: Bench, tokens: int, *, pooled: bool) -> str:
    """Ask for a lock that has to be refused; return the limit that refuses it."""
    with pytest.raises(BudgetExceededError) as caught:
        await (embed if pooled else chat)(bench, tokens)
    return str(caught.value.detail["limit"])


def test_an_import_of_embeddings_leaves_chats_their_budget_and_a_flood_of_chats_them_theirs() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS)
        await embed(bench, 1_000)
        assert await is_refused(bench, 1, pooled=True) == "tokens_per_minute"
        await chat(bench, 1_000)
        assert await is_refused(bench, 1, pooled=False) == "tokens_per_minute"
        assert bench.counts("pool:embeddings") == bench.counts("tenant") == (1_000, 1)
        assert bench.counts(f"app:{EMBEDDINGS_APP}") == bench.counts(f"model:{VECTORS}") == (1_000, 1)

    run_async(scenario())


def test_locks_of_both_that_wait_together_are_admitted_together_by_what_each_has() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS)
        asked = [embed(bench, 400) if number % 2 else chat(bench, 300) for number in range(16)]
        answers = await asyncio.gather(*asked, return_exceptions=True)

        admitted = [not isinstance(answer, BaseException) for answer in answers]
        assert (sum(admitted[1::2]), sum(admitted[::2])) == (2, 3)
        assert bench.counts("pool:embeddings") == (800, 2)
        assert bench.counts("tenant") == (900, 3)

    run_async(scenario())


def test_64_callers_on_many_instances_get_no_token_more_than_the_pool_has() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS.model_copy(update={"requests_per_minute": 1_000, "concurrency": 1_000}))
        ledgers = [bench.instance()[1] for _ in range(4)]

        async def call(number: int) -> int:
            try:
                await ledgers[number % 4].lock(TENANT, EMBEDDINGS_APP, 70, VECTORS)
            except APIError:
                return 0
            return 70

        passed = sum(await asyncio.gather(*(call(number) for number in range(64))))
        assert passed == 14 * 70 == bench.counts("pool:embeddings")[0]

    run_async(scenario())


def test_what_embeddings_used_counts_in_the_pool_its_day_and_the_usage_and_nowhere_else() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS)
        await chat(bench, 1)
        reported, released = await embed(bench, 400), await embed(bench, 300)
        await bench.ledger.report(TENANT, EMBEDDINGS_APP, reported, used(50))
        await bench.ledger.report(TENANT, EMBEDDINGS_APP, reported, used(50))
        await bench.ledger.release(TENANT, EMBEDDINGS_APP, released)

        scopes = bench.items("scope:")
        assert bench.counts("pool:embeddings") == bench.counts(f"app:{EMBEDDINGS_APP}") == (50, 1)
        spent = WindowCounter.from_json(scopes["scope:pool:embeddings"]).spent
        assert [*spent.values()] == [50, 50]
        assert (bench.counts("tenant"), scopes["scope:tenant"]["spent"]) == ((1, 1), {})
        [usage] = await bench.usage_items()
        assert (usage["app_id"], usage["prompt_tokens"]) == (EMBEDDINGS_APP, 50)

    run_async(scenario())


def test_a_budget_of_a_day_of_embeddings_is_theirs_alone() -> None:
    async def scenario() -> None:
        bench = Bench()
        pool = POOL.model_copy(update={"tokens_per_day": 500})
        await bench.limit(LIMITS.model_copy(update={"embeddings": pool}))
        lock = await embed(bench, 400)
        await bench.ledger.report(TENANT, EMBEDDINGS_APP, lock, used(400))
        with pytest.raises(TokenBudgetExhaustedError):
            await embed(bench, 101)
        await chat(bench, 1_000)
        with pytest.raises(LockTooLargeError):
            await embed(bench, 501)

    run_async(scenario())


def test_a_debt_of_the_tenants_leaves_the_pool_open() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS)
        await bench.ledger.report(TENANT, APP, await chat(bench, 900), used(5_000))
        await embed(bench, 1_000)
        assert await is_refused(bench, 1, pooled=False) == "tokens_per_minute"

    run_async(scenario())


def test_a_change_of_the_pools_limits_is_in_force_with_the_next_lock_on_every_instance() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(LIMITS)
        other = bench.instance()[1]
        for ledger in (bench.ledger, other):
            await ledger.lock(TENANT, EMBEDDINGS_APP, 100, VECTORS)
        await bench.limit(
            LIMITS.model_copy(update={"embeddings": POOL.model_copy(update={"tokens_per_minute": 250})})
        )
        for ledger in (bench.ledger, other):
            with pytest.raises(BudgetExceededError):
                await ledger.lock(TENANT, EMBEDDINGS_APP, 100, VECTORS)
        await other.lock(TENANT, EMBEDDINGS_APP, 50, VECTORS)

    run_async(scenario())


def test_the_status_of_the_application_is_that_of_the_pool() -> None:
    async def scenario() -> None:
        bench = Bench()
        pool = POOL.model_copy(update={"tokens_per_minute": 700, "requests_per_minute": 7})
        await bench.limit(LIMITS.model_copy(update={"embeddings": pool}))
        await chat(bench, 900)
        lock = await bench.ledger.lock(TENANT, EMBEDDINGS_APP, 200, VECTORS)
        status = await bench.ledger.status(TENANT, EMBEDDINGS_APP)

        assert lock.status is not None
        for told in (lock.status, status):
            assert (told.limit_tokens, told.available_tokens, told.locked_tokens) == (700, 500, 200)
            assert (told.limit_requests, told.available_requests) == (7, 6)
        others = await bench.ledger.status(TENANT, APP)
        assert (others.limit_tokens, others.available_tokens) == (1_000, 100)

    run_async(scenario())


def test_shares_of_applications_bound_no_embeddings() -> None:
    async def scenario() -> None:
        bench = Bench(policy=FixedPolicy(AppShares({"small": 0.25, "*": 0.5, EMBEDDINGS_APP: 0.1})))
        await bench.limit(LIMITS)
        await embed(bench, 1_000)
        await chat(bench, 500)
        assert await is_refused(bench, 1, pooled=False) == "tokens_per_minute"

    run_async(scenario())


def test_a_lock_of_the_pool_is_of_a_version_that_no_release_before_takes() -> None:
    ids = LockIds([SECRET])
    claim = LockClaim("0" * 24, 0, 5, 100, VECTORS)
    own, pooled = (
        ids.issue("acme", EMBEDDINGS_APP, one)
        for one in (claim, LockClaim("0" * 24, 0, 5, 100, VECTORS, pooled=True))
    )

    assert ids.read("acme", EMBEDDINGS_APP, own) == claim
    assert ids.read("acme", EMBEDDINGS_APP, pooled).pooled
    assert own.partition(":")[0][:2] != pooled.partition(":")[0][:2]
    with pytest.raises(LockNotFoundError):
        ids.read("globex", EMBEDDINGS_APP, pooled)


def test_alerts_tell_whose_budget_it_is() -> None:
    override = {"tokens_per_day": 100, "embeddings": POOL.model_dump() | {"tokens_per_day": 1_000}}
    tenant = new_counter(TENANT_COUNTER).model_copy(update={"override": override})
    day = f"d{20260131}"
    pool = new_counter("").model_copy(update={"spent": {day: 900}})
    noon = 1_769_860_800.0  # of that day

    def told(refused: RefusedLock | None = None) -> list[tuple[object, ...]]:
        found = find_crossings(tenant, "standard", noon, refused, pool)
        return [(one.pool, one.percent, one.limit) for one in found]

    assert told() == [("embeddings", 80, 1_000)]
    assert told(RefusedLock(200, noon)) == [("embeddings", 80, 1_000)]
    assert told(RefusedLock(200, noon, pooled=True)) == [
        ("embeddings", 80, 1_000),
        ("embeddings", 100, 1_000),
    ]
    assert [*find_crossings(tenant, "standard", noon)] == []
    [warning] = find_crossings(tenant, "standard", noon, None, pool)
    assert warning.message_id("acme") == "acme:embeddings:day:20260131:1000:80"
