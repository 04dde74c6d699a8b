"""One process that locks and reports, for the ledger's benchmark; prints one line of JSON.

Its argument is a plan. It begins when it reads a line on stdin, so that several processes begin together.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.supervisor.addresses import COSMOS_KEY
from shared.clock import SystemClock
from shared.contracts import Usage
from shared.cosmos.container import ItemExistsError, ItemNotFoundError, Patch, PatchOperation
from shared.cosmos.sdk import SdkContainer, classify, open_client, open_fast_client
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from shared.tokens.ledger import TokenLedger
from shared.tokens.limits import LimitsOverride, LimitStore
from shared.tokens.lock_ids import LockIds
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from shared.cosmos.container import BatchOperation, Json, Key

MOST = 1_000_000_000
TOKENS = 100
USED = Usage(prompt_tokens=30, completion_tokens=20)
WARM_UP_AT_ONCE = 16
PATIENT = Policy(attempts=1, attempt_seconds=60, total_seconds=60)
"""256 patches at once wait for each other longer than the app would."""


@dataclass(frozen=True)
class Plan:
    """What one process does.

    Attributes:
        system: `ledger`, or `patch`: one conditional patch per lock and one per report, and nothing else.
        client: The client of the store: `fast` or `sdk`, as the setting `COSMOS_CLIENT` names them.
        first: The number of its first budget.
        waiting: How many tasks lock and report at once.
    """

    address: str
    system: str
    client: str
    first: int
    budgets: int
    waiting: int
    cycles: int


class CountingContainer(SdkContainer):
    """Counts requests; apart those that settle locks."""

    requests = 0
    settling = 0

    async def read(self, key: Key, item_id: str) -> Json | None:
        self.requests += 1
        return await super().read(key, item_id)

    async def upsert(self, key: Key, body: Json) -> Json:
        self.requests += 1
        return await super().upsert(key, body)

    async def patch(self, key: Key, item_id: str, patch: Patch) -> Json:
        self.requests += 1
        self.settling += patch.condition is None
        return await super().patch(key, item_id, patch)

    async def batch(
        self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
    ) -> list[Json]:
        self.requests += 1
        self.settling += operations[0].kind != "create"
        return await super().batch(key, operations, minimal=minimal)


def ledger_cycle(container: CountingContainer, plan: Plan) -> Callable[[int], Awaitable[None]]:
    """Return what locks and reports once, in the ledger."""
    ledger = TokenLedger(container, LockIds(["a secret for the benchmark"]), SystemClock())
    tenants = [tenant_context(f"tenant-{number}") for number in range(plan.first, plan.first + plan.budgets)]

    async def cycle(number: int) -> None:
        tenant = tenants[number % plan.budgets]
        lock = await ledger.lock(tenant, "app", TOKENS, "gpt-4o")
        await ledger.report(tenant, "app", lock.lock_id, USED)

    return cycle


def patch_cycle(container: CountingContainer, plan: Plan) -> Callable[[int], Awaitable[None]]:
    """Return what locks and reports once with a patch each: a fixed window, no records, no usage."""
    take = Patch((PatchOperation("incr", "/tokens", TOKENS),), f"c.tokens <= {MOST}")
    give = Patch((PatchOperation("incr", "/tokens", USED.prompt_tokens - TOKENS),))

    async def cycle(number: int) -> None:
        tenant_id = f"tenant-{plan.first + number % plan.budgets}"
        try:
            await container.patch((tenant_id,), "counter", take)
        except ItemNotFoundError:
            new: Json = {"id": "counter", "tenant_id": tenant_id, "tokens": 0}
            with contextlib.suppress(ItemExistsError):  # another process has created it just now
                await container.create((tenant_id,), new)
            return
        await container.patch((tenant_id,), "counter", give)

    return cycle


async def run(cycle: Callable[[int], Awaitable[None]], count: int, at_once: int) -> list[float]:
    """Run cycles, so many at once, and return how long each took, in seconds."""
    took: list[float] = []
    numbers = iter(range(count))

    async def task() -> None:
        for number in numbers:
            began = time.perf_counter()
            await cycle(number)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(task() for _ in range(at_once)))
    return sorted(took)


async def measure(plan: Plan) -> dict[str, float]:
    """Warm up, wait for the others, and measure."""
    opened = open_fast_client if plan.client == "fast" else open_client
    async with opened(plan.address, COSMOS_KEY) as client:
        proxy = client.get_database_client("tenantry").get_container_client("ledger")
        container = CountingContainer(proxy, Dependency("Cosmos DB", classify, PATIENT))
        if plan.budgets == 1 and plan.system == "ledger":
            limits = LimitsOverride(
                tokens_per_minute=MOST,
                requests_per_minute=MOST,
                concurrency=MOST,
                tokens_per_day=MOST,
                tokens_per_month=MOST,
            )
            await LimitStore(container).put(tenant_context(f"tenant-{plan.first}"), limits)
        cycle = {"ledger": ledger_cycle, "patch": patch_cycle}[plan.system](container, plan)
        await run(cycle, plan.budgets, WARM_UP_AT_ONCE)
        await run(cycle, plan.waiting, plan.waiting)
        print("warm", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        container.requests = container.settling = 0
        began, cpu = time.perf_counter(), time.process_time()
        took = await run(cycle, plan.cycles, plan.waiting)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "cycles": plan.cycles,
        "seconds": seconds,
        "cpu": cpu,
        "p99": took[int(len(took) * 0.99)],
        "requests": container.requests,
        "settling": container.settling,
    }


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that the store is slow under 256 requests at once is what is measured
    print(json.dumps(asyncio.run(measure(Plan(**json.loads(sys.argv[1]))))))
