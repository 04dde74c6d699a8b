"""What unit tests share: a clock of their own and a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import FakeClock
from tests.support.memory_cosmos import MemoryCosmos, memory_cosmos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def cosmos(clock: FakeClock) -> AsyncIterator[MemoryCosmos]:
    async with memory_cosmos(clock) as account:
        yield account
