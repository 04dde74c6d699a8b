"""Reserve and refund with token-throttle; run by the peers' own Python, prints one line of JSON.

Usage: token_throttle_cycles.py {memory|a path of an SQLite file} {budgets} {waiting} {cycles}
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from token_throttle import (  # type: ignore[import-not-found]  # it lives in an environment of its own
    MemoryBackendBuilder,
    PerModelConfig,
    Quota,
    RateLimiter,
    SqliteBackendBuilder,
    UsageQuotas,
)

MOST = 1_000_000_000


def config(model: str) -> PerModelConfig:
    """Bound tokens and requests per minute, as the ledger does."""
    quotas = [Quota(metric=name, limit=MOST, per_seconds=60) for name in ("tokens", "requests")]
    return PerModelConfig(quotas=UsageQuotas(quotas), model_family=model)


async def measure(where: str, budgets: int, waiting: int, cycles: int) -> dict[str, float]:
    """Run cycles of a reservation and its refund, so many at once."""
    backend = MemoryBackendBuilder() if where == "memory" else SqliteBackendBuilder(where, key_prefix="bench")
    took: list[float] = []
    async with RateLimiter(config, backend=backend) as limiter:

        async def cycle(number: int) -> None:
            began = time.perf_counter()
            model = f"model-{number % budgets}"
            held = await limiter.acquire_capacity({"tokens": 100, "requests": 1}, model=model)
            await limiter.refund_capacity({"tokens": 50, "requests": 1}, held)
            took.append(time.perf_counter() - began)

        async def run(count: int) -> None:
            numbers = iter(range(count))

            async def task() -> None:
                for number in numbers:
                    await cycle(number)

            await asyncio.gather(*(task() for _ in range(waiting)))

        await run(max(budgets, waiting))
        took.clear()
        began, cpu = time.perf_counter(), time.process_time()
        await run(cycles)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    took.sort()
    return {"cycles": cycles, "seconds": seconds, "cpu": cpu, "p99": took[int(len(took) * 0.99)]}


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[2:]]
    print(json.dumps(asyncio.run(measure(sys.argv[1], *arguments))))
