"""A deadline flows down from the edge, only ever gets shorter, and ends waits."""

from __future__ import annotations

import asyncio

import pytest

from shared.caching.region import Cache, Freshness, Region
from shared.clock import SystemClock
from shared.errors import DeadlineExceededError
from shared.resilience.deadlines import deadline, no_deadline, remaining_seconds, within_deadline
from tests.support.fakes import FakeClock, tenant_context


def test_the_shorter_of_two_deadlines_is_in_force() -> None:
    clock = FakeClock()
    seen = [remaining_seconds()]
    with deadline(10, clock):
        clock.advance(4)
        with deadline(5, clock):
            seen.append(remaining_seconds())
        with deadline(60, clock):
            seen.append(remaining_seconds())
            with no_deadline():
                seen.append(remaining_seconds())
        clock.advance(60)
        seen.append(remaining_seconds())
    seen.append(remaining_seconds())

    assert seen == [None, 5, 6, None, 0, None]


async def test_a_wait_ends_with_the_deadline_and_says_what_was_waited_for() -> None:
    with deadline(0.001, SystemClock()), pytest.raises(DeadlineExceededError, match="before the parcel had"):
        async with within_deadline("the parcel"):
            await asyncio.Event().wait()


async def test_a_timeout_of_what_is_waited_for_stays_its_own() -> None:
    with deadline(60, SystemClock()), pytest.raises(TimeoutError, match="its own"):
        async with within_deadline("the parcel"):
            raise TimeoutError("its own")


async def test_without_a_deadline_a_wait_takes_its_time() -> None:
    async with within_deadline("the parcel"):
        await asyncio.sleep(0)


async def test_one_callers_deadline_ends_its_wait_for_a_shared_load_and_not_the_load() -> None:
    region: Region[str] = Cache(SystemClock()).region("notes", Freshness(10), 10)
    released = asyncio.Event()
    seen: list[float | None] = []

    async def load() -> str:
        seen.append(remaining_seconds())
        await released.wait()
        return "loaded"

    async def hurried() -> str:
        with deadline(0.001, SystemClock()):
            return await region.get(tenant_context(), "a", load)

    first = asyncio.create_task(hurried())
    await asyncio.sleep(0)
    patient = asyncio.create_task(region.get(tenant_context(), "a", load))
    with pytest.raises(DeadlineExceededError, match="the load of 'notes'"):
        await first
    released.set()

    assert await patient == "loaded"
    assert seen == [None]
