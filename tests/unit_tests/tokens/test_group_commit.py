"""Group commit: work that arrives while one exchange is in flight forms the next one."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING

import pytest

from shared.errors import DependencyUnavailableError
from shared.tokens.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Sequence

place: ContextVar[str] = ContextVar("place", default="nowhere")


class Work:
    """Work that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def fail(self, error: BaseException) -> None:
        self.told.append(type(error).__name__)


class Exchange:
    """An exchange that fails when told."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.places: list[str] = []
        self.fails = False

    async def run(self, work: Sequence[Work]) -> None:
        self.sizes.append(len(work))
        self.places.append(place.get())
        await asyncio.sleep(0)
        if self.fails:
            raise DependencyUnavailableError("The store")
        for one in work:
            one.told.append("done")


async def wait_until_idle(commit: GroupCommit[Work]) -> None:
    for _ in range(100):
        await asyncio.sleep(0)
        if commit.is_idle:
            return
    raise AssertionError("it never ends")


async def test_work_that_comes_while_one_is_in_flight_is_the_next_of_at_most_so_much() -> None:
    exchange = Exchange()
    commit = GroupCommit[Work](exchange.run, 4, Context())
    work = [Work() for _ in range(10)]
    for one in work:
        commit.submit(one)
    await wait_until_idle(commit)
    assert exchange.sizes == [4, 4, 2]
    assert all(one.told == ["done"] for one in work)


@pytest.mark.slow
async def test_a_failure_is_that_of_one_exchange_and_nothing_of_it_stays_reachable() -> None:
    exchange = Exchange()
    commit = GroupCommit[Work](exchange.run, 4, Context())
    first, exchange.fails = Work(), True
    commit.submit(first)
    await wait_until_idle(commit)
    assert first.told == ["DependencyUnavailableError"]
    exchange.fails = False
    second = Work()
    commit.submit(second)
    await wait_until_idle(commit)
    assert second.told == ["done"]
    gone = weakref.ref(second)
    del second, first
    gc.collect()
    assert gone() is None


async def test_an_exchange_runs_in_its_own_context_not_in_that_of_a_request() -> None:
    context, exchange = Context(), Exchange()
    context.run(place.set, "the tenant's")
    commit = GroupCommit[Work](exchange.run, 4, context)
    place.set("a request's")
    commit.submit(Work())
    await wait_until_idle(commit)
    assert exchange.places == ["the tenant's"]
