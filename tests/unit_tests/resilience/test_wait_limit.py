"""One timer bounds each of many waits, as one timeout for each would."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.resilience.wait_limit import WaitLimit
from tests.support.simulated_cosmos import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def simulate[T](work: Callable[[], Awaitable[T]]) -> T:
    """Run on a loop whose time jumps to the next timer."""

    async def run() -> T:
        return await work()

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(run())


def now() -> float:
    return asyncio.get_running_loop().time()


async def sleep(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


def test_each_wait_has_its_own_end_and_what_is_between_them_does_not_count() -> None:
    async def work() -> list[float]:
        ends = []
        with WaitLimit() as limit:
            for seconds in (1.0, 4.0, 0.5, 4.9):
                assert await limit.wait(sleep(seconds), now() + 5) == "slept"
                await asyncio.sleep(30)
                ends.append(now())
        return ends

    assert simulate(work) == [31.0, 65.0, 95.5, 130.4]


@pytest.mark.parametrize("waits_before", [0, 1, 3])
def test_a_wait_that_takes_too_long_is_ended_at_its_time(waits_before: int) -> None:
    async def work() -> float:
        with WaitLimit() as limit:
            for _ in range(waits_before):
                await limit.wait(sleep(4), now() + 5)
            began = now()
            with pytest.raises(TimeoutError):
                await limit.wait(sleep(100), now() + 5)
            ended = now() - began
            assert await limit.wait(sleep(1), now() + 5) == "slept"
        assert asyncio.current_task() is not None
        return ended

    assert simulate(work) == 5.0


def test_an_end_that_is_earlier_than_the_last_one_holds() -> None:
    async def work() -> float:
        with WaitLimit() as limit:
            await limit.wait(sleep(1), now() + 50)
            with pytest.raises(TimeoutError):
                await limit.wait(sleep(20), now() + 5)
            return now()

    assert simulate(work) == 6.0


def test_a_wait_whose_end_is_past_is_ended_unless_it_is_there_already() -> None:
    async def work() -> None:
        there: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        there.set_result(7)
        with WaitLimit() as limit:
            assert await limit.wait(there, now() - 1) == 7
            with pytest.raises(TimeoutError):
                await limit.wait(sleep(1), now() - 1)
            assert now() == 0.0

    simulate(work)


def test_who_is_cancelled_from_outside_is_cancelled_and_not_told_of_a_timeout() -> None:
    async def work() -> tuple[bool, int]:
        async def waits() -> None:
            with WaitLimit() as limit:
                await limit.wait(sleep(100), now() + 5)

        task = asyncio.create_task(waits())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled(), task.cancelling()

    assert simulate(work) == (True, 1)


def test_who_is_cancelled_from_outside_at_the_very_end_stays_cancelled() -> None:
    async def work() -> bool:
        async def waits() -> None:
            with WaitLimit() as limit:
                await limit.wait(sleep(100), 5.0)

        task = asyncio.create_task(waits())
        asyncio.get_running_loop().call_at(5.0, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert simulate(work)


def test_an_error_of_what_is_waited_for_is_passed_on() -> None:
    async def fails() -> None:
        raise OSError("broken")

    async def work() -> None:
        with WaitLimit() as limit, pytest.raises(OSError, match="broken"):
            await limit.wait(fails(), now() + 5)

    simulate(work)


def test_no_timer_is_left_behind() -> None:
    async def work() -> float:
        with WaitLimit() as limit:
            await limit.wait(sleep(1), now() + 500)
        await asyncio.sleep(0)
        return now()

    assert simulate(work) == 1.0
