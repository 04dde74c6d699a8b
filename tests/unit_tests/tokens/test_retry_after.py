"""Property 6: a refusal says when to come back, and waiting exactly that long, alone, succeeds."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.errors import BudgetExceededError
from shared.tokens.limits import LimitsOverride, RateLimit
from shared.tokens.policy import FIXED, FixedPolicy
from shared.tokens.quota import AppShares
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import TENANT, run_async
from tests.support.simulated_cosmos import START
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    import random

    from shared.tokens.ledger import TokenLedger

pytestmark = sized(120)

CASES = 5_000 if SOAK else 80
KINDS = (
    "tokens_per_minute",
    "requests_per_minute",
    "tokens_per_day",
    "tokens_per_month",
    "concurrency",
    "models",
)
LARGEST_LOCK = 40
"""What an application with a share of 0.8 of 50 tokens may still lock."""

_A_MONTH_SECONDS = 31 * 24 * 3600


def random_limits(chance: random.Random) -> LimitsOverride:
    """Draw limits of which one to three are so small that they bind."""
    tight = set(chance.sample(KINDS, chance.choice((1, 1, 2, 3))))

    def draw(kind: str, least: int, most: int, roomy: int | None) -> int | None:
        return chance.randint(least, most) if kind in tight else roomy

    rare = RateLimit(tokens=chance.randint(LARGEST_LOCK, 200), requests=chance.randint(1, 5))
    return LimitsOverride(
        tokens_per_minute=draw("tokens_per_minute", 50, 500, 100_000),
        requests_per_minute=draw("requests_per_minute", 1, 20, 10_000),
        tokens_per_day=draw("tokens_per_day", LARGEST_LOCK, 600, None),
        tokens_per_month=draw("tokens_per_month", LARGEST_LOCK, 900, None),
        concurrency=draw("concurrency", 1, 8, 10_000),
        models={"rare": rare} if "models" in tight else None,
    )


class Case:
    """One refusal that some history has led to."""

    def __init__(self, seed: int) -> None:
        shares = FixedPolicy(AppShares({"a": 0.9, "*": 0.8}))
        self.bench = Bench(seed, (FIXED, FIXED, shares)[seed % 3])
        self.chance = self.bench.chance
        self.ledgers = [self.bench.ledger, self.bench.instance()[1]]

    async def run(self) -> str:
        """Return the name of the limit that refused, when waiting has helped."""
        chance = self.chance
        limits = random_limits(chance)
        await asyncio.sleep(self._begins())
        await self.bench.limit(limits)
        while True:
            await asyncio.sleep(chance.choice((0, chance.uniform(0, 4))))
            app, model = chance.choice("abc"), chance.choice(("gpt", "gpt", "rare"))
            tokens = chance.choice((1, chance.randint(1, LARGEST_LOCK)))
            refused = None
            try:
                await self._use(chance.choice(self.ledgers), app, tokens, model)
            except BudgetExceededError as error:
                refused = error
            if refused is None:
                continue
            assert refused.retry_after is not None
            assert 0 < refused.retry_after < _A_MONTH_SECONDS + 10
            await asyncio.sleep(refused.retry_after)
            ledger = chance.choice([*self.ledgers, self.bench.instance()[1]])
            await ledger.lock(TENANT, app, tokens, model)
            return str(refused.detail["limit"])

    def _begins(self) -> float:
        """Begin half of the cases shortly before a day or a month ends."""
        now = datetime.fromtimestamp(START, UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        end = self.chance.choice((midnight + timedelta(days=1), midnight.replace(month=2, day=1)))
        before_the_end = (end - now).total_seconds() - self.chance.uniform(0, 90)
        return self.chance.choice((0.0, before_the_end))

    async def _use(self, ledger: TokenLedger, app: str, tokens: int, model: str) -> None:
        lock = await ledger.lock(TENANT, app, tokens, model)
        match self.chance.choice(("keep", "keep", "report", "beyond", "release")):
            case "report":
                await ledger.report(TENANT, app, lock.lock_id, used(self.chance.randint(0, tokens)))
            case "beyond":
                await ledger.report(TENANT, app, lock.lock_id, used(tokens + self.chance.randint(0, 900)))
            case "release":
                await ledger.release(TENANT, app, lock.lock_id)


def test_waiting_exactly_retry_after_alone_succeeds_on_any_instance() -> None:
    met = [run_async(Case(seed).run()) for seed in range(CASES)]
    times = Counter(met)
    assert set(times) == {*KINDS} - {"models"}
    assert min(times.values()) >= CASES / 25
