"""How fast prompts are read and saved, beside azpaddypy and a bare `read_item`, on one local Cosmos.

Run with `pytest tests/benchmarks/prompts.py -s` after `local/setup/peers.sh`. Figures are printed, not
asserted.
"""

from __future__ import annotations

import asyncio
import json
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
from shared.prompts.library import PromptLibrary
from shared.prompts.manager import CosmosPromptManager
from shared.prompts.models import PromptDraft
from shared.retry import Dependency, Policy
from tests.fakes import tenant_context
from tests.integration_tests.local_cosmos.endpoint import running_endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from shared.tenancy.context import TenantContext

PEER_PYTHON = Path(__file__).parents[2] / ".tools" / "peers" / "bin" / "python"
TEMPLATE = "You help the customers of {company}. " * 20
BATCH = 50
ROUNDS = 5
GETS = 200
CACHED_GETS = 20_000

PEER = """
import json, sys, time

from azpaddypy.mgmt.logging import AzureLogger
from azpaddypy.resources.cosmosdb import AzureCosmosDB
from azpaddypy.tools.cosmos_prompt_manager import CosmosPromptManager

address, key, template, batch, rounds, gets = sys.argv[1:4] + [int(text) for text in sys.argv[4:]]
quiet = AzureLogger(service_name="benchmark", enable_console_logging=False)
client = AzureCosmosDB(address, credential=key, logger=quiet)
manager = CosmosPromptManager(client, database_name="tenantry", container_name="prompts", logger=quiet)
names = [f"prompt{number}" for number in range(batch)]
items = [{"prompt_name": name, "prompt_data": template} for name in names]


def best(work, times=1):
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(times):
            work()
        taken.append((time.perf_counter() - started) / times)
    return min(taken)


result = {"save_batch": best(lambda: manager.save_prompts_batch(items, tenant_id="peer"))}
assert manager.get_prompt("prompt0", tenant_id="peer") == template
result["get"] = best(lambda: manager.get_prompt("prompt0", tenant_id="peer"), gets)
result["get_batch"] = best(lambda: manager.get_prompts_batch(names, tenant_id="peer"))
json.dump(result, sys.stdout)
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with running_endpoint(tmp_path) as endpoint:
        yield endpoint.address


def peer_seconds(address: str) -> dict[str, float]:
    """Measure the peer in its own environment, with its logging off."""
    numbers = [str(number) for number in (BATCH, ROUNDS, GETS)]
    done = subprocess.run(  # noqa: S603  # our own program
        [PEER_PYTHON, "-c", PEER, address, COSMOS_KEY, TEMPLATE, *numbers],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def best(work: Callable[[], object], times: int = 1) -> float:
    """Return the seconds of one call in the best of some rounds: a neighbour can only slow a round down."""
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(times):
            work()
        taken.append((time.perf_counter() - started) / times)
    return min(taken)


def facade_seconds(address: str) -> dict[str, float]:
    """Measure the facade through its synchronous methods, as the peer is."""
    names = [f"prompt{number}" for number in range(BATCH)]
    items = [{"prompt_name": name, "prompt_data": TEMPLATE} for name in names]
    with CosmosPromptManager(CosmosAccount(address, COSMOS_KEY), "tenantry", "prompts") as manager:
        seconds = {"save_batch": best(lambda: manager.save_prompts_batch(items, tenant_id="ours"))}
        assert manager.get_prompt("prompt0", tenant_id="ours") == TEMPLATE
        seconds["get"] = best(lambda: manager.get_prompt("prompt0", tenant_id="ours"), CACHED_GETS)
        seconds["get_batch"] = best(lambda: manager.get_prompts_batch(names, tenant_id="ours"))
    return seconds


async def uncached_seconds(address: str) -> tuple[float, float]:
    """Measure a get that asks the store and a bare `read_item` by the same client, one after the other."""
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
    return statistics.median(turn[0] for turn in turns), statistics.median(turn[1] for turn in turns)


def report(what: str, mine: float, other: float, wanted: str) -> None:
    ratio = other / mine if wanted.startswith(">=") else mine / other
    print(f"{what:<52} {mine * 1e6:>10,.1f} us {other * 1e6:>10,.1f} us   {ratio:>8.2f}x   wanted {wanted}")


@pytest.mark.timeout(600)
def test_prompts_beside_their_peers(address: str) -> None:
    if not PEER_PYTHON.exists():
        pytest.skip("local/setup/peers.sh installs the peer")
    peer = peer_seconds(address)
    ours = facade_seconds(address)
    uncached, bare = asyncio.run(uncached_seconds(address))
    print(f"\n{'':<52} {'ours':>13} {'peer':>13}   {'ratio':>9}")
    report("cached get, beside azpaddypy's get", ours["get"], peer["get"], ">= 100")
    report(f"save a batch of {BATCH}, beside its batch", ours["save_batch"], peer["save_batch"], ">= 10")
    report(f"get a batch of {BATCH}, beside its batch", ours["get_batch"], peer["get_batch"], ">= 10")
    report("uncached get, beside a bare read_item", uncached, bare, "<= 1.3")
