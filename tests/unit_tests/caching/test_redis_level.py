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


@pytest.mark.parametrize("error", [RedisConnectionError(), BusyLoadingError(), OSError()])
def test_whatever_fails_means_that_it_cannot_be_used_now(error: Exception) -> None:
    assert classify(error) is not None


def test_a_defect_is_no_outage() -> None:
    assert classify(TypeError()) is None
