"""What unit tests share: a clock of their own and a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.fakes import FakeClock
from tests.support.memory_cosmos import MemoryCosmos, memory_cosmos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# How fast the machine is decides nothing: neither a deadline for an example nor one for making it.
settings.register_profile(
    "any machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def cosmos(clock: FakeClock) -> AsyncIterator[MemoryCosmos]:
    async with memory_cosmos(clock) as account:
        yield account
