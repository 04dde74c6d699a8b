"""Group commit, and what happens to locks and reports whose requests or answers are lost."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import BatchFailedError, BatchFailure
from shared.errors import BudgetExceededError, DependencyTimeoutError, DependencyUnavailableError
from shared.tokens.errors import LockNotFoundError
from shared.tokens.limits import LimitsOverride
from shared.tokens.policy import FixedPolicy
from shared.tokens.settings import OnStoreFailure
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import APP, MODEL, TENANT, run_async

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.cosmos.container import BatchOperation
    from shared.tokens.stored_models import Lock

ROOMY = LimitsOverride(tokens_per_minute=1_000_000, requests_per_minute=10_000, concurrency=10_000)


async def locks(bench: Bench, count: int, apps: int = 1) -> list[tuple[str, Lock]]:
    async def one(number: int) -> tuple[str, Lock]:
        app = f"app-{number % apps}"
        return app, await bench.ledger.lock(TENANT, app, 10, MODEL)

    return await asyncio.gather(*(one(number) for number in range(count)))


def test_what_waits_in_one_process_is_one_exchange() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(ROOMY)
        await locks(bench, 1)
        before = bench.store.requests
        taken = await locks(bench, 256)
        assert bench.store.requests <= before + 2
        before = bench.store.requests
        await asyncio.gather(
            *(bench.ledger.report(TENANT, app, lock.lock_id, used(7)) for app, lock in taken),
            *(bench.ledger.report(TENANT, app, lock.lock_id, used(7)) for app, lock in taken),
        )
        assert bench.store.requests <= before + 4
        assert bench.counts("tenant") == (256 * 7 + 10, 257)
        assert [item["requests"] for item in await bench.usage_items()] == [256]

    run_async(scenario())


@pytest.mark.slow
def test_more_scopes_than_one_batch_takes_are_several_batches() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(ROOMY)
        for _ in range(2):
            taken = await locks(bench, 300, apps=150)
            await asyncio.gather(
                *(
                    bench.ledger.report(TENANT, app, lock.lock_id, used(4), user=f"u{number}")
                    for number, (app, lock) in enumerate(taken)
                )
            )
            await asyncio.sleep(100)  # every scope has old seconds then
        assert len({app for app, _ in taken}) == 150
        assert sum(int(str(item["prompt_tokens"])) for item in await bench.usage_items()) == 2 * 300 * 4

    run_async(scenario())


def test_what_does_not_fit_is_refused_and_what_comes_after_it_is_not_held_up() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 15_000, MODEL)
        sizes = (6_000, 3_000, 4_000, 2_000)
        taking = [bench.ledger.lock(TENANT, APP, size, MODEL) for size in sizes]
        found = await asyncio.gather(*taking, return_exceptions=True)
        assert [isinstance(one, BudgetExceededError) for one in found] == [True, False, True, False]

    run_async(scenario())


@pytest.mark.parametrize("interleaving", [0, 1, 5])
def test_a_lock_whose_answer_is_lost_is_charged_once_whoever_comes_between(interleaving: int) -> None:
    async def scenario() -> None:
        bench = Bench()
        _, other = bench.instance()
        for ledger in (bench.ledger, other):
            await ledger.lock(TENANT, APP, 1, MODEL)
        bench.container.answers_to_lose = 2
        taking = asyncio.ensure_future(bench.ledger.lock(TENANT, APP, 500, MODEL))
        for _ in range(interleaving):
            await other.lock(TENANT, APP, 10, MODEL)
        lock = await taking
        assert bench.counts("tenant") == (502 + 10 * interleaving, 3 + interleaving)
        await bench.ledger.release(TENANT, APP, lock.lock_id)
        assert bench.counts("tenant") == (2 + 10 * interleaving, 2 + interleaving)

    run_async(scenario())


def test_a_store_that_refuses_the_exchange_admits_nothing() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)

        def refuse(_: Sequence[BatchOperation]) -> Sequence[BatchOperation]:
            raise BatchFailedError(0, BatchFailure.REFUSED)

        bench.store.tamper = refuse
        with pytest.raises(DependencyUnavailableError):
            await bench.ledger.lock(TENANT, APP, 500, MODEL)
        assert bench.counts("tenant") == (1, 1)

    run_async(scenario())


def test_a_lock_that_nobody_learned_of_is_taken_back_when_the_store_answers_again() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        bench.container.answers_to_lose = 3
        with pytest.raises(DependencyUnavailableError):
            await bench.ledger.lock(TENANT, APP, 19_999, MODEL)
        assert bench.counts("tenant") == (20_000, 2)
        await bench.ledger.lock(TENANT, APP, 19_999, MODEL)
        assert bench.counts("tenant") == (20_000, 2)

    run_async(scenario())


def test_a_lock_that_never_arrived_cannot_arrive_after_it_was_given_up() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        bench.container.down = True
        with pytest.raises(DependencyUnavailableError):
            await bench.ledger.lock(TENANT, APP, 500, MODEL)
        bench.container.down = False
        await bench.ledger.lock(TENANT, APP, 2, MODEL)
        assert bench.counts("tenant") == (3, 2)
        fences = [body for body in bench.items("locks:").values() if body["settled"] == "1"]
        assert len(fences) == 1

    run_async(scenario())


def test_a_lock_that_nobody_learned_of_is_taken_back_though_the_store_fails_again_meanwhile() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        bench.container.answers_to_lose = 3
        with pytest.raises(DependencyUnavailableError):
            await bench.ledger.lock(TENANT, APP, 19_999, MODEL)
        bench.container.down = True
        with pytest.raises(DependencyUnavailableError):
            await bench.ledger.lock(TENANT, APP, 5, MODEL)
        bench.container.down = False
        await bench.ledger.lock(TENANT, APP, 19_999, MODEL)
        assert bench.counts("tenant") == (20_000, 2)

    run_async(scenario())


def test_a_lock_whose_caller_went_away_is_taken_back_though_the_store_fails_meanwhile() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)

        def abandon() -> None:
            taking.cancel()
            bench.container.down = True

        bench.container.when_answered = abandon
        taking = asyncio.ensure_future(bench.ledger.lock(TENANT, APP, 19_999, MODEL))
        with pytest.raises(asyncio.CancelledError):
            await taking
        await asyncio.sleep(5)
        assert bench.counts("tenant") == (20_000, 2)
        bench.container.down, bench.container.when_answered = False, lambda: None
        await bench.ledger.lock(TENANT, APP, 19_999, MODEL)
        assert bench.counts("tenant") == (20_000, 2)

    run_async(scenario())


def test_a_lock_that_is_granted_and_cancelled_in_one_moment_is_given_back() -> None:
    async def scenario() -> None:
        bench = Bench()
        loop = asyncio.get_running_loop()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        ended = set()

        def cancel_after(turns: int, taking: list[asyncio.Future[Lock]]) -> None:
            if turns:
                loop.call_soon(cancel_after, turns - 1, taking)
            else:
                taking[0].cancel()

        for turns in range(8):
            waiting: list[asyncio.Future[Lock]] = []
            bench.container.when_answered = partial(cancel_after, turns, waiting)
            taking = asyncio.ensure_future(bench.ledger.lock(TENANT, APP, 700, MODEL))
            waiting.append(taking)
            try:
                lock = await taking
            except asyncio.CancelledError:
                ended.add("cancelled")
            else:
                ended.add("granted")
                bench.container.when_answered = lambda: None
                await bench.ledger.release(TENANT, APP, lock.lock_id)
            await asyncio.sleep(1)
            assert bench.counts("tenant") == (1, 1), turns
        assert ended == {"cancelled", "granted"}

    run_async(scenario())


def test_a_report_whose_answers_are_lost_is_counted_once_whoever_asks_again() -> None:
    async def scenario() -> None:
        bench = Bench()
        _, other = bench.instance()
        lock = await bench.ledger.lock(TENANT, APP, 500, MODEL)
        bench.container.answers_to_lose = 3
        with pytest.raises(DependencyUnavailableError):
            await bench.ledger.report(TENANT, APP, lock.lock_id, used(200))
        await other.report(TENANT, APP, lock.lock_id, used(200))
        await bench.ledger.release(TENANT, APP, lock.lock_id)
        assert bench.counts("tenant") == (200, 1)
        assert [item["prompt_tokens"] for item in await bench.usage_items()] == [200]

    run_async(scenario())


def test_reports_of_one_group_from_several_instances_are_all_counted() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.limit(ROOMY)
        instances = [bench.ledger, *(bench.instance()[1] for _ in range(3))]
        taken = await locks(bench, 40)
        assert len(bench.items("locks:")) == 1
        reports = [
            instances[(number + extra) % 4].report(TENANT, app, lock.lock_id, used(3))
            for number, (app, lock) in enumerate(taken)
            for extra in (0, 1)
        ]
        await asyncio.gather(*reports)
        assert bench.counts("tenant") == (120, 40)
        assert [item["requests"] for item in await bench.usage_items()] == [40]

    run_async(scenario())


def test_while_the_store_is_down_the_open_setting_admits_and_counts_with_the_report() -> None:
    async def scenario() -> None:
        bench = Bench(policy=FixedPolicy(on_store_failure=OnStoreFailure.OPEN))
        bench.container.down = True
        reported, released, _ = [await bench.ledger.lock(TENANT, APP, 500, MODEL) for _ in range(3)]
        with pytest.raises(DependencyUnavailableError):
            await bench.ledger.report(TENANT, APP, reported.lock_id, used(100))
        bench.container.down = False
        for _ in range(2):
            await bench.ledger.report(TENANT, APP, reported.lock_id, used(100))
            await bench.ledger.release(TENANT, APP, released.lock_id)
        assert bench.counts("tenant") == (100, 1)
        assert [item["prompt_tokens"] for item in await bench.usage_items()] == [100]

    run_async(scenario())


def test_a_store_that_hangs_has_failed_too() -> None:
    async def scenario() -> None:
        bench = Bench(policy=FixedPolicy(on_store_failure=OnStoreFailure.OPEN))
        closed = Bench()
        bench.container.hangs = closed.container.hangs = True
        lock = await bench.ledger.lock(TENANT, APP, 500, MODEL)
        with pytest.raises(DependencyTimeoutError):
            await closed.ledger.lock(TENANT, APP, 500, MODEL)
        bench.container.hangs = False
        await bench.ledger.report(TENANT, APP, lock.lock_id, used(100))
        assert bench.counts("tenant") == (100, 1)

    run_async(scenario())


def test_a_lock_that_was_not_counted_is_no_open_one_after_its_report() -> None:
    async def scenario() -> None:
        bench = Bench(policy=FixedPolicy(on_store_failure=OnStoreFailure.OPEN))
        await bench.limit(LimitsOverride(concurrency=1))
        bench.container.down = True
        lock = await bench.ledger.lock(TENANT, APP, 500, MODEL)
        bench.container.down = False
        await bench.ledger.report(TENANT, APP, lock.lock_id, used(100))
        status = await bench.ledger.status(TENANT, APP)
        assert (status.used_requests, status.locked_requests, status.locked_tokens) == (1, 0, 0)
        await bench.ledger.lock(TENANT, APP, 10, MODEL)

    run_async(scenario())


def test_a_lock_whose_group_is_gone_is_unknown() -> None:
    async def scenario() -> None:
        bench = Bench()
        lock = await bench.ledger.lock(TENANT, APP, 500, MODEL)
        (group,) = bench.items("locks:")
        bench.store.forget((TENANT.tenant_id,), group)
        for ledger in (bench.ledger, bench.instance()[1]):
            with pytest.raises(LockNotFoundError):
                await ledger.report(TENANT, APP, lock.lock_id, used(1))
        assert bench.counts("tenant") == (500, 1)
        assert await bench.usage_items() == []

    run_async(scenario())


def test_a_lock_is_given_back_however_its_caller_goes_away() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.ledger.lock(TENANT, APP, 1, MODEL)
        for steps in range(30):
            taking = asyncio.ensure_future(bench.ledger.lock(TENANT, APP, 700, MODEL))
            for _ in range(steps):
                await asyncio.sleep(0.0005)
            if not taking.done():
                taking.cancel()
            try:
                lock = await taking
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            else:
                await bench.ledger.release(TENANT, APP, lock.lock_id)
            assert bench.counts("tenant") == (1, 1), steps

    run_async(scenario())
