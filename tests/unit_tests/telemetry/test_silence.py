"""Where no exporter is configured, there is no telemetry, and no SDK of one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.caching.region import Cache, Freshness, Region
from shared.contracts import Usage
from shared.process_metrics import measure_process
from shared.resilience.dependency import Dependency
from shared.settings import Settings
from shared.telemetry.measurements import MEASUREMENTS
from shared.telemetry.spans import (
    SpanFacts,
    count_tokens,
    dependency_telemetry,
    request_telemetry,
    start_telemetry,
    stop_telemetry,
)
from tests.support.fakes import FakeClock, tenant_context
from tests.support.whole_app import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shared.telemetry.spans import Attributes

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, sys
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

async def main() -> None:
    async with whole_app() as app:
        await app.new_tenant("acme")

asyncio.run(main())
loaded = [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
exporters = ("azure.monitor", "shared.telemetry.opentelemetry")
loaded += [name for name in sys.modules if name.startswith(exporters)]
sys.exit(", ".join(loaded) or 0)
"""


@pytest.mark.slow
def test_a_request_without_an_exporter_loads_no_sdk() -> None:
    done = subprocess.run(  # noqa: S603  # our own interpreter and program
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr


async def test_without_an_exporter_nothing_is_told() -> None:
    with request_telemetry("GET", "/api/x", "r", {}) as request, dependency_telemetry("the store") as call:
        count_tokens(Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2), "gpt")
    await stop_telemetry()

    assert not Settings.model_validate(ENVIRONMENT).exports_telemetry
    assert (request, call) == (None, None)


class Exporter:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, SpanFacts]] = []
        self.counted: dict[str, float] = {}
        self.stopped = False

    @contextmanager
    def work(self, name: str, told: SpanFacts, headers: Mapping[str, str] | None) -> Iterator[None]:
        assert (headers is None) == (name != "http.server.request.duration")
        self.told.append((name, told))
        yield

    def add(self, name: str, amount: float, attributes: Attributes) -> None:
        self.counted[f"{name} {attributes['kind']}"] = amount

    async def stop(self) -> None:
        self.stopped = True


async def test_one_exporter_is_told_of_all_work_until_it_is_stopped() -> None:
    exporter = Exporter()
    started = [start_telemetry(lambda: exporter), start_telemetry(Exporter)]
    with request_telemetry("GET", "/api/x", "r", {}) as request, dependency_telemetry("the store") as call:
        used = Usage(
            prompt_tokens=3, cached_tokens=1, completion_tokens=5, reasoning_tokens=2, total_tokens=8
        )
        count_tokens(used, "gpt")
    await stop_telemetry()
    count_tokens(Usage(prompt_tokens=9, completion_tokens=9, total_tokens=18), "gpt")

    assert started == [True, False]
    assert exporter.told == [
        ("http.server.request.duration", request),
        ("tenantry.dependency.duration", call),
    ]
    assert exporter.counted == {
        "tenantry.tokens prompt": 3,
        "tenantry.tokens completion": 5,
        "tenantry.tokens.part cached": 1,
        "tenantry.tokens.part reasoning": 2,
    }
    assert exporter.stopped


async def test_what_is_read_of_the_process_has_an_instrument_each() -> None:
    clock = FakeClock()
    cache = Cache(clock)
    region: Region[int] = cache.region("notes", Freshness(10), 10)
    region.put(tenant_context(), "a", 1)
    store = Dependency("the store", lambda _: None, clock=clock)
    for _ in range(5):
        store.breaker.record_failure()

    read = list(measure_process(cache, [store]))

    assert {one.name for one in read} == set(MEASUREMENTS)
    values = {(one.name, *one.attributes.values()): one.value for one in read}
    assert values["tenantry.cache.entries", "notes"] == 1
    assert values["tenantry.breaker.open", "the store"] == 1
    assert [one.name for one in measure_process(None, [])] == ["tenantry.process.peak_memory"]
