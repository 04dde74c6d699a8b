"""Work side by side: results in order, bounded, and failing as one call would."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import DependencyUnavailableError
from shared.resilience.concurrency import side_by_side


async def test_results_come_in_order_whoever_is_first() -> None:
    first_may = asyncio.Event()

    async def first() -> int:
        await first_may.wait()
        return 1

    async def second() -> int:
        first_may.set()
        return 2

    assert await side_by_side([first(), second()]) == [1, 2]


async def test_a_failure_is_raised_as_it_is_and_the_others_are_stopped() -> None:
    stopped = asyncio.Event()

    async def fail() -> None:
        raise DependencyUnavailableError("Cosmos DB")

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(DependencyUnavailableError, match="Cosmos DB"):
        await side_by_side([hang(), fail()])
    assert stopped.is_set()


async def test_no_more_than_allowed_run_at_once() -> None:
    running = most = 0

    async def count() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await side_by_side((count() for _ in range(20)), at_once=3)

    assert most == 3
