"""The way to the server, as far as it goes without one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.caching.redis import RedisLevel, classify
from shared.errors import DependencyUnavailableError
from shared.resilience.circuit_breaker import BreakerState
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_server_that_is_not_there_is_unavailable_and_soon_left_alone(tmp_path: Path) -> None:
    level = RedisLevel(f"unix://{tmp_path}/nobody.sock", FakeClock())
    calls = (level.get("k"), level.put("k", b"v", 0.5), level.remove("k"), level.get("k"), level.get("k"))
    failures = [await asyncio.gather(call, return_exceptions=True) for call in calls]
    await level.close()

    assert [type(failure) for (failure,) in failures] == [DependencyUnavailableError] * 5
    assert level.dependency.breaker.state is BreakerState.OPEN


async def test_who_is_closed_leaves_no_connection(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        while asked := await reader.read(4096):
            writer.write(b"+OK\r\n" * asked.count(b"*"))  # one for each command
        writer.close()
        ended.set()

    server = await asyncio.start_unix_server(serve, tmp_path / "redis.sock")
    level = RedisLevel(f"unix://{tmp_path}/redis.sock", FakeClock())
    await level.put("k", b"v", 1)
    assert begun.is_set()
    assert not ended.is_set()
    await level.close()
    async with asyncio.timeout(10):
        await ended.wait()
    server.close()


@pytest.mark.parametrize("error", [RedisConnectionError(), BusyLoadingError(), OSError()])
def test_whatever_fails_means_that_it_cannot_be_used_now(error: Exception) -> None:
    assert classify(error) is not None


def test_a_defect_is_no_outage() -> None:
    assert classify(TypeError()) is None
