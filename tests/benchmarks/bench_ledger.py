"""Lock + report cycles of the token ledger beside token-throttle and beside one conditional patch per lock.

Run with `pytest tests/benchmarks/bench_ledger.py -s`. One run measures all of them; figures are printed, not
asserted. CPU is that of the processes that lock, not of the store. token-throttle's backends keep their
counts in the process or in a file, the ledger in the local Cosmos endpoint: through azure-cosmos, and
through the client of our own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration_tests.local_cosmos.endpoint import running_endpoint

THROTTLE = Path("tests/benchmarks/peers/token_throttle_cycles.py")
WORKER = "tests.benchmarks.bench_ledger_cycles"
MANY = 1_000
SYSTEMS = (("ledger", "sdk"), ("ledger", "fast"), ("patch", "fast"))
"""What is measured, and the client of the store, by the names of the setting `COSMOS_CLIENT`."""

HOT, HOT_TOGETHER, SLOWER = 200, 20_480, 1_024
"""Cycles of one task, of 256 on one budget of the ledger, and of 256 where each cycle is two requests."""


@dataclass(frozen=True)
class Result:
    """What all processes of one measurement did together."""

    label: str
    cycles: float
    seconds: float
    cpu: float
    p99: float
    requests: float = 0.0
    settling: float = 0.0

    @property
    def cpu_ms(self) -> float:
        """Return the CPU per cycle."""
        return self.cpu / self.cycles * 1000

    def row(self, peers: dict[str, Result]) -> str:
        """Render it with its ratios to the peers."""
        ratios = "".join(f"{self.cpu_ms / peer.cpu_ms:>9.2f}" for peer in peers.values())
        trips = f"{(self.requests - self.settling) / self.cycles:>8.3f}" if self.requests else " " * 8
        return (
            f"{self.label:<50} {self.cycles / self.seconds:>8,.0f} {self.cpu_ms:>8.3f} "
            f"{self.p99 * 1000:>9.1f} {trips} {ratios}"
        )


def summed(label: str, parts: list[dict[str, float]]) -> Result:
    """Add up what the processes of one measurement did."""
    sums = {name: sum(part[name] for part in parts) for name in ("cycles", "cpu", "requests", "settling")}
    longest = {name: max(part[name] for part in parts) for name in ("seconds", "p99")}
    return Result(label, **sums, **longest)


def measure(address: str, measured: tuple[str, str], first: int, shape: tuple[int, int, int]) -> Result:
    """Run the processes of one measurement: so many, with so many budgets in all and tasks in each."""
    system, client = measured
    processes, budgets, waiting = shape
    together = HOT_TOGETHER if system == "ledger" and budgets == 1 else SLOWER
    cycles = HOT if waiting == 1 else together
    each = max(1, budgets // processes)
    running: list[subprocess.Popen[str]] = []
    for number in range(processes):
        plan = {
            "address": address,
            "system": system,
            "client": client,
            "first": first if budgets == 1 else first + number * each,
            "budgets": each,
            "waiting": waiting,
            "cycles": cycles // processes,
        }
        command = [sys.executable, "-m", WORKER, json.dumps(plan)]
        running.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  # ours
        )
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "warm\n", "it broke off: its own words are above"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [json.loads(process.communicate()[0]) for process in running]
    finally:
        # Those that outlive another one's failure would only say that the store has gone away.
        for process in running:
            process.kill()
            process.communicate()
    label = f"{system} ({client}), {budgets} budgets, {processes} processes, {waiting} waiting"
    return summed(label, found)


def throttle(python: Path, where: str, budgets: int, waiting: int, name: str) -> Result:
    """Measure token-throttle in its own environment."""
    command = [
        str(python),
        str(THROTTLE),
        where,
        str(budgets),
        str(waiting),
        str(2_000 if waiting > 1 else 500),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # a pinned peer
    return Result(f"{name}, {budgets} budgets, {waiting} waiting", **json.loads(answer.stdout))


@pytest.mark.timeout(1800)
def test_cycles(tmp_path: Path, peer_python: Path) -> None:
    peers = {
        "memory": throttle(peer_python, "memory", 1, 256, "token-throttle in memory"),
        "SQLite": throttle(peer_python, str(tmp_path / "throttle.db"), 1, 256, "token-throttle on SQLite"),
    }
    print(f"\n{'':<50} {'cycles/s':>8} {'CPU ms':>8} {'p99 ms':>9} {'RT/lock':>8}  ratio to memory, SQLite")
    for peer in peers.values():
        print(peer.row(peers), flush=True)
    shapes = [
        (processes, budgets, waiting) for budgets in (1, MANY) for processes in (1, 4) for waiting in (1, 256)
    ]
    first = 0
    with running_endpoint(tmp_path / "store") as endpoint:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(endpoint.pid, {cores[0]})
        for measured in SYSTEMS:
            for shape in shapes:
                print(measure(endpoint.address, measured, first, shape).row(peers), flush=True)
                first += MANY
