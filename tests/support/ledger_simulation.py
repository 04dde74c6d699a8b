"""Several processes on one budget, with everything going wrong, on simulated time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shared.contracts import Usage
from shared.errors import BudgetExceededError, DependencyUnavailableError
from shared.tokens.counters import TENANT_COUNTER
from shared.tokens.ledger import LedgerHooks, TokenLedger
from shared.tokens.limits import LimitsOverride, LimitStore
from shared.tokens.lock_ids import LockIds
from shared.tokens.policy import FIXED
from shared.tokens.store_clock import StoreClock
from tests.support.fakes import tenant_context
from tests.support.ledger_checker import Admission
from tests.support.simulated_cosmos import (
    NO_FAULTS,
    Faults,
    KilledError,
    ProcessClock,
    SimulatedContainer,
    SimulatedLoop,
    SimulatedStore,
)
from tests.support.soak import SOAK

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

TENANT = tenant_context("acme")
APP = "app"
MODEL = "gpt-4o"
LIMITS = LimitsOverride(tokens_per_minute=20_000, requests_per_minute=60, concurrency=1_000)
LIMIT_TOKENS, LIMIT_REQUESTS = 20_000, 60
LONGEST_PAUSE_SECONDS = 0.0 if SOAK else 4.0
MARGIN_SECONDS = 4.5
"""By so much a refusal may be later than the moment at which its lock fits: bounds of two clocks."""

SECRET = "a secret of 16 or more"  # noqa: S105  # signs the simulation's lock ids


@dataclass(frozen=True)
class Plan:
    """What a simulation does."""

    seconds: float = 240.0
    processes: int = 3
    tasks: int = 4
    tokens: tuple[int, int] = (20, 2_500)
    faults: Faults = NO_FAULTS
    kill_every: float | None = None
    cancel: float = 0.0
    outage_every: float | None = None
    settles: bool = True


@dataclass
class Process:
    """One instance of the app."""

    container: SimulatedContainer
    ledger: TokenLedger
    tasks: list[asyncio.Task[None]]


@dataclass
class Simulation:
    """Runs a plan from a seed and keeps the log that the checker reads."""

    seed: int
    plan: Plan
    store: SimulatedStore = field(default_factory=SimulatedStore)
    store_clock: Callable[[ProcessClock], StoreClock] = lambda _: StoreClock()
    log: list[Admission] = field(default_factory=list)
    acknowledged: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    attempted: int = 0

    def run(self) -> Simulation:
        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            runner.run(self._run())
        return self

    async def _run(self) -> None:
        chance = random.Random(self.seed)  # noqa: S311  # repeats the same run
        await LimitStore(SimulatedContainer(self.store, chance)).put(TENANT, LIMITS)
        running = [self._start(chance) for _ in range(self.plan.processes)]
        dead: list[Process] = []
        ends = self.plan.seconds
        while (now := asyncio.get_running_loop().time()) < ends:
            await asyncio.sleep(min(self.plan.kill_every or ends, ends - now))
            if self.plan.kill_every is not None:
                victim = running.pop(0)
                victim.container.dead = True
                dead.append(victim)
                running.append(self._start(chance))
        for process in running + dead:
            process.container.dead = True
            for task in process.tasks:
                task.cancel()
            await asyncio.gather(*process.tasks, return_exceptions=True)
        await self._report_again(chance)

    async def _report_again(self, chance: random.Random) -> None:
        """Repeat every report, as its caller would, while requests of the dead are still arriving."""
        self.plan = replace(self.plan, faults=NO_FAULTS)
        _, ledger = self.process(chance)
        for lock_id, used in self.sent.items():
            await ledger.report(TENANT, APP, lock_id, Usage(prompt_tokens=used, completion_tokens=0))
        await asyncio.sleep(30)

    def process(self, chance: random.Random) -> tuple[SimulatedContainer, TokenLedger]:
        clock = ProcessClock(
            began=chance.uniform(0, 1e6),
            rate=1 + chance.uniform(-1e-4, 1e-4),
            wall_error=chance.uniform(-2, 2),
        )
        container = SimulatedContainer(self.store, chance, self.plan.faults)
        hooks = LedgerHooks(store_clock=lambda: self.store_clock(clock))
        ledger = TokenLedger(container, LockIds([SECRET]), clock, FIXED, hooks)
        return container, ledger

    def _start(self, chance: random.Random) -> Process:
        container, ledger = self.process(chance)
        process = Process(container, ledger, [])
        for _ in range(self.plan.tasks):
            process.tasks.append(asyncio.ensure_future(self._work(process, chance)))
        if self.plan.outage_every is not None:
            process.tasks.append(
                asyncio.ensure_future(self._outages(process, self.plan.outage_every, chance))
            )
        return process

    async def _work(self, process: Process, chance: random.Random) -> None:
        while not process.container.dead:
            try:
                await self._once(process, chance)
            except BudgetExceededError as refused:
                await asyncio.sleep(pause(chance, refused, 0.05, 0.6))
            except DependencyUnavailableError:
                await asyncio.sleep(chance.uniform(0.1, 1))
            except KilledError:
                return

    async def _outages(self, process: Process, every: float, chance: random.Random) -> None:
        while True:
            await asyncio.sleep(chance.uniform(0, 2 * every))
            process.container.down = True
            await asyncio.sleep(chance.uniform(0, 2))
            process.container.down = False

    async def _once(self, process: Process, chance: random.Random) -> None:
        tokens = chance.randint(*self.plan.tokens)
        self.attempted += 1
        taking = asyncio.ensure_future(process.ledger.lock(TENANT, APP, tokens, MODEL))
        if chance.random() < self.plan.cancel:
            await asyncio.sleep(chance.uniform(0, 0.01))
            taking.cancel()
        try:
            lock = await taking
        except asyncio.CancelledError:
            if process.container.dead:
                raise
            return
        if process.container.dead:
            raise KilledError
        loop = asyncio.get_running_loop()
        admission = Admission(loop.time(), tokens)
        self.log.append(admission)
        if not self.plan.settles:
            return
        await asyncio.sleep(chance.choice((0.01, 0.5, 5.0, 70.0)) * chance.random())
        await self._settle(process, admission, lock.lock_id, chance)

    async def _settle(
        self, process: Process, admission: Admission, lock_id: str, chance: random.Random
    ) -> None:
        kind = chance.choice(("report", "report", "report twice", "release", "never"))
        admission.used = chance.randint(0, admission.tokens + admission.tokens // 4)
        if kind == "never" or process.container.dead:
            return
        admission.settled_at = asyncio.get_running_loop().time()
        if kind == "release":
            admission.released, admission.used = True, 0
            await process.ledger.release(TENANT, APP, lock_id)
            return
        usage = Usage(prompt_tokens=admission.used, completion_tokens=0)
        self.sent[lock_id] = admission.used
        await process.ledger.report(TENANT, APP, lock_id, usage)
        self.acknowledged += admission.used
        if kind == "report twice":
            await process.ledger.report(TENANT, APP, lock_id, usage)

    def used_in_store(self) -> int:
        """Sum the usage items."""
        items = self.store.items((TENANT.tenant_id,), "usage:")
        return sum(int(str(body["prompt_tokens"])) for body in items.values())

    def scope(self) -> dict[str, object]:
        """Return the tenant's scope as it is stored."""
        return self.store.items((TENANT.tenant_id,))[TENANT_COUNTER]

    def check_the_sums(self) -> None:
        """Demand of every scope that its totals are the sums of its buckets, and nothing is below zero."""
        for name, scope in self.store.items((TENANT.tenant_id,), "scope:").items():
            buckets = scope["b"]
            assert isinstance(buckets, dict)
            for total, part in (("tokens", "t"), ("requests", "r"), ("used", "u"), ("done", "q")):
                counts = [bucket[part] for bucket in buckets.values()]
                assert scope[total] == sum(counts), (name, total)
                assert all(count >= 0 for count in counts), (name, total)


def pause(chance: random.Random, refused: BudgetExceededError, least: float, most: float) -> float:
    """Draw the seconds until the next attempt: short about the time at which it should succeed.

    A broken ledger may admit in between, too: no wait is longer than a few seconds.
    """
    still = min(LONGEST_PAUSE_SECONDS, max(0.0, (refused.retry_after or 0.0) - MARGIN_SECONDS))
    return chance.uniform(least, most) + still * chance.random()


def run_async[T](work: Coroutine[object, object, T]) -> T:
    """Run a test on simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work)
