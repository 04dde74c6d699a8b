"""How many requests per second the local Cosmos endpoint answers, the SDK's client on the other core.

Run with `pytest tests/benchmarks/bench_local_cosmos_throughput.py -s`. Figures are printed, not asserted.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos.aio import CosmosClient

from local.cosmos.wire.authorization import EMULATOR_KEY
from tests.integration_tests.local_cosmos.endpoint import running_endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from azure.cosmos.aio import ContainerProxy

CONCURRENCY = 16
OPERATIONS = 3_000
ROUNDS = 3
READS_WANTED = 1_500
UPSERTS_WANTED = 1_000


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Start the endpoint on one core and keep this process on the other."""
    cores = sorted(os.sched_getaffinity(0))
    with running_endpoint(tmp_path) as endpoint:
        if len(cores) > 1:
            os.sched_setaffinity(endpoint.pid, {cores[0]})
            os.sched_setaffinity(0, {cores[1]})
        try:
            yield endpoint.address
        finally:
            os.sched_setaffinity(0, cores)


async def _best_rate(operation: Callable[[int], Awaitable[object]]) -> float:
    """Take the best of some rounds: a neighbour on the machine can only slow a round down."""
    return max([await _rate(operation, OPERATIONS) for _ in range(ROUNDS)])


async def _rate(operation: Callable[[int], Awaitable[object]], count: int) -> float:
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await operation(number)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return count / (time.perf_counter() - started)


def _report(what: str, rate: float, wanted: float) -> None:
    print(f"{what:<36} {rate:>9,.0f} /s   wanted {wanted:>7,.0f} /s   ratio {rate / wanted:5.2f}")


async def _run(container: ContainerProxy, label: str) -> None:
    async def upsert(number: int) -> object:
        return await container.upsert_item(
            {"id": str(number % 1000), "tenant_id": f"t{number % 10}", "n": number, "text": "x" * 800}
        )

    async def read(number: int) -> object:
        return await container.read_item(str(number % 1000), f"t{number % 10}")

    await _rate(upsert, 1000)
    _report(f"upserts of 1 KB, {label}", await _best_rate(upsert), UPSERTS_WANTED)
    _report(f"point reads of 1 KB, {label}", await _best_rate(read), READS_WANTED)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("consistency", ["Session", "Eventual"])
async def test_point_operations(address: str, consistency: str) -> None:
    transport = AioHttpTransport(use_env_settings=False)
    async with CosmosClient(
        address, EMULATOR_KEY, consistency_level=consistency, transport=transport
    ) as client:
        database = client.get_database_client("tenantry")
        print()
        await _run(database.get_container_client("tenants"), f"{consistency}, {CONCURRENCY} at once")
