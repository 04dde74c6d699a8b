"""Work side by side: results in order, bounded, and failing as one call would."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import DependencyUnavailableError
from shared.resilience.concurrency import Paces, side_by_side
from tests.support.fakes import FakeClock


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


class Working:
    """Work that takes a fifth of a second of its thread each time, and is refused if it is told so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.paces = Paces(self.clock, lambda: self.cpu_seconds)
        self.cpu_seconds = 0.0

    def work(self, failure: Exception | None = None) -> str:
        self.cpu_seconds += 0.2
        if failure is not None:
            raise failure
        return "done"


async def test_who_holds_the_loop_leaves_it_three_times_as_long_to_others() -> None:
    working = Working()

    assert [await working.paces.run("acme", working.work) for _ in range(3)] == ["done"] * 3

    assert working.clock.slept == pytest.approx([0.6, 0.6])


async def test_owners_do_not_wait_for_each_other_nor_does_who_comes_after_a_while() -> None:
    working = Working()

    for owner in ("acme", "globex", ""):
        await working.paces.run(owner, working.work)
    working.clock.advance(0.7)
    await working.paces.run("acme", working.work)

    assert working.clock.slept == []


async def test_what_is_refused_gives_way_as_well() -> None:
    working = Working()

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await working.paces.run("acme", lambda: working.work(ValueError("no")))

    assert working.clock.slept == pytest.approx([0.6])


async def test_many_of_one_owner_come_one_after_the_other() -> None:
    working = Working()

    await asyncio.gather(*(working.paces.run("acme", working.work) for _ in range(12)))

    assert working.clock.slept == pytest.approx([0.6] * 11)


async def test_light_work_waits_only_for_what_held_the_loop_for_five_milliseconds() -> None:
    working = Working()

    async def work(seconds: float) -> None:
        def take() -> None:
            working.cpu_seconds += seconds

        await working.paces.run_light("acme", take)

    for seconds in (0.0049, 0.0049, 0.0051, 0.0001, 0.0001):
        await work(seconds)

    assert working.clock.slept == pytest.approx([3 * 0.0051, 3 * 0.0001])


async def test_what_is_done_one_at_a_time_is_each_owners_own() -> None:
    working = Working()
    inside: list[str] = []

    async def enter(owner: str) -> None:
        async with working.paces.in_turn(owner):
            assert owner not in inside
            inside.append(owner)
            await asyncio.sleep(0)
            inside.remove(owner)

    await asyncio.gather(*(enter(owner) for owner in ("acme", "globex") * 5))
