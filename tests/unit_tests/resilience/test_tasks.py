"""An exit in a task is a failure that whoever waits hears of; the loop and everybody else go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.caching.region import Cache, Freshness, Region
from shared.resilience.concurrency import side_by_side
from shared.resilience.run_to_completion import run_to_completion
from shared.resilience.single_flight import SingleFlight
from shared.resilience.tasks import TaskExitedError, spawn
from tests.support.fakes import FakeClock, tenant_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine


async def leave() -> str:
    await asyncio.sleep(0)
    raise SystemExit(3)


async def stay() -> str:
    await asyncio.sleep(0)
    return "done"


def in_single_flight(work: Coroutine[None, None, str]) -> Awaitable[str]:
    flights: SingleFlight[str, str] = SingleFlight("The question")
    return flights.ask("q", lambda: work, lambda _: None)


def in_a_cache(work: Coroutine[None, None, str]) -> Awaitable[str]:
    region: Region[str] = Cache(FakeClock()).region("names", Freshness(1), 1)
    return region.get(tenant_context(), "k", lambda: work)


async def among_others(work: Coroutine[None, None, str]) -> str:
    return (await side_by_side([work, stay()]))[0]


async def one_after_the_other(work: Coroutine[None, None, str]) -> str:
    return (await side_by_side([work], at_once=1))[0]


WAYS: list[Callable[[Coroutine[None, None, str]], Awaitable[str]]] = [
    spawn,
    among_others,
    one_after_the_other,
    run_to_completion,
    in_single_flight,
    in_a_cache,
]


@pytest.mark.parametrize("run", WAYS)
async def test_an_exit_in_a_task_is_told_to_who_waits_for_it(
    run: Callable[[Coroutine[None, None, str]], Awaitable[str]],
) -> None:
    with pytest.raises(TaskExitedError, match="exit 3"):
        await run(leave())
    assert await run(stay()) == "done"


async def test_a_task_that_is_cancelled_before_it_begins_leaves_nothing_behind() -> None:
    task = spawn(stay())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
