"""CPU of a Cosmos client per operation: azure-cosmos as it comes and tuned, ours, and the bare wire.

All ask the same local endpoint in one run, over plain HTTP and over TLS. It is another process, so that its
work is not in the figures, and each client has a process of its own, so that its memory can be told.
The floor sends the bytes that our client has sent before and reads the answer's frame, its JSON not. Run it
with `pytest tests/benchmarks/bench_cosmos_client.py -s`; `BENCH_OPERATIONS` says how many, 1500 by
default, and `BENCH_CLIENTS` which clients, such as `own;floor`.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import resource
import time
import warnings
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
from tenantry_client.cosmos.answers import FIRST_FAILURE
from tenantry_client.cosmos.transport import Deadlines, Place, tls_context
from tests.benchmarks.tls_front import tls_before
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.support.certificates import write_certificate

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenantry_client.cosmos.answers import Answer

OPERATIONS: Final = int(os.environ.get("BENCH_OPERATIONS", "1500"))
ROUNDS: Final = 3
CLIENTS: Final = tuple(
    os.environ.get("BENCH_CLIENTS", "as it comes;tuned;own;floor;sync, as it comes;sync, own").split(";")
)
AT_ONCE: Final = (1, 32, 256)
VARIANTS: Final = 50
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
        "upsert": lambda number: container.upsert_item({**ITEM, "id": f"u{number % VARIANTS}"}),
        "patch": lambda number: container.patch_item(f"u{number % VARIANTS}", "p", PATCH),
        "batch of 20": lambda _: container.execute_item_batch(STEPS, "p"),
        "query page of 20": page,
    }


class RecordingPool(ConnectionPool):
    """Connections that keep what is sent over them."""

    def __init__(self, tls: ssl.SSLContext, limit: int) -> None:
        super().__init__(tls, limit)
        self.sent: list[bytes] = []

    async def exchange(self, place: Place, request: bytes, deadlines: Deadlines) -> Answer:
        self.sent.append(request)
        return await super().exchange(place, request, deadlines)


async def record(work: Work, recorder: RecordingPool) -> list[bytes]:
    """Return what our client sends for a piece of work, for some of its numbers."""
    for number in range(2):
        await work(number)  # with whatever it looks up once, and once it has a session
    recorder.sent.clear()
    for number in range(VARIANTS):
        await work(number)
    assert len(recorder.sent) == VARIANTS, "one request each"
    return recorder.sent.copy()


async def floor(address: str, tls: ssl.SSLContext, own: OwnClient) -> dict[str, Work]:
    """Return the same works as requests that were made before."""
    place, pool, recorder = Place.parse(address), ConnectionPool(tls, 256), RecordingPool(tls, 1)
    own.client_connection.gateway.transport = recorder
    container = own.get_database_client("tenantry").get_container_client("bench")
    recorded = {name: await record(work, recorder) for name, work in operations_of(container).items()}
    await recorder.close()

    def replay(requests: list[bytes]) -> Work:
        async def once(number: int) -> None:
            answer = await pool.exchange(place, requests[number % VARIANTS], DEADLINES)
            assert answer.status < FIRST_FAILURE

        return once

    return {name: replay(requests) for name, requests in recorded.items()}


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


async def measure_client(name: str, address: str, certificate: str | None) -> None:
    """Measure one client, and tell by how much its process grew meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tls = tls_context(certificate or True)
    given: dict[str, Any] = {"enable_endpoint_discovery": False}  # the account would name its plain address
    given |= {"connection_verify": certificate} if certificate else {}
    match name:
        case "floor":
            async with OwnClient(address, EMULATOR_KEY, **given) as own:
                works = await floor(address, tls, own)
            await compare(name, works)
        case "own":
            async with OwnClient(address, EMULATOR_KEY, max_connections=256, **given) as own:
                database = own.get_database_client("tenantry")
                await compare(name, operations_of(database.get_container_client("bench")))
        case _:
            transport = AioHttpTransport(use_env_settings=False) if name == "tuned" else None
            async with SdkClient(address, EMULATOR_KEY, transport=transport, **given) as client:
                container = client.get_database_client("tenantry").get_container_client("bench")
                await compare(name, operations_of(container))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{name:18} the process grew by {grown / 1024:.1f} MB", flush=True)


def measure_blocking(name: str, address: str, certificate: str | None) -> None:
    """Measure a client without asyncio."""
    given: dict[str, Any] = {"enable_endpoint_discovery": False}
    given |= {"connection_verify": certificate} if certificate else {}
    if name == "sync, own":
        with OwnSyncClient(address, EMULATOR_KEY, **given) as own:
            compare_blocking(name, own.get_database_client("tenantry").get_container_client("bench"))
        return
    with SdkSyncClient(address, EMULATOR_KEY, **given) as blocking:
        compare_blocking(name, blocking.get_database_client("tenantry").get_container_client("bench"))


def in_a_process_of_its_own(name: str, address: str, certificate: str | None, core: int) -> None:
    """Measure one client where no other has been."""
    os.sched_setaffinity(0, {core})
    warnings.simplefilter("ignore")  # azure-cosmos does not verify a local server
    if name.startswith("sync"):
        measure_blocking(name, address, certificate)
    else:
        asyncio.run(measure_client(name, address, certificate))


async def prepare(address: str) -> None:
    """Make the container and its items."""
    async with SdkClient(address, EMULATOR_KEY) as client:
        database = client.get_database_client("tenantry")
        container = await database.create_container("bench", PartitionKey("/pk"))
        for item in (ITEM, *(step[1][0] for step in STEPS)):
            await container.upsert_item(item)


@pytest.mark.timeout(1800)
def test_what_each_client_costs(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    certificate = write_certificate(tmp_path, "localhost")
    spawn = multiprocessing.get_context("spawn")
    with running_endpoint(tmp_path) as endpoint, tls_before(endpoint.port, certificate) as (port, front):
        for pid in (endpoint.pid, front):
            os.sched_setaffinity(pid, {cores[0]})
        asyncio.run(prepare(endpoint.address))
        for title, address, trusted in (
            ("plain HTTP", endpoint.address, None),
            ("TLS", f"https://localhost:{port}", str(certificate)),
        ):
            print(f"--- {title}", flush=True)
            for name in CLIENTS:
                child = spawn.Process(
                    target=in_a_process_of_its_own, args=(name, address, trusted, cores[-1])
                )
                child.start()
                child.join()
                assert child.exitcode == 0
