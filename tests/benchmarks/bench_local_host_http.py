"""How fast and how big one host instance is: a trivial function beside bare uvicorn, a stream, its memory.

Run with `pytest tests/benchmarks/bench_local_host_http.py -s`. The servers run on the first core and
the load on the last one. Figures of a shared machine are no claims: nothing is asserted.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.integration_tests.local_host.running import APPS, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CONNECTIONS = 32
_SECONDS = 5.0
_ROOT = Path(__file__).parents[2]

_BARE = """
import json, socket, sys, uvicorn
HEADERS = [(b"content-length", b"4"), (b"content-type", b"text/plain")]
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"pong"})
bound = socket.create_server(("127.0.0.1", 0))
print("listening", json.dumps({"port": bound.getsockname()[1]}), flush=True)
options = {"http": "httptools", "loop": "uvloop", "lifespan": "off", "access_log": False}
uvicorn.Server(uvicorn.Config(app, log_level="error", **options)).run(sockets=[bound])
"""


class _Client(asyncio.Protocol):
    """One connection that sends the next request as soon as an answer has ended."""

    def __init__(self, request: bytes, end: bytes, deadline: float) -> None:
        self._request = request
        self._end = end
        self._deadline = deadline
        self._sent = 0.0
        self._tail = b""
        self._transport: asyncio.WriteTransport | None = None
        self.latencies: list[float] = []
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write"):
            self._transport = transport  # type: ignore[assignment] # uvloop's transport is one by behaviour only
        self._send()

    def data_received(self, data: bytes) -> None:
        """Go on when the answer has ended."""
        self._tail = (self._tail + data)[-len(self._end) :]
        if self._tail != self._end:
            return
        now = time.perf_counter()
        self.latencies.append(now - self._sent)
        if now < self._deadline:
            self._send()
        elif not self.finished.done():
            self.finished.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail where the server went away."""
        if not self.finished.done():
            self.finished.set_exception(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        self._tail = b""
        self._sent = time.perf_counter()
        if self._transport is not None:
            self._transport.write(self._request)

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True, slots=True)
class _Load:
    """What a load measured."""

    per_second: float
    median_ms: float
    slow_ms: float
    cpu_us: float
    """The server's CPU time for each request: what is left of a figure when others use the machine too."""


async def _load(port: int, pid: int, path: str, end: bytes, seconds: float) -> _Load:
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    began, cpu = time.perf_counter(), _cpu_seconds(pid)
    clients = []
    for _ in range(_CONNECTIONS):
        _, client = await loop.create_connection(
            lambda: _Client(request, end, began + seconds), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.gather(*(client.finished for client in clients))
    took, cpu = time.perf_counter() - began, _cpu_seconds(pid) - cpu
    for client in clients:
        client.close()
    latencies = sorted(latency for client in clients for latency in client.latencies)
    return _Load(
        per_second=len(latencies) / took,
        median_ms=1000 * latencies[len(latencies) // 2],
        slow_ms=1000 * latencies[int(len(latencies) * 0.99)],
        cpu_us=1e6 * cpu / len(latencies),
    )


def _measure(port: int, pid: int, path: str, end: bytes) -> _Load:
    uvloop.run(_load(port, pid, path, end, 1.0))  # to warm up
    return uvloop.run(_load(port, pid, path, end, _SECONDS))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _server(command: Sequence[str], core: int) -> Iterator[tuple[int, int]]:
    """Run a server on one core and give its port and its process."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 -- our own command line
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment({}),
            cwd=_ROOT,
        )
        try:
            os.sched_setaffinity(process.pid, {core})
            if process.stdout is None:
                raise RuntimeError("no stdout")
            line = process.stdout.readline()
            yield int(json.loads(line.removeprefix("listening "))["port"]), process.pid
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _host(app: str, data_dir: str) -> list[str]:
    return [
        *(sys.executable, "-m", "local.host", "--port", "0"),
        *("--data-dir", data_dir, "--app-root", str(APPS / app)),
    ]


def _row(what: str, load: _Load) -> None:
    latency = f"{load.median_ms:>10.1f} ms{load.slow_ms:>10.1f} ms"
    print(f"{what:<40}{load.per_second:>10,.0f}/s{latency}{load.cpu_us:>10.0f} us")


@pytest.fixture
def cores() -> Iterator[list[int]]:
    """Keep this process, which is the load, on the last core."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[-1]})
    yield allowed
    os.sched_setaffinity(0, set(allowed))


def test_one_instance_beside_bare_uvicorn(cores: list[int]) -> None:
    print(f"{_CONNECTIONS} connections, {_SECONDS:.0f} s each, {len(cores)} cores")
    print(f"{'':<40}{'rate':>12}{'median':>13}{'99 %':>13}{'CPU each':>13}")
    with _server([sys.executable, "-c", _BARE], cores[0]) as (port, pid):
        bare = _measure(port, pid, "/", b"pong")
    _row("bare uvicorn, a raw ASGI app", bare)
    with (
        tempfile.TemporaryDirectory() as folder,
        _server(_host("streaming", folder), cores[0]) as (port, pid),
    ):
        idle = _resident_mb(pid)
        streaming = _measure(port, pid, "/api/ping", b"pong")
        chunks = _measure(port, pid, "/api/numbers/50", b"0\r\n\r\n")
        loaded = _resident_mb(pid)
    _row("async function, FastAPI types", streaming)
    _row("stream of 50 chunks", chunks)
    with (
        tempfile.TemporaryDirectory() as folder,
        _server(_host("classic", folder), cores[0]) as (port, pid),
    ):
        classic = _measure(port, pid, "/api/text", b"Hello World!")
    _row("async function, classic types", classic)
    print(
        f"FastAPI types beside bare uvicorn: {streaming.per_second / bare.per_second:.2f} of its rate, "
        f"{streaming.cpu_us / bare.cpu_us:.1f} times its CPU; {1e6 / streaming.cpu_us:,.0f}/s a core"
    )
    print(f"memory of an instance: {idle:.0f} MB idle, {loaded:.0f} MB after the load")
