"""What was paid for is carried to its end, whatever happens to who asked for it."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import DependencyUnavailableError
from shared.resilience.deadlines import deadline, remaining_seconds
from shared.resilience.run_to_completion import run_or_undo, run_to_completion
from tests.support.fakes import FakeClock


class Work:
    """Work that ends when it is let go."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.is_over = False
        self._failure = failure

    async def run(self) -> str:
        self.begun.set()
        await self.go_on.wait()
        self.is_over = True
        if self._failure is not None:
            raise self._failure
        return "done"


async def test_the_result_is_the_callers() -> None:
    work = Work()
    work.go_on.set()
    assert await run_to_completion(work.run()) == "done"


async def test_a_failure_is_the_callers() -> None:
    work = Work(DependencyUnavailableError("The store"))
    work.go_on.set()
    with pytest.raises(DependencyUnavailableError):
        await run_to_completion(work.run())


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_caller_cancelled_any_number_of_times_ends_after_the_work(times: int) -> None:
    work = Work()
    calling = asyncio.ensure_future(run_to_completion(work.run()))
    await work.begun.wait()
    for _ in range(times):
        calling.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not calling.done()
    work.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert work.is_over


@pytest.mark.parametrize("failure", [DependencyUnavailableError("The store"), ValueError("a defect")])
async def test_what_nobody_hears_of_any_more_is_logged(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(failure)
    calling = asyncio.ensure_future(run_to_completion(work.run()))
    await work.begun.wait()
    calling.cancel()
    await asyncio.sleep(0)
    work.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert [record.__dict__["error"] for record in caplog.records] == [type(failure).__name__]


async def test_the_callers_deadline_does_not_end_the_work() -> None:
    clock = FakeClock()

    async def look() -> float | None:
        return remaining_seconds()

    with deadline(5, clock):
        clock.advance(6)
        assert await run_to_completion(look()) is None


@pytest.mark.parametrize(
    ("failure", "undone"), [(None, ["done"]), (DependencyUnavailableError("The store"), [])]
)
async def test_work_whose_caller_left_is_undone_where_it_had_an_effect(
    failure: Exception | None, undone: list[str]
) -> None:
    work, found = Work(failure), list[str]()

    async def undo(result: str) -> None:
        found.append(result)

    calling = asyncio.ensure_future(run_or_undo(work.run(), undo))
    await work.begun.wait()
    calling.cancel()
    await asyncio.sleep(0)
    work.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert found == undone


async def test_work_whose_caller_waited_is_not_undone() -> None:
    work = Work()
    work.go_on.set()

    async def undo(result: str) -> None:
        pytest.fail(f"{result} was undone")

    assert await run_or_undo(work.run(), undo) == "done"
