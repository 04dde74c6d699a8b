"""What a query in one partition costs amid other partitions' items, few and many.

Run with `pytest tests/benchmarks/bench_local_cosmos_isolation.py -s`. Figures are printed, not asserted.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit_tests.local_cosmos.wire import NESTED, Wire, documents

if TYPE_CHECKING:
    from pathlib import Path

    from local.cosmos.wire.messages import Response

OWN_ITEMS = 50
ROUNDS = 300
QUERY = "SELECT c.id, c.n FROM c WHERE c.n >= 0 ORDER BY c.n DESC"


def _fill(wire: Wire, container: str, foreign: int) -> None:
    """Interleave one tenant's items with those of many others."""
    step = max(foreign // OWN_ITEMS, 1)
    with wire.store.transaction():
        for number in range(foreign):
            tenant = f"t{number % 1000}"
            wire.create(
                container,
                {"id": str(number), "a": tenant, "b": "b", "c": "c", "n": number},
                [tenant, "b", "c"],
            )
            if number % step == 0 and number // step < OWN_ITEMS:
                wire.create(
                    container,
                    {"id": str(number), "a": "own", "b": "b", "c": "c", "n": number},
                    ["own", "b", "c"],
                )


def _median_us(wire: Wire, container: str, key: str) -> float:
    def ask() -> Response:
        return wire.page(container, QUERY, x_ms_documentdb_partitionkey=key)

    assert len(documents(ask())) == OWN_ITEMS
    times: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ask()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


@pytest.mark.timeout(300)
def test_a_partition_amid_foreign_items(tmp_path: Path) -> None:
    scopes = {"one partition": '["own","b","c"]', "a prefix": '["own"]'}
    medians: dict[str, list[float]] = {scope: [] for scope in scopes}
    for foreign in (100, 100_000):
        wire = Wire(tmp_path / f"{foreign}.sqlite")
        container = wire.with_container(NESTED)
        _fill(wire, container, foreign)
        for scope, key in scopes.items():
            medians[scope].append(_median_us(wire, container, key))
        wire.store.close()
    print(f"\n{OWN_ITEMS} own items, median of {ROUNDS}")
    for scope, (few, many) in medians.items():
        figures = f"amid 100: {few:7,.0f} us   amid 100,000: {many:7,.0f} us"
        print(f"{scope:<14} {figures}   ratio {many / few:5.2f}   wanted 1")
