"""The second level on a real redis-server, which is killed and comes back."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from shared.caching.redis import RedisLevel
from shared.caching.region import Cache, Freshness
from shared.clock import SystemClock
from shared.resilience.circuit_breaker import CircuitBreaker
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SERVER = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="redis-server is not installed (Debian: redis-server)")


class Note(BaseModel):
    """A value."""

    text: str


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running_redis(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(SERVER), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603  # found above
        try:
            until = time.monotonic() + 20
            while not answers(port):
                assert time.monotonic() < until, "redis-server did not start"
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@asynccontextmanager
async def instance(port: int) -> AsyncIterator[Instance]:
    clock = SystemClock()
    level = RedisLevel(f"redis://127.0.0.1:{port}/0", clock)
    level.dependency.breaker = CircuitBreaker(clock, open_seconds=0.2)
    cache = Cache(clock, lambda: level)
    yield Instance(cache)
    await cache.close()
    await level.close()


class Instance:
    """One process's cache, over a source that counts."""

    def __init__(self, cache: Cache) -> None:
        self.region = cache.shared_region("notes", Freshness(60), 10, Note)
        self.loads = 0

    async def load(self) -> Note:
        self.loads += 1
        return Note(text="from the source")

    async def read(self, key: str = "a") -> str:
        return (await self.region.get(tenant_context("acme"), key, self.load)).text


async def until_held(port: int, *keys: str) -> None:
    """Wait for what is written in the background."""
    async with Redis(port=port) as client, asyncio.timeout(10):
        while await client.exists(*keys) != len(keys):
            await SystemClock().sleep(0.01)


async def test_instances_share_what_one_of_them_loaded(tmp_path: Path) -> None:
    port = free_port()
    with running_redis(tmp_path, port):
        async with instance(port) as first, instance(port) as second:
            await first.read()
            await until_held(port, "tenant:acme:notes:a")

            assert await second.read() == "from the source"
            assert (first.loads, second.loads) == (1, 0)
            assert second.region.counts.second_hits == 1
            async with Redis(port=port) as client:
                keys = await client.keys()
                held = await client.get("tenant:acme:notes:a")
                assert 0 < await client.pttl("tenant:acme:notes:a") <= 60_000
            assert keys == [b"tenant:acme:notes:a"]
            assert json.loads(json.loads(held or b"")["value"]) == {"text": "from the source"}


async def test_a_server_that_is_killed_costs_no_answer_and_is_used_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with instance(port) as app:
        with running_redis(tmp_path, port) as server:
            await app.read("before")
            await until_held(port, "tenant:acme:notes:before")
            server.kill()
            server.wait(10)
            for number in range(20):
                assert await app.read(f"while it is down {number}") == "from the source"
        assert app.loads == 21
        assert app.region.counts.second_failures >= 20

        with running_redis(tmp_path, port):
            async with asyncio.timeout(10):
                for number in range(1000):
                    await app.read(f"when it is back {number}")
                    async with Redis(port=port) as client:
                        if await client.dbsize():
                            break
                    await SystemClock().sleep(0.02)


async def test_a_server_that_hangs_delays_a_miss_by_no_more_than_its_patience() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        async with instance(listening.getsockname()[1]) as app:
            began = time.monotonic()

            assert await app.read() == "from the source"
            assert time.monotonic() - began < 10  # nobody ever answers
            assert app.region.counts.second_failures >= 1
