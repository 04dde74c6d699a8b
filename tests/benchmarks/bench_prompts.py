"""How fast prompts are read and saved, beside azpaddypy and a bare `read_item`, on one local Cosmos.

Run with `pytest tests/benchmarks/bench_prompts.py -s`. Figures are printed, not
asserted.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from compat.cosmos_account import CosmosAccount
from compat.prompt_manager import CosmosPromptManager
from local.supervisor.addresses import COSMOS_KEY
from shared.caching.region import Cache
from shared.clock import SystemClock
from shared.cosmos.sdk import SdkContainer, classify, open_client
from shared.prompts.batch_commit import WRITE_AT_ONCE
from shared.prompts.edits import PromptEdit, SaveVersion
from shared.prompts.library import PromptLibrary
from shared.prompts.models import PromptDraft
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from shared.tenancy.source import Source
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from azure.cosmos.aio import ContainerProxy

    from shared.tenancy.context import TenantContext

TEMPLATE = (
    "You help the customers of {company} with their {product}. Answer in {language}. "
    + "Be brief, kind and exact, and promise nothing that you cannot keep. " * 9
)
BATCH = 50
AWAY_MS = 1
ROUNDS = 9
GETS = 100
CACHED_GETS = 20_000

PEER = """
import json, sys, time

from azpaddypy.mgmt.logging import AzureLogger
from azpaddypy.resources.cosmosdb import AzureCosmosDB
from azpaddypy.tools.cosmos_prompt_manager import CosmosPromptManager

address, key, template, batch, gets = sys.argv[1:4] + [int(text) for text in sys.argv[4:]]
quiet = AzureLogger(service_name="benchmark", enable_console_logging=False)
client = AzureCosmosDB(address, credential=key, logger=quiet)
manager = CosmosPromptManager(client, database_name="tenantry", container_name="prompts", logger=quiet)
names = [f"prompt{number}" for number in range(batch)]
items = [{"prompt_name": name, "prompt_data": template} for name in names]


work = {
    "save_batch": lambda: manager.save_prompts_batch(items, tenant_id="peer"),
    "get": lambda: [manager.get_prompt("prompt0", tenant_id="peer") for _ in range(gets)],
    "get_batch": lambda: manager.get_prompts_batch(names, tenant_id="peer"),
}
work["save_batch"]()
assert manager.get_prompt("prompt0", tenant_id="peer") == template
print("ready", flush=True)
for line in sys.stdin:
    started = time.perf_counter()
    work[line.strip()]()
    print(json.dumps(time.perf_counter() - started), flush=True)
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with running_endpoint(tmp_path) as endpoint:
        yield endpoint.address


class Peer:
    """The peer in its own environment, with its logging off."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        while not self._out.readline().startswith("ready"):
            assert process.poll() is None, "the peer did not start"

    def seconds(self, what: str) -> float:
        """Let it do something once."""
        self._in.write(f"{what}\n")
        self._in.flush()
        return float(self._out.readline())


@contextmanager
def answers_after(address: str, *, milliseconds: int) -> Iterator[None]:
    """Let each answer take as long as if the store were so far away."""
    rules = f"{address}/_local/faults"
    body = json.dumps({"delay_ms": milliseconds, "count": None}).encode()
    with urllib.request.urlopen(urllib.request.Request(rules, body, method="POST")):  # noqa: S310  # our own address
        pass
    try:
        yield
    finally:
        with urllib.request.urlopen(urllib.request.Request(rules, method="DELETE")):  # noqa: S310  # same
            pass


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def repeated(work: Callable[[], object]) -> float:
    """Measure the last of three: the peer, many times as long at work, begins warm."""
    return [seconds_of(work) for _ in range(3)][-1]


def beside_the_peer(address: str, python: Path) -> dict[str, tuple[float, float]]:
    """Measure the facade through its synchronous methods and the peer, in turns; return the best of each.

    A neighbour on the machine can only slow a turn down, and slows down both.
    """
    names = [f"prompt{number}" for number in range(BATCH)]
    items = [{"prompt_name": name, "prompt_data": TEMPLATE} for name in names]
    command = [str(python), "-c", PEER, address, COSMOS_KEY, TEMPLATE, str(BATCH), str(GETS)]
    with (
        CosmosPromptManager(CosmosAccount(address, COSMOS_KEY), "tenantry", "prompts") as manager,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,  # noqa: S603  # our own program
    ):
        peer = Peer(process)
        manager.save_prompts_batch(items, tenant_id="ours")
        assert manager.get_prompt("prompt0", tenant_id="ours") == TEMPLATE
        work: dict[str, tuple[Callable[[], object], int]] = {
            "get": (
                lambda: [manager.get_prompt("prompt0", tenant_id="ours") for _ in range(CACHED_GETS)],
                CACHED_GETS,
            ),
            "save_batch": (lambda: manager.save_prompts_batch(items, tenant_id="ours"), 1),
            "get_batch": (lambda: manager.get_prompts_batch(names, tenant_id="ours"), 1),
        }
        best: dict[str, tuple[float, float]] = {}
        for what, (do, times) in work.items():
            turns = [(repeated(do) / times, peer.seconds(what)) for _ in range(ROUNDS)]
            theirs = min(turn[1] for turn in turns) / (GETS if what == "get" else 1)
            best[what] = min(turn[0] for turn in turns), theirs
        with answers_after(address, milliseconds=AWAY_MS):
            turns = [(repeated(work["save_batch"][0]), peer.seconds("save_batch")) for _ in range(ROUNDS)]
            best["save_batch_away"] = min(turn[0] for turn in turns), min(turn[1] for turn in turns)
        if process.stdin is not None:
            process.stdin.close()
    return best


class FromTheStore(NamedTuple):
    """Seconds on the event loop, nothing cached: a get, `read_item`, a get of a batch, a save of one.

    `bare_save` is the SDK alone with the same operations in as many requests.
    """

    get: float
    read_item: float
    get_batch: float
    save_batch: float
    bare_save: float


async def seconds_from_the_store(address: str) -> FromTheStore:
    """Measure what asks the store, beside its SDK, by one client in turns."""
    ours: TenantContext = tenant_context("ours")
    clock = SystemClock()

    async def falls_back(_: TenantContext) -> bool:
        return True

    async def timed(work: Callable[[], Awaitable[object]]) -> float:
        started = time.perf_counter()
        await work()
        return time.perf_counter() - started

    async with open_client(address, COSMOS_KEY) as client:
        proxy = client.get_database_client("tenantry").get_container_client("prompts")
        dependency = Dependency("Cosmos DB", classify, Policy(attempt_seconds=5, total_seconds=12))
        library = PromptLibrary(SdkContainer(proxy, dependency), clock, Cache(clock), falls_back)
        await library.of(ours).save("uncached", PromptDraft(template=TEMPLATE))
        turns = [
            (
                await timed(lambda: library.of(ours).read("uncached", fresh=True)),
                await timed(lambda: proxy.read_item("head:uncached", "ours")),
            )
            for _ in range(2 * ROUNDS * GETS)
        ]
        names = [f"uncached{number}" for number in range(BATCH)]
        saves = [PromptEdit(name, SaveVersion(PromptDraft(template=TEMPLATE))) for name in names]
        await library.of(ours).apply_all(saves, Source.TENANT)
        batches = [await timed(lambda: library.of(ours).read_all(names)) for _ in range(3 * ROUNDS)]
        bare = BareSave(proxy, names)
        await bare.save()
        saved = [
            (
                await timed(lambda: library.of(ours).apply_all(saves, Source.TENANT)),
                await timed(bare.save),
            )
            for _ in range(3 * ROUNDS)
        ]
    get, read_item = (statistics.median(turn[place] for turn in turns) for place in (0, 1))
    save, bare_save = (min(turn[place] for turn in saved) for place in (0, 1))
    return FromTheStore(get, read_item, min(batches), save, bare_save)


class BareSave:
    """Writes by the SDK alone what a save of a batch writes: for each name a patched head, a new version."""

    def __init__(self, proxy: ContainerProxy, names: Sequence[str]) -> None:
        self._proxy = proxy
        self._names = names
        self._version = 0

    async def save(self) -> None:
        self._version += 1
        parts = batched(self._names, WRITE_AT_ONCE, strict=False)
        steps = [[step for name in part for step in self._steps(name)] for part in parts]
        batches = (self._proxy.execute_item_batch(part, "ours", no_response=True) for part in steps)
        await asyncio.gather(*batches)

    def _steps(self, name: str) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
        number = self._version
        change = {"number": number, "id": "0" * 32, "action": "save", "at": "2026-01-31T10:30:00+00:00"}
        says = {"change": change, "content": {"template": TEMPLATE}, "version": number}
        about = {"tenant_id": "ours", "name": name, "schema_version": 1, "description": None, "tags": []}
        head = f"bare-head:{name}"
        if number == 1:
            yield "create", ({"id": head, "kind": "head", "labels": {}, "deleted": False} | about | says,), {}
        else:
            patch = [{"op": "set", "path": f"/{field}", "value": value} for field, value in says.items()]
            yield "patch", (head, patch), {}
        yield "create", ({"id": f"bare-version:{name}:{number:08d}", "kind": "version"} | about | says,), {}


def report(what: str, mine: float, other: float, wanted: str = "") -> None:
    ratio = mine / other if wanted.startswith("<=") else other / mine
    print(f"{what:<57} {mine * 1e6:>9,.1f} us {other * 1e6:>10,.1f} us  {ratio:>7.2f}x  {wanted}")


@pytest.mark.timeout(600)
def test_prompts_beside_their_peers(address: str, peer_python: Path) -> None:
    best = beside_the_peer(address, peer_python)
    store = asyncio.run(seconds_from_the_store(address))
    print(f"\n{'':<57} {'ours':>12} {'other':>13}  {'ratio':>8}  wanted")
    report("cached get, beside azpaddypy's get", *best["get"], ">= 100")
    report(f"cached get of a batch of {BATCH}, beside its batch", *best["get_batch"], ">= 10")
    report(
        f"uncached get of a batch of {BATCH}, beside its batch",
        store.get_batch,
        best["get_batch"][1],
        ">= 10",
    )
    report("uncached get, beside a bare read_item", store.get, store.read_item, "<= 1.3")
    report(f"save a batch of {BATCH}, beside its batch", *best["save_batch"], ">= 10")
    report(f"the same, the store {AWAY_MS} ms away", *best["save_batch_away"], ">= 10")
    report("the bare SDK with the same operations, beside its batch", store.bare_save, best["save_batch"][1])
    report("save without the facade, beside the bare SDK", store.save_batch, store.bare_save)
