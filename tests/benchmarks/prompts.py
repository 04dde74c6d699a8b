"""How fast prompts are read and saved, beside azpaddypy and a bare `read_item`, on one local Cosmos.

Run with `pytest tests/benchmarks/prompts.py -s` after `local/setup/peers.sh`. Figures are printed, not
asserted.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.supervisor.addresses import COSMOS_KEY
from shared.cache import Cache
from shared.clock import SystemClock
from shared.cosmos.account import CosmosAccount
from shared.cosmos.sdk import SdkContainer, classify, open_client
from shared.prompts.changes import Change, save_of
from shared.prompts.library import PromptLibrary
from shared.prompts.manager import CosmosPromptManager
from shared.prompts.models import PromptDraft, PromptSource
from shared.retry import Dependency, Policy
from tests.fakes import tenant_context
from tests.integration_tests.local_cosmos.endpoint import running_endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from shared.tenancy.context import TenantContext

PEER_PYTHON = Path(__file__).parents[2] / ".tools" / "peers" / "bin" / "python"
TEMPLATE = "You help the customers of {company}. " * 20
BATCH = 50
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


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def repeated(work: Callable[[], object]) -> float:
    """Measure the last of three: the peer, many times as long at work, begins warm."""
    return [seconds_of(work) for _ in range(3)][-1]


def beside_the_peer(address: str) -> dict[str, tuple[float, float]]:
    """Measure the facade through its synchronous methods and the peer, in turns; return the best of each.

    A neighbour on the machine can only slow a turn down, and slows down both.
    """
    names = [f"prompt{number}" for number in range(BATCH)]
    items = [{"prompt_name": name, "prompt_data": TEMPLATE} for name in names]
    command = [str(PEER_PYTHON), "-c", PEER, address, COSMOS_KEY, TEMPLATE, str(BATCH), str(GETS)]
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
        if process.stdin is not None:
            process.stdin.close()
    return best


async def uncached_seconds(address: str) -> tuple[float, float, float]:
    """Measure reads that ask the store: a get, a bare `read_item` by the same client in turns, a batch."""
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
        saves = [Change(name, save_of(PromptDraft(template=TEMPLATE))) for name in names]
        await library.of(ours).change_all(saves, PromptSource.TENANT)
        batches = [await timed(lambda: library.of(ours).read_all(names)) for _ in range(3 * ROUNDS)]
    get, bare = (statistics.median(turn[place] for turn in turns) for place in (0, 1))
    return get, bare, min(batches)


def report(what: str, mine: float, other: float, wanted: str) -> None:
    ratio = other / mine if wanted.startswith(">=") else mine / other
    print(f"{what:<52} {mine * 1e6:>10,.1f} us {other * 1e6:>10,.1f} us   {ratio:>8.2f}x   wanted {wanted}")


@pytest.mark.timeout(600)
def test_prompts_beside_their_peers(address: str) -> None:
    if not PEER_PYTHON.exists():
        pytest.skip("local/setup/peers.sh installs the peer")
    best = beside_the_peer(address)
    uncached, bare, uncached_batch = asyncio.run(uncached_seconds(address))
    print(f"\n{'':<52} {'ours':>13} {'peer':>13}   {'ratio':>9}")
    report("cached get, beside azpaddypy's get", *best["get"], ">= 100")
    report(f"save a batch of {BATCH}, beside its batch", *best["save_batch"], ">= 10")
    report(f"cached get of a batch of {BATCH}, beside its batch", *best["get_batch"], ">= 10")
    report(
        f"uncached get of a batch of {BATCH}, beside its batch", uncached_batch, best["get_batch"][1], ">= 10"
    )
    report("uncached get, beside a bare read_item", uncached, bare, "<= 1.3")
