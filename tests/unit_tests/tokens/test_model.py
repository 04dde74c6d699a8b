"""The ledger against a model that is a list: in whatever order, it admits what the list admits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BudgetExceededError
from shared.tokens.limits import LimitsOverride
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import APP, MODEL, TENANT, run_async
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from shared.tokens.stored_models import Lock

pytestmark = sized(120)

LIMIT_TOKENS, LIMIT_REQUESTS, INSTANCES = 1_000, 8, 3
LATEST_SECONDS = 66.0
"""A lock's second is up to 4 s after its admission, and is known to have fallen out up to 2 s late."""

type Step = tuple[str, int, int]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lock"), st.integers(0, INSTANCES - 1), st.integers(1, LIMIT_TOKENS)),
        st.tuples(st.just("lock"), st.integers(0, INSTANCES - 1), st.integers(1, 60)),
        st.tuples(st.just("report"), st.integers(0, 9), st.integers(0, 300)),
        st.tuples(st.just("release"), st.integers(0, 9), st.integers(0, INSTANCES - 1)),
        st.tuples(st.just("wait"), st.sampled_from((0, 1, 3, 20, 56, 59, 60, 62, 64)), st.integers(0, 999)),
        st.tuples(st.just("lose"), st.integers(1, 4), st.integers(0, INSTANCES - 1)),
    ),
    min_size=5,
    max_size=60,
)


@dataclass
class Entry:
    """A lock that was given, at its size or at what came in its place."""

    lock: Lock
    at: float
    tokens: int
    requests: int = 1
    settled: bool = False


@dataclass
class Model:
    """What should count: a list of locks, and one of the use beyond them."""

    entries: list[Entry] = field(default_factory=list)
    debts: list[tuple[float, int]] = field(default_factory=list)
    used: int = 0

    def sums(self, now: float, seconds: float) -> tuple[int, int]:
        """Sum what was admitted within the last seconds."""
        counting = [entry for entry in self.entries if entry.at > now - seconds]
        return sum(entry.tokens for entry in counting), sum(entry.requests for entry in counting)

    def owed(self, now: float) -> int:
        """Sum the use beyond locks that may still count."""
        return sum(tokens for at, tokens in self.debts if at > now - LATEST_SECONDS)


class Run:
    """Does the steps to the ledger and to the model."""

    def __init__(self) -> None:
        self.bench = Bench()
        ways = [self.bench.instance() for _ in range(INSTANCES)]
        self.containers = [container for container, _ in ways]
        self.ledgers = [ledger for _, ledger in ways]
        self.model = Model()

    async def all(self, steps: list[Step]) -> None:
        """Do the steps, then compare what is stored."""
        limits = LimitsOverride(
            tokens_per_minute=LIMIT_TOKENS, requests_per_minute=LIMIT_REQUESTS, concurrency=1_000
        )
        await self.bench.limit(limits)
        for kind, first, second in steps:
            match kind:
                case "lock":
                    await self.lock(first, second)
                case "report":
                    await self.report(first, second)
                case "release":
                    await self.release(first, second)
                case "wait":
                    await asyncio.sleep(first + second / 1000)
                case "lose":
                    self.containers[second].answers_to_lose = first % 3
        self.compare()

    async def lock(self, instance: int, tokens: int) -> None:
        model, now = self.model, asyncio.get_running_loop().time
        began = now()
        try:
            lock = await self.ledgers[instance].lock(TENANT, APP, tokens, MODEL)
        except BudgetExceededError:
            held, requests = model.sums(began, LATEST_SECONDS)
            assert held + model.owed(began) + tokens > LIMIT_TOKENS or requests + 1 > LIMIT_REQUESTS
            return
        model.entries.append(Entry(lock, now(), tokens))
        held, requests = model.sums(now(), 60.0)
        assert held <= LIMIT_TOKENS
        assert requests <= LIMIT_REQUESTS

    async def report(self, number: int, tokens: int) -> None:
        if not self.model.entries:
            return
        entry = self.model.entries[-1 - number % len(self.model.entries)]
        ledger = self.ledgers[number % INSTANCES]
        await ledger.report(TENANT, APP, entry.lock.lock_id, used(tokens))
        if entry.settled:
            return
        if tokens > entry.tokens:
            self.model.debts.append((asyncio.get_running_loop().time(), tokens - entry.tokens))
        entry.settled, entry.tokens = True, min(tokens, entry.tokens)
        self.model.used += tokens

    async def release(self, number: int, instance: int) -> None:
        if not self.model.entries:
            return
        entry = self.model.entries[-1 - number % len(self.model.entries)]
        await self.ledgers[instance].release(TENANT, APP, entry.lock.lock_id)
        if not entry.settled:
            entry.settled, entry.tokens, entry.requests = True, 0, 0

    def compare(self) -> None:
        """Demand that the usage is the model's, and that every scope's totals are its buckets' sums."""
        used_tokens = sum(int(str(item["prompt_tokens"])) for item in self.bench.items("usage:").values())
        assert used_tokens == self.model.used
        for scope in self.bench.items("scope:").values():
            buckets = scope["b"]
            assert isinstance(buckets, dict)
            for total, part in (("tokens", "t"), ("requests", "r"), ("used", "u"), ("done", "q")):
                assert scope[total] == sum(bucket[part] for bucket in buckets.values())
                assert all(bucket[part] >= 0 for bucket in buckets.values())


@settings(max_examples=2_000 if SOAK else 60, deadline=None, derandomize=not SOAK)
@given(STEPS)
def test_the_ledger_admits_what_a_list_admits_and_refuses_nothing_else(steps: list[Step]) -> None:
    run_async(Run().all(steps))
