"""What a chat completion costs through this app, beside LiteLLM's proxy and the least that forwards at all.

Run with `pytest tests/benchmarks/bench_openai.py -s`; `TENANTRY_SOAK=1` asks as often as the claims name. All
are before the same stub of a model: load, stub and stores on one core, the gateway on the other. Figures are
printed, not asserted.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.bench_chat import Cost, tell_parts
from tests.benchmarks.gateways.load import load
from tests.benchmarks.gateways.processes import on_load_core
from tests.benchmarks.gateways.started import (
    running_app,
    running_floor,
    running_litellm,
    running_stub,
)
from tests.support.soak import SOAK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.gateways.started import Started
    from tests.integration_tests.platform import Platform

TOGETHER = 32
TENANTS = 32
REQUESTS = {False: 1_600, True: 640}
"""How many are measured, whole and streamed; of LiteLLM a quarter of them."""

SLOW_SHARE = 4
MEMORY_REQUESTS = 100_000 if SOAK else 5_000
MEMORY_STEPS = 5
WARM_UP = 200


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one kind of request through one gateway.

    Attributes:
        cpu_ms: CPU time of the gateway's process for each.
        first_ms: The median time to the first text.
        p50_ms: The median time to the end.
        p99_ms: The time to the end that one in a hundred exceeds.
        rate: How many were answered in a second.
    """

    cpu_ms: float
    first_ms: float
    p50_ms: float
    p99_ms: float
    rate: float


@pytest.fixture(autouse=True)
def pinned() -> Iterator[None]:
    with on_load_core():
        yield


def measure(started: Started, requests: int, *, stream: bool) -> Row:
    """Measure so many requests, 32 at a time, on a gateway that is warm."""
    asyncio.run(load(started.gateway, WARM_UP, TOGETHER, stream=stream))
    cpu = started.process.cpu_seconds()
    taken = asyncio.run(load(started.gateway, requests, TOGETHER, stream=stream))
    cpu = started.process.cpu_seconds() - cpu
    took = sum(taken.whole) / TOGETHER
    first = sorted(taken.first)[len(taken.first) // 2]
    return Row(
        1_000 * cpu / requests,
        1_000 * first,
        taken.percentile_ms(0.5),
        taken.percentile_ms(0.99),
        requests / took,
    )


@contextmanager
def stub(folder: Path) -> Iterator[str]:
    with running_stub(folder) as url:
        yield url


def tell_head() -> None:
    print(
        f"\n{'32 at once':<34}{'CPU ms':>8}{'first ms':>10}{'p50 ms':>9}{'p99 ms':>9}{'per s':>8}", flush=True
    )


def tell(what: str, row: Row) -> None:
    figures = f"{row.cpu_ms:>8.2f}{row.first_ms:>10.1f}{row.p50_ms:>9.1f}{row.p99_ms:>9.1f}{row.rate:>8.0f}"
    print(f"{what:<34}{figures}", flush=True)


def tell_both(name: str, started: Started, share: int = 1) -> dict[bool, float]:
    """Measure and print both kinds of request; return the CPU time of each."""
    costs = {}
    for stream in (False, True):
        row = measure(started, REQUESTS[stream] // share, stream=stream)
        tell(f"{name}, {'50 parts' if stream else 'plain'}", row)
        costs[stream] = row.cpu_ms
    return costs


def test_what_a_completion_costs_beside_litellm_and_the_floor(tmp_path: Path, gateway_python: Path) -> None:
    starts, costs = dict[str, float](), dict[str, dict[bool, float]]()
    keys = tuple(f"sk-tenant-{number}" for number in range(TENANTS))
    with stub(tmp_path) as model:
        tell_head()
        with running_floor(tmp_path, model) as floor:
            starts["floor"] = floor.start_seconds
            costs["floor"] = tell_both("floor", floor)
        for tenants in (1, TENANTS):
            name = f"this app, {tenants} tenants"
            with running_app(tmp_path / str(tenants), model, tenants) as (app, platform):
                starts[name], costs[name] = app.start_seconds, tell_both(name, app)
                if tenants == 1:
                    continue
                for stream in (False, True):
                    tell_where_time_goes(app, platform, stream=stream)
        for name, known in (("litellm bare", ()), ("litellm, 1 key", keys[:1]), ("litellm, 32 keys", keys)):
            with running_litellm(tmp_path, gateway_python, model, keys=known) as litellm:
                starts[name] = litellm.start_seconds
                costs[name] = tell_both(name, litellm, SLOW_SHARE)
    print(f"\n{'times the floor, of CPU':<34}{'plain':>8}{'50 parts':>10}{'start s':>9}")
    for name, cost in costs.items():
        times = [cost[stream] / costs["floor"][stream] for stream in (False, True)]
        print(f"{name:<34}{times[0]:>8.1f}{times[1]:>10.1f}{starts[name]:>9.2f}")
    print("wanted of this app: a tenth of litellm's CPU, 4.0 and 3.0 times the floor, first answer in 3 s")


def tell_where_time_goes(app: Started, platform: Platform, *, stream: bool) -> None:
    """Print which part of this app takes how much of a request."""
    platform.client.post("/api/bench/sampler/on").raise_for_status()
    row = measure(app, REQUESTS[stream], stream=stream)
    answer = platform.client.post("/api/bench/sampler/off").raise_for_status().json()
    what = f"{'50 parts' if stream else 'plain'}, 32 at once"
    tell_parts(what, Cost(row.cpu_ms, row.first_ms, row.rate), answer["samples"])


@pytest.mark.soak
def test_memory_stays_where_it_is(tmp_path: Path) -> None:
    print(f"\n{'requests':>10}{'MB':>8}", flush=True)
    with stub(tmp_path) as model, running_app(tmp_path / "app", model, TENANTS) as (app, _):
        for stream in (False, True):
            asyncio.run(load(app.gateway, WARM_UP, TOGETHER, stream=stream))
        idle = app.process.memory_mb()
        print(f"{0:>10}{idle:>8.1f}", flush=True)
        step = MEMORY_REQUESTS // MEMORY_STEPS
        for done in range(step, MEMORY_REQUESTS + 1, step):
            asyncio.run(load(app.gateway, step, TOGETHER, stream=False))
            print(f"{done:>10}{app.process.memory_mb():>8.1f}", flush=True)
    print("wanted: at most 60 MB above the first, and no slope")
