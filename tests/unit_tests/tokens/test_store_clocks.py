"""The store's time: one clock per physical partition, for all tenants that are there."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from shared.errors import BudgetExceededError
from shared.tokens.ledger import TokenLedger
from shared.tokens.limits import LimitsOverride, LimitStore
from shared.tokens.lock_ids import LockIds
from shared.tokens.store_clock import SKEW_SECONDS, StoreClock, StoreClocks
from tests.support.fakes import FakeClock, tenant_context
from tests.support.ledger_checker import Admission, find_excess, mean_tokens
from tests.support.ledger_simulation import SECRET, pause, run_async
from tests.support.memory_cosmos import memory_cosmos
from tests.support.simulated_cosmos import ProcessClock, SimulatedContainer, SimulatedStore
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from shared.cosmos.container import Key
    from shared.tenancy.context import TenantContext
    from tests.support.memory_cosmos import MemoryCosmos

pytestmark = sized(120)

APP, MODEL = "app", "gpt-4o"
TENANTS = [tenant_context(f"tenant-{number}") for number in range(6 if SOAK else 3)]
LIMIT_TOKENS, MANY = 2_000, 100_000
INSTANCES = 3 if SOAK else 2
SECONDS = 300.0 if SOAK else 122.0
SPLIT_AT = 61.0
TOKENS = (5, 60) if SOAK else (10, 90)
PAUSE_SECONDS = (0.01, 0.1) if SOAK else (0.05, 0.35)


def half_of(key: Key) -> str:
    """Place every other tenant in another physical partition."""
    return str(int(key[0].rpartition("-")[2]) % 2)


class Town:
    """Tenants on one store, each short of tokens, served by instances that come and go."""

    def __init__(self, store: SimulatedStore, seed: int = 1) -> None:
        self.store = store
        self.chance = random.Random(seed)  # noqa: S311  # repeats the same run
        self.logs: dict[str, list[Admission]] = {tenant.tenant_id: [] for tenant in TENANTS}

    def run(self) -> Town:
        """Let it live."""
        run_async(self._run())
        return self

    @property
    def excess(self) -> int:
        """Count the windows of any tenant that hold too much."""
        return sum(len(find_excess(log, LIMIT_TOKENS, MANY)) for log in self.logs.values())

    @property
    def handed_out(self) -> float:
        """Return which part of the limits was in use."""
        means = [mean_tokens(log, 60, SECONDS) for log in self.logs.values()]
        return sum(means) / len(means) / LIMIT_TOKENS

    async def _run(self) -> None:
        limits = LimitsOverride(tokens_per_minute=LIMIT_TOKENS, requests_per_minute=MANY, concurrency=MANY)
        for tenant in TENANTS:
            await LimitStore(SimulatedContainer(self.store, self.chance)).put(tenant, limits)
        await asyncio.gather(*(self._instances() for _ in range(INSTANCES)))

    async def _instances(self) -> None:
        """Be one instance after another."""
        loop = asyncio.get_running_loop()
        while loop.time() < SECONDS:
            clock = ProcessClock(self.chance.uniform(0, 1e6), 1 + self.chance.uniform(-1e-4, 1e-4))
            ledger = TokenLedger(SimulatedContainer(self.store, self.chance), LockIds([SECRET]), clock)
            until = loop.time() + self.chance.uniform(5, 25)
            asks = dict.fromkeys(TENANTS, loop.time())
            while loop.time() < until:
                ready = [tenant for tenant, at in asks.items() if at <= loop.time()]
                if ready:
                    tenant = self.chance.choice(ready)
                    asks[tenant] = loop.time() + await self._once(ledger, tenant)
                else:
                    await asyncio.sleep(min(asks.values()) - loop.time() + 0.001)

    async def _once(self, ledger: TokenLedger, tenant: TenantContext) -> float:
        """Ask for a lock; return after how many seconds to ask again."""
        tokens = self.chance.randint(*TOKENS)
        try:
            await ledger.lock(tenant, APP, tokens, MODEL)
        except BudgetExceededError as refused:
            return pause(self.chance, refused, *PAUSE_SECONDS)
        self.logs[tenant.tenant_id].append(Admission(asyncio.get_running_loop().time(), tokens))
        return 0.0


def apart(seconds: float) -> dict[Key, float]:
    """Put the clocks of the two physical partitions apart."""
    return {(tenant.tenant_id,): seconds * (half_of((tenant.tenant_id,)) == "1") for tenant in TENANTS}


@pytest.mark.parametrize("seconds", [0.5, 2.3, -3_600.0])
def test_no_window_is_over_where_the_clocks_of_physical_partitions_differ(seconds: float) -> None:
    town = Town(SimulatedStore(place=half_of, ahead=apart(seconds))).run()
    assert town.excess == 0
    assert town.handed_out > 0.94


def test_the_checker_finds_a_ledger_that_takes_two_clocks_for_one() -> None:
    towns = (Town(SimulatedStore(place=lambda _: "0", ahead=apart(2.3)), seed) for seed in range(2, 9))
    assert any(town.run().excess for town in towns)


def test_no_window_is_over_when_a_physical_partition_is_split() -> None:
    store = SimulatedStore(ahead=apart(SKEW_SECONDS))
    store.place = lambda key: half_of(key) if asyncio.get_running_loop().time() > SPLIT_AT else "before"
    town = Town(store).run()
    assert town.excess == 0
    assert town.handed_out > 0.94


def test_no_window_is_over_where_answers_do_not_tell_their_physical_partition() -> None:
    assert Town(SimulatedStore(ahead=apart(1.7))).run().excess == 0


async def requests_of_a_lock(cosmos: MemoryCosmos, ledger: TokenLedger, number: int) -> int:
    """Count the requests of a lock."""
    before = cosmos.transport.requests
    await ledger.lock(TENANTS[number], APP, 1, MODEL)
    return cosmos.transport.requests - before


async def test_a_tenant_that_is_new_to_a_process_tells_where_it_is_and_so_what_time_it_is() -> None:
    async with memory_cosmos(FakeClock()) as cosmos:

        def instance() -> TokenLedger:
            return TokenLedger(cosmos.container("ledger"), LockIds([SECRET]), FakeClock())

        for number in range(len(TENANTS)):
            await instance().lock(TENANTS[number], APP, 1, MODEL)
        scopes, clock, batch = 3, 1, 1
        ledger = instance()
        assert await requests_of_a_lock(cosmos, ledger, 0) == scopes + clock + batch
        assert await requests_of_a_lock(cosmos, ledger, 1) == scopes + batch
        assert await requests_of_a_lock(cosmos, ledger, 1) == batch

        cosmos.split("ledger", [(tenant.tenant_id,) for tenant in TENANTS], parts=len(TENANTS))
        assert await requests_of_a_lock(cosmos, ledger, 2) == scopes + clock + batch


def told(*answers: tuple[int, float, float]) -> StoreClock:
    """Return a clock that has learned from answers: the store's second, sent and received."""
    clock = StoreClock()
    for second, sent, received in answers:
        clock.observe(second, sent, received)
    return clock


def test_a_second_is_told_within_a_tenth_of_the_replicas_and_the_time_that_the_answer_took() -> None:
    clock = told((1_000, 10.0, 10.2))
    assert clock.earliest(10.2) == pytest.approx(999.9)
    assert clock.latest(10.2) == pytest.approx(1_001.3)


def test_clocks_drift_apart_by_two_ten_thousandths() -> None:
    clock = told((1_000, 10.0, 10.2))
    assert clock.earliest(1_010.2) == pytest.approx(1_999.7)
    assert clock.latest(1_010.2) == pytest.approx(2_001.5)


def test_each_answer_narrows_the_bounds() -> None:
    clock = told((1_000, 10.0, 10.0), (1_001, 10.2, 10.2))
    assert clock.earliest(10.2) == pytest.approx(1_000.9)
    assert clock.latest(10.2) == pytest.approx(1_001.3, abs=1e-3)


def test_bounds_have_drifted_by_the_time_that_the_next_answer_narrows_them() -> None:
    clock = told((1_000, 10.0, 10.0), (2_001, 1_010.0, 1_010.0))
    assert clock.earliest(1_010.0) == pytest.approx(2_000.9)
    assert clock.latest(1_010.0) == pytest.approx(2_001.3)


@pytest.mark.parametrize(("received", "is_precise"), [(10.79, True), (10.81, False)])
def test_bounds_of_more_than_two_seconds_are_renewed(received: float, *, is_precise: bool) -> None:
    assert told((1_000, 10.0, received)).is_precise(received) is is_precise


def test_bounds_widen_until_they_are_renewed() -> None:
    clock = told((1_000, 10.0, 10.0))
    assert clock.is_precise(10.0 + 1_999)
    assert not clock.is_precise(10.0 + 2_001)


@pytest.mark.parametrize("jump", [-4_000, 4_000])
def test_a_jump_is_believed_when_a_second_answer_confirms_it(jump: int) -> None:
    clock = told((10_000, 10.0, 10.0), (10_001 + jump, 11.0, 11.0))
    assert clock.earliest(11.0) == pytest.approx(10_000.9 + min(jump, 0), abs=1e-3)
    assert clock.latest(11.0) == pytest.approx(10_002.1 + max(jump, 0), abs=1e-3)
    assert not clock.is_precise(11.0)
    clock.observe(10_002 + jump, 12.0, 12.0)
    assert clock.earliest(12.0) == pytest.approx(10_001.9 + jump, abs=1e-3)
    assert clock.latest(12.0) == pytest.approx(10_003.1 + jump, abs=1e-3)


def test_each_physical_partition_has_one_clock() -> None:
    clocks = StoreClocks(StoreClock)
    clocks.of("0").observe(1_800_000_000, 10.0, 10.01)
    assert clocks.of("0").is_precise(10.02)
    assert not clocks.of("1").is_precise(10.02)
