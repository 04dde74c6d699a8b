"""One instance in the killer test: tasks that lock, and report late, twice or never, until it is killed.

What it does is written to a log before anybody can act on it, with the machine's monotonic clock, which is
the same for all processes: the one true clock. The worker's own wall clock is wrong.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local.supervisor.addresses import COSMOS_KEY
from shared.contracts import Usage
from shared.cosmos.sdk import SdkContainer, classify, open_client
from shared.errors import BudgetExceededError, DependencyTimeoutError, DependencyUnavailableError
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from shared.tokens.ledger import LedgerHooks, TokenLedger
from shared.tokens.lock_ids import LockIds
from shared.tokens.policy import FIXED
from shared.tokens.store_clock import StoreClock
from tests.support.broken_ledgers import EagerStoreClock, WallStoreClock, forgetting
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from azure.cosmos.aio import CosmosClient

    from shared.cosmos.container import BatchOperation, Json, Key

SECRET = "one secret for all instances"  # noqa: S105  # signs the test's lock ids
APPS, MODELS = ("chat", "jobs"), ("gpt-4o", "gpt-4o-mini")


@dataclass(frozen=True)
class Orders:
    """What a worker is to do.

    Attributes:
        tokens: The smallest and the largest lock.
        wall_error: By how many seconds its wall clock is wrong.
        broken: Which of the broken ledgers it uses, if any.
    """

    address: str
    log: str
    seed: int
    tasks: int
    tenants: int
    tokens: tuple[int, int]
    wall_error: float
    broken: str = ""


@dataclass(frozen=True)
class WrongClock:
    """The machine's clocks, with the wall clock off."""

    wall_error: float

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.wall_error, UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ForgetfulContainer(SdkContainer):
    """Leaves the charges out of some of the batches that admit locks."""

    chance: random.Random
    share: float

    async def batch(
        self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
    ) -> list[Json]:
        return await super().batch(key, forgetting(operations, self.chance, self.share), minimal=minimal)


def ledger_over(client: CosmosClient, clock: WrongClock, broken: str, chance: random.Random) -> TokenLedger:
    """Build the ledger, or one of those that are broken on purpose."""
    proxy = client.get_database_client("tenantry").get_container_client("ledger")
    dependency = Dependency("Cosmos DB", classify, Policy(attempt_seconds=5), clock)
    container = SdkContainer(proxy, dependency)
    if broken.startswith("forgetting"):
        container = ForgetfulContainer(proxy, dependency)
        container.chance, container.share = chance, float(broken.removeprefix("forgetting "))
    clocks: dict[str, Callable[[], StoreClock]] = {
        "eager": EagerStoreClock,
        "wall": lambda: WallStoreClock(clock),
    }
    return TokenLedger(
        container, LockIds([SECRET]), clock, FIXED, LedgerHooks(clocks.get(broken, StoreClock))
    )


class Log:
    """Appends lines; each is with the kernel when `write` returns, so that a kill loses none."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *facts: object) -> None:
        """Append one line with the time."""
        os.write(self._file, (json.dumps([time.monotonic(), *facts]) + "\n").encode())


class Worker:
    """The tasks of one process."""

    def __init__(self, orders: Orders, ledger: TokenLedger, chance: random.Random) -> None:
        self._orders = orders
        self._ledger = ledger
        self._chance = chance
        self._log = Log(orders.log)

    async def work(self) -> None:
        """Lock and report for ever."""
        while True:
            try:
                await self._once()
            except BudgetExceededError:
                await asyncio.sleep(self._chance.uniform(0.2, 1.0))  # far sooner than it was told: overload
            except (DependencyUnavailableError, DependencyTimeoutError) as error:
                self._log.write("failed", str(error))
                await asyncio.sleep(self._chance.uniform(0.2, 1.0))

    async def _once(self) -> None:
        chance = self._chance
        number = chance.randrange(self._orders.tenants)
        tenant, app = tenant_context(f"tenant-{number}"), chance.choice(APPS)
        tokens = chance.randint(*self._orders.tokens)
        lock = await self._ledger.lock(tenant, app, tokens, chance.choice(MODELS))
        self._log.write("lock", number, app, lock.lock_id, tokens)
        await asyncio.sleep(chance.choice((0.0, 0.3, 3.0, 90.0)) * chance.random())
        times = chance.choice((0, 1, 1, 1, 2))
        if times == 0:
            return
        used = chance.randint(0, tokens + tokens // 5)
        self._log.write("report", lock.lock_id, used)
        for _ in range(times):
            usage = Usage(prompt_tokens=used, completion_tokens=0)
            await self._ledger.report(tenant, app, lock.lock_id, usage)
        self._log.write("acknowledged", lock.lock_id)


async def main(orders: Orders) -> None:
    """Work until killed."""
    chance = random.Random(orders.seed)  # noqa: S311  # the same load each time
    async with open_client(orders.address, COSMOS_KEY) as client:
        ledger = ledger_over(client, WrongClock(orders.wall_error), orders.broken, chance)
        worker = Worker(orders, ledger, chance)
        await asyncio.gather(*(worker.work() for _ in range(orders.tasks)))


def run(orders: Orders) -> None:
    """Be one process."""
    logging.disable(logging.WARNING)  # that the store is slow at times is no news here
    asyncio.run(main(orders))
