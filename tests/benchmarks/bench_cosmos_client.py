"""CPU of a Cosmos client per operation: azure-cosmos as it comes and tuned, ours, and the bare wire.

All ask the same local endpoint in one run, over plain HTTP; it is another process, so that its work is not in
the figures. The floor sends a request that was built before and reads the answer's frame, its JSON not. Run
with `pytest tests/benchmarks/bench_cosmos_client.py -s`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos import CosmosClient as SdkSyncClient
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient as SdkClient

from local.cosmos.wire.authorization import EMULATOR_KEY
from tenantry_client.cosmos import CosmosClient as OwnSyncClient
from tenantry_client.cosmos.aio import CosmosClient as OwnClient
from tenantry_client.cosmos.aio.connection_pool import ConnectionPool
from tenantry_client.cosmos.request_signing import MasterKeySigner
from tenantry_client.cosmos.transport import Deadlines, Place, tls_context
from tests.integration_tests.local_cosmos.endpoint import running_endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

OPERATIONS: Final = 1500
ROUNDS: Final = 3
AT_ONCE: Final = (1, 32, 256)
ITEM: Final = {"id": "x", "pk": "p", "n": 0, "text": "What a bot was told, and what it said. " * 10}
STEPS: Final = [("upsert", ({**ITEM, "id": f"b{number}"},)) for number in range(20)]
PATCH: Final = [{"op": "incr", "path": "/n", "value": 1}]
DEADLINES: Final = Deadlines()

type Work = Callable[[int], Awaitable[object]]


class Figures(NamedTuple):
    """Times of one operation, in microseconds."""

    cpu: float
    p50: float
    p99: float


async def measure(work: Work, at_once: int, operations: int = OPERATIONS) -> Figures:
    """Do the work so many times at once; return the least CPU of some rounds, with that round's latencies."""
    await asyncio.gather(*(work(number) for number in range(at_once)))  # connections
    rounds: list[Figures] = []
    for _ in range(ROUNDS):
        numbers = iter(range(operations))
        latencies: list[float] = []

        async def some(numbers: Any = numbers, latencies: Any = latencies) -> None:  # noqa: ANN401 - this round's
            for number in numbers:
                began = time.perf_counter()
                await work(number)
                latencies.append(time.perf_counter() - began)

        gc.collect()
        began = time.process_time()
        await asyncio.gather(*(some() for _ in range(at_once)))
        spent = time.process_time() - began
        latencies.sort()
        middle, late = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
        rounds.append(Figures(spent / operations * 1e6, middle * 1e6, late * 1e6))
    return min(rounds)


def operations_of(container: Any) -> dict[str, Work]:  # noqa: ANN401 - either client's
    """Name what is measured."""

    async def page(_: int) -> object:
        pages = container.query_items("SELECT * FROM c", partition_key="p", max_item_count=20).by_page()
        return [item async for item in await anext(pages)]

    return {
        "read": lambda _: container.read_item("x", "p"),
        "upsert": lambda number: container.upsert_item({**ITEM, "id": f"u{number % 50}"}),
        "patch": lambda number: container.patch_item(f"u{number % 50}", "p", PATCH),
        "batch of 20": lambda _: container.execute_item_batch(STEPS, "p"),
        "query page of 20": page,
    }


async def floor(address: str) -> dict[str, Work]:
    """Return a read whose bytes were made before."""
    place, pool = Place.parse(address), ConnectionPool(tls_context(verify=True), 256)
    signed = await MasterKeySigner(EMULATOR_KEY).sign("get", "docs", "dbs/tenantry/colls/bench/docs/x")
    request = (
        f"GET /dbs/tenantry/colls/bench/docs/x HTTP/1.1\r\nhost: {place.authority}\r\n"
        f'x-ms-version: 2020-07-15\r\nx-ms-documentdb-partitionkey: ["p"]\r\n{signed}\r\n'
    ).encode()
    return {"read": lambda _: pool.exchange(place, request, DEADLINES)}


def report(name: str, operation: str, at_once: int, found: Figures) -> None:
    print(
        f"{name:18} {operation:18} {at_once:4} at once   {found.cpu:7.0f} us CPU   "
        f"p50 {found.p50 / 1000:8.2f} ms   p99 {found.p99 / 1000:8.2f} ms",
        flush=True,
    )


async def compare(name: str, works: dict[str, Work]) -> None:
    for at_once in AT_ONCE:
        for operation, work in works.items():
            count = OPERATIONS // 5 if "20" in operation else OPERATIONS
            report(name, operation, at_once, await measure(work, at_once, count))


def compare_blocking(name: str, container: Any) -> None:  # noqa: ANN401 - either client's
    """Measure reads one after another, without asyncio."""
    spent: list[float] = []
    latencies: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(OPERATIONS):
            at = time.perf_counter()
            container.read_item("x", "p")
            latencies.append(time.perf_counter() - at)
        spent.append((time.process_time() - began) / OPERATIONS * 1e6)
    latencies.sort()
    middle, late = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    report(name, "read", 1, Figures(min(spent), middle * 1e6, late * 1e6))


@pytest.mark.timeout(900)
async def test_what_each_client_costs(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    with running_endpoint(tmp_path) as endpoint:
        if len(cores) > 1:
            os.sched_setaffinity(endpoint.pid, {cores[0]})
            os.sched_setaffinity(0, {cores[1]})
        try:
            await _compare_all(endpoint.address)
        finally:
            os.sched_setaffinity(0, cores)


async def _compare_all(address: str) -> None:
    async with SdkClient(address, EMULATOR_KEY) as client:
        database = client.get_database_client("tenantry")
        container = await database.create_container("bench", PartitionKey("/pk"))
        await container.upsert_item(ITEM)
        for step in STEPS:
            await container.upsert_item(step[1][0])
        await compare("as it comes", operations_of(container))
    tuned = SdkClient(address, EMULATOR_KEY, transport=AioHttpTransport(use_env_settings=False))
    async with tuned as client:
        container = client.get_database_client("tenantry").get_container_client("bench")
        await compare("tuned", operations_of(container))
    async with OwnClient(address, EMULATOR_KEY, max_connections=256) as own:
        await compare("own", operations_of(own.get_database_client("tenantry").get_container_client("bench")))
    await compare("floor", await floor(address))
    with SdkSyncClient(address, EMULATOR_KEY) as blocking:
        database_of_it = blocking.get_database_client("tenantry")
        compare_blocking("sync, as it comes", database_of_it.get_container_client("bench"))
    with OwnSyncClient(address, EMULATOR_KEY) as own_blocking:
        own_database = own_blocking.get_database_client("tenantry")
        compare_blocking("sync, own", own_database.get_container_client("bench"))
