"""What the edge costs: a route that authenticates, limits, validates and renders, beside a bare function.

Both are functions of one app in one process of the local host, and take the same request in turns. Counted is
the CPU time of that process, all of its threads. Run with `pytest tests/benchmarks/bench_edge_cost.py -s`;
nothing is asserted, since a shared machine's figures are no claims.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.integration_tests.local_host.running import environment
from tests.support.whole_app import ADMIN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
APP = Path(__file__).parent / "edge_app"
CONNECTIONS = 8
REQUESTS = 2_000
ROUNDS = 5
NOTE = b'{"text":"hello","stars":3}'
GOAL_US = 150


@dataclass(frozen=True, slots=True)
class Host:
    """A host process with the app."""

    pid: int
    port: int

    def cpu_us(self) -> float:
        """Return the CPU time used so far by all of its threads."""
        spent = 0
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            spent += int((thread / "schedstat").read_text().split()[0])
        return spent / 1_000


@contextmanager
def host(log_level: str) -> Iterator[Host]:
    """Run the app until the block ends."""
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryFile() as log:
        flags = ["--port", "0", "--data-dir", data, "--app-root", str(APP)]
        process = subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, "-m", "local.host", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment({"TENANT_PURGE_SCHEDULE": "0 0 0 1 1 *", "LOG_LEVEL": log_level}),
            cwd=ROOT,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield Host(process.pid, int(json.loads(line.removeprefix("listening "))["port"]))
        finally:
            process.terminate()
            process.communicate(timeout=30)


def new_key(port: int) -> str:
    """Make a tenant and a key of it, over the app's own routes."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        admin = {"authorization": f"Bearer {ADMIN_KEY}"}
        tenant = {"tenant_id": "acme", "name": "Acme", "tier": "premium"}
        client.post("/api/v1/tenants", json=tenant, headers=admin).raise_for_status()
        made = client.post("/api/v1/tenants/acme/keys", json={"name": "k"}, headers=admin)
        made.raise_for_status()
        return str(made.json()["key"])


async def load(port: int, path: str, key: str, requests: int) -> None:
    """Send the note over a few connections, and read each answer to its end."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(NOTE)}\r\n\r\n"
    )

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // CONNECTIONS):
            writer.write(head.encode() + NOTE)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert answer.startswith(b"http/1.1 200"), answer
            length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body: Any = json.loads(await reader.readexactly(length))
            assert body["stars"] == 3
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))


def measured(host: Host, path: str, key: str) -> float:
    """Return the CPU time of one request."""
    before = host.cpu_us()
    asyncio.run(load(host.port, path, key, REQUESTS))
    return (host.cpu_us() - before) / REQUESTS


def side_by_side(log_level: str) -> tuple[float, float, float]:
    """Return what a request costs bare, behind the edge, and the difference: medians over the rounds."""
    paths = {"bare": "/api/bare/a?limit=5", "edge": "/api/v1/notes/a?limit=5"}
    with host(log_level) as running:
        key = new_key(running.port)
        for path in paths.values():  # to warm up
            asyncio.run(load(running.port, path, key, REQUESTS))
        rounds = [{name: measured(running, path, key) for name, path in paths.items()} for _ in range(ROUNDS)]
    bare, edge = (statistics.median(one[name] for one in rounds) for name in ("bare", "edge"))
    return bare, edge, statistics.median(one["edge"] - one["bare"] for one in rounds)


def test_the_edge_beside_a_bare_function() -> None:
    print(f"CPU of the host's process per request in us, medians of {ROUNDS} rounds of {REQUESTS}")
    print(f"{'':<58}{'bare':>7}{'edge':>7}{'ratio':>7}{'more':>7}")
    for what, log_level in (
        ("authenticate, limit, validate, render", "WARNING"),
        ("the same with its log line (the bare one writes none)", "INFO"),
    ):
        bare, edge, more = side_by_side(log_level)
        print(f"{what:<58}{bare:>7.0f}{edge:>7.0f}{edge / bare:>7.2f}{more:>7.0f}")
    print(f"goal: at most {GOAL_US} us more")
