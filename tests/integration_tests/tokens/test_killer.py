"""The budgets while processes are killed: four of them with 64 tasks each, on one budget and on fifty.

Small by default; with TENANTRY_SOAK=1 at the size that the claim names. Each run prints its figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import multiprocessing
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from local.supervisor.addresses import COSMOS_KEY
from shared.contracts import Usage
from shared.cosmos.sdk import SdkContainer, classify, open_client
from shared.resilience.dependency import Dependency
from shared.tokens.limits import LimitsOverride, LimitStore
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.integration_tests.tokens import worker
from tests.integration_tests.tokens.worker import Orders, WrongClock, ledger_over
from tests.support.fakes import tenant_context
from tests.support.ledger_checker import Admission, find_excess, mean_debt_tokens, mean_tokens
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from multiprocessing.process import BaseProcess
    from pathlib import Path

PROCESSES, TASKS = 4, 64
SETTLE_SECONDS = 65.0
"""A window and what an answer may take: from then on, what is locked has replaced what was locked first."""
LONGEST_EXTENSION_SECONDS = 30.0
FORGETTING = "forgetting 0.02" if SOAK else "forgetting 0.1"
"""A short run admits in a few dozen batches only: 2 % of them may be none."""


@dataclass(frozen=True)
class Run:
    """One run of the test."""

    seconds: float
    tenants: int
    limit: int
    tokens: tuple[int, int]
    kill_every: float = 3.0
    broken: str = ""


@dataclass
class Outcome:
    """What the logs of all workers say."""

    began: float
    ended: float
    admissions: dict[str, Admission] = field(default_factory=dict)
    tenants: dict[str, tuple[int, str]] = field(default_factory=dict)
    reports: dict[str, int] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    failures: int = 0
    kills: int = 0

    def of(self, tenant: int) -> list[Admission]:
        """Return one tenant's admissions."""
        found = [lock_id for lock_id, (number, _) in self.tenants.items() if number == tenant]
        return [self.admissions[lock_id] for lock_id in found]

    def read(self, line: str) -> None:
        """Take in what one worker wrote."""
        at, what, *facts = json.loads(line)
        match what:
            case "lock":
                number, app, lock_id, tokens = facts
                assert lock_id not in self.admissions
                self.admissions[lock_id] = Admission(at, tokens)
                self.tenants[lock_id] = (number, app)
            case "report":
                lock_id, used = facts
                self.reports[lock_id] = used
                self.admissions[lock_id].settled_at, self.admissions[lock_id].used = at, used
            case "acknowledged":
                self.acknowledged.add(facts[0])
            case "failed":
                self.failures += 1


class Herd:
    """The running workers, forked from a process that has imported what they need: they start at once."""

    def __init__(self, run: Run, address: str, logs: Path) -> None:
        self._run = run
        self._address = address
        self._logs = logs
        self._chance = random.Random(1)  # noqa: S311  # the same load each time
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([worker.__name__])
        self._started = 0
        self._running: list[BaseProcess] = []

    def start(self) -> None:
        """Start one more, with a log and a wrong wall clock of its own."""
        number, run = self._started, self._run
        self._started += 1
        log = str(self._logs / f"{number}.jsonl")
        error = (-2.0, 2.0, self._chance.uniform(-2, 2))[number % 3]
        orders = Orders(self._address, log, number, TASKS, run.tenants, run.tokens, error, run.broken)
        process = self._context.Process(target=worker.run, args=(orders,), daemon=True)
        process.start()
        self._running.append(process)

    @property
    def kills(self) -> int:
        """Return how many were killed and replaced."""
        return self._started - PROCESSES

    def replace_the_oldest(self) -> None:
        """End it with -9, and start another."""
        self._kill(self._running.pop(0))
        self.start()

    def kill_all(self) -> None:
        """End what is left."""
        while self._running:
            self._kill(self._running.pop())

    def _kill(self, victim: BaseProcess) -> None:
        victim.kill()
        victim.join()

    def has_begun(self) -> bool:
        """Tell whether every worker that was started has admitted a lock, or tried to."""
        logs = list(self._logs.glob("*.jsonl"))
        return len(logs) == self._started and all(log.stat().st_size for log in logs)

    def outcome(self, began: float) -> Outcome:
        """Read what all of them wrote so far."""
        outcome = Outcome(began, time.monotonic(), kills=self.kills)
        for log in sorted(self._logs.glob("*.jsonl")):
            for line in log.read_text().splitlines():
                outcome.read(line)
        return outcome


async def unleash(run: Run, address: str, logs: Path, enough: Callable[[Outcome], bool]) -> Outcome:
    """Let workers run, kill one with -9 again and again and replace it, and read what they wrote.

    A short run on a busy machine goes on until it has seen enough.
    """
    herd = Herd(run, address, logs)
    try:
        for _ in range(PROCESSES):
            herd.start()
        async with asyncio.timeout(60):
            while not herd.has_begun():  # noqa: ASYNC110  # other processes write: there is nothing to await
                await asyncio.sleep(0.05)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < run.seconds + LONGEST_EXTENSION_SECONDS:
            if passed >= run.seconds and (SOAK or enough(herd.outcome(began))):
                break
            await asyncio.sleep(0.5)
            if passed >= run.kill_every * (1 + herd.kills):
                herd.replace_the_oldest()
        ended = herd.outcome(began).ended
    finally:
        herd.kill_all()
    return dataclasses.replace(herd.outcome(began), ended=ended)


@contextlib.asynccontextmanager
async def container_at(address: str) -> AsyncIterator[SdkContainer]:
    """Open the ledger's container."""
    async with open_client(address, COSMOS_KEY) as client:
        proxy = client.get_database_client("tenantry").get_container_client("ledger")
        yield SdkContainer(proxy, Dependency("Cosmos DB", classify))


async def set_limits(run: Run, address: str) -> None:
    """Give each budget its limit."""
    most = 1_000_000
    limits = LimitsOverride(
        tokens_per_minute=run.limit, requests_per_minute=most, concurrency=most, tokens_per_day=most * 1000
    )
    async with container_at(address) as container:
        for number in range(run.tenants):
            await LimitStore(container).put(tenant_context(f"tenant-{number}"), limits)


async def used_in_store(run: Run, address: str) -> dict[int, int]:
    """Sum the usage items of each tenant."""
    text = "SELECT c.prompt_tokens FROM c WHERE STARTSWITH(c.id, 'usage:')"
    found: dict[int, int] = {}
    async with open_client(address, COSMOS_KEY) as client:
        proxy = client.get_database_client("tenantry").get_container_client("ledger")
        for number in range(run.tenants):
            rows = proxy.query_items(text, partition_key=f"tenant-{number}")
            found[number] = sum([int(row["prompt_tokens"]) async for row in rows])
    return found


async def report_again(outcome: Outcome, address: str) -> None:
    """Repeat, after the end, what was reported and not acknowledged: as its caller would."""
    chance = random.Random(2)  # noqa: S311  # decides nothing here
    async with open_client(address, COSMOS_KEY) as client:
        ledger = ledger_over(client, WrongClock(0.0), "", chance)
        for lock_id in outcome.reports.keys() - outcome.acknowledged:
            number, app = outcome.tenants[lock_id]
            usage = Usage(prompt_tokens=outcome.reports[lock_id], completion_tokens=0)
            await ledger.report(tenant_context(f"tenant-{number}"), app, lock_id, usage)


def excess(run: Run, outcome: Outcome) -> int:
    """Count the admissions after which a window of 60 seconds held too much."""
    return sum(len(find_excess(outcome.of(number), run.limit, 1_000_000)) for number in range(run.tenants))


@dataclass(frozen=True)
class HandedOut:
    """Which part of the limits was in use, on the average of the time after the start.

    Attributes:
        locks: By locks, at their size or at what was reported for them.
        debts: By what was used beyond its lock, and reported.
    """

    locks: float
    debts: float

    @property
    def share(self) -> float:
        """Return both: what is used is handed out, whether it was locked first or not."""
        return self.locks + self.debts


def handed_out(run: Run, outcome: Outcome) -> HandedOut:
    """Sum up what was in use of all budgets."""
    since, until = outcome.began + min(SETTLE_SECONDS, 0.7 * (outcome.ended - outcome.began)), outcome.ended
    locks = [mean_tokens(outcome.of(number), since, until) for number in range(run.tenants)]
    stored = [outcome.admissions[lock_id] for lock_id in outcome.acknowledged]
    limits = run.tenants * run.limit
    return HandedOut(sum(locks) / limits, mean_debt_tokens(stored, since, until) / limits)


def sums(outcome: Outcome, lock_ids: set[str]) -> dict[int, int]:
    """Sum reports by tenant."""
    found: dict[int, int] = defaultdict(int)
    for lock_id in lock_ids:
        found[outcome.tenants[lock_id][0]] += outcome.reports[lock_id]
    return found


ONE_BUDGET = Run(180.0 if SOAK else 6.0, 1, 120_000 if SOAK else 6_000, (10, 100))
# Of every four tasks one soon holds its lock for the rest of its life: to be short of tokens, fifty budgets
# need large locks among the small ones that fill what is left.
MANY_BUDGETS = Run(
    180.0 if SOAK else 4.0,
    50 if SOAK else 3,
    3_000 if SOAK else 2_000,
    (5, 300) if SOAK else (5, 40),
)

SIZE = sized(120)


@SIZE
@pytest.mark.timeout(600)
@pytest.mark.parametrize("run", [ONE_BUDGET, MANY_BUDGETS], ids=["one-budget", "many-budgets"])
async def test_no_window_is_over_while_processes_are_killed(run: Run, tmp_path: Path) -> None:
    with running_endpoint(tmp_path / "store") as endpoint:
        (tmp_path / "logs").mkdir()
        await set_limits(run, endpoint.address)
        outcome = await unleash(
            run, endpoint.address, tmp_path / "logs", lambda seen: handed_out(run, seen).share >= 0.95
        )
        stored = await used_in_store(run, endpoint.address)
        await report_again(outcome, endpoint.address)
        after = await used_in_store(run, endpoint.address)
    over, handed = excess(run, outcome), handed_out(run, outcome)
    sent, acknowledged = set(outcome.reports), outcome.acknowledged
    print(  # noqa: T201  # the figures are what the test is for
        f"\n{run.tenants} budgets, {PROCESSES} x {TASKS} tasks, {run.seconds:.0f} s: "
        f"{len(outcome.admissions)} admissions, {outcome.kills} kills, {outcome.failures} failed calls; "
        f"{over} windows over; {handed.share:.1%} handed out, {handed.debts:.1%} of it beyond a lock; "
        f"{len(sent)} reports, "
        f"{len(acknowledged)} acknowledged; used {sum(after.values())}, "
        f"reported {sum(outcome.reports.values())}"
    )
    assert over == 0
    assert handed.share >= 0.95
    for number in range(run.tenants):
        at_least, at_most = sums(outcome, acknowledged)[number], sums(outcome, sent)[number]
        assert at_least <= stored[number] <= at_most
        assert after[number] == at_most


@SIZE
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("broken", "seconds"), [(FORGETTING, 100.0 if SOAK else 5.0), ("eager", 100.0), ("wall", 100.0)]
)
async def test_the_checker_finds_a_broken_ledger(broken: str, seconds: float, tmp_path: Path) -> None:
    if seconds > 10 and not SOAK:
        pytest.skip("what is freed too early shows after a minute; the simulation has it in the default run")
    run = Run(seconds, 1, ONE_BUDGET.limit, ONE_BUDGET.tokens, broken=broken)
    with running_endpoint(tmp_path / "store") as endpoint:
        (tmp_path / "logs").mkdir()
        await set_limits(run, endpoint.address)
        outcome = await unleash(run, endpoint.address, tmp_path / "logs", lambda seen: excess(run, seen) > 0)
    found = excess(run, outcome)
    print(f"\nbroken by {broken}: {len(outcome.admissions)} admissions, {found} over")  # noqa: T201  # same
    assert found > 0
