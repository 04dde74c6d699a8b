"""What a hit of the cache costs, in time and in memory, beside a plain dictionary and one with an order."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections import OrderedDict
from typing import TYPE_CHECKING

from shared.caching.region import Cache, Freshness, Region
from shared.clock import SystemClock
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HITS = 100_000
ROUNDS = 5
ENTRIES = 10_000


async def nanoseconds(read: Callable[[], Awaitable[object]]) -> float:
    """Return the time of one call, in the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        for _ in range(HITS):
            await read()
        best = min(best, (time.perf_counter_ns() - began) / HITS)
    return best


async def hits() -> dict[str, float]:
    tenant = tenant_context()
    region: Region[str] = Cache(SystemClock()).region("notes", Freshness(3600), 10)
    plain = {"tenant:acme:notes:a": "value"}
    ordered = OrderedDict(plain)

    async def load() -> str:
        return "value"

    async def from_dictionary() -> str:
        return plain["tenant:acme:notes:a"]

    async def from_order() -> str:
        ordered.move_to_end("tenant:acme:notes:a")
        return ordered["tenant:acme:notes:a"]

    await region.get(tenant, "a", load)
    return {
        "a dictionary": await nanoseconds(from_dictionary),
        "an LRU, nothing else": await nanoseconds(from_order),
        "the cache": await nanoseconds(lambda: region.get(tenant, "a", load)),
    }


async def bytes_per_entry() -> float:
    region: Region[None] = Cache(SystemClock()).region("notes", Freshness(3600), ENTRIES)
    tenant = tenant_context()
    tracemalloc.start()
    for number in range(ENTRIES):
        region.put(tenant, str(number), None)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / ENTRIES


def test_a_hit_costs_about_a_microsecond() -> None:
    measured = asyncio.run(hits())
    base = measured["a dictionary"]

    print()
    for name, cost in measured.items():
        print(f"{name:24}{cost:8.0f} ns{cost / base:8.1f} x")
    print(f"{'memory of an entry':24}{asyncio.run(bytes_per_entry()):8.0f} bytes without its value")
