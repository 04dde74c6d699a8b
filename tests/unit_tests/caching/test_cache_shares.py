"""No tenant pushes another's entries out of a region by what it asks for, however much that is."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.caching.region import Cache, Freshness, Region
from tests.support.fakes import FakeClock, tenant_context
from tests.support.soak import REPEATABLE, SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = sized(120)

ENTRIES = 32
SHARE = ENTRIES // 8
OTHERS = [(f"tenant-{number}", f"k{key}") for number in range(9) for key in range(SHARE - 1)]
"""More than one tenant's, each with less than a share, and all of them fit beside one share."""

type Place = tuple[str, str]
type Step = tuple[str, Place]

flooding = st.tuples(
    st.sampled_from(["get", "get", "get", "put", "forget"]),
    st.tuples(st.just("flood"), st.integers(0, 4 * ENTRIES).map(str)),
)
using = st.tuples(st.just("get"), st.sampled_from(OTHERS))


class Loads:
    """A region whose loads are counted."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self.region: Region[str] = Cache(FakeClock()).region("notes", Freshness(3600), entries)
        self.of: Counter[Place] = Counter()

    def load(self, place: Place) -> Callable[[], Awaitable[str]]:
        async def loading() -> str:
            self.of[place] += 1
            return place[1]

        return loading

    async def do(self, action: str, place: Place) -> None:
        tenant = tenant_context(place[0])
        match action:
            case "get":
                await self.region.get(tenant, place[1], self.load(place))
            case "put":
                self.region.put(tenant, place[1], place[1])
            case _:
                self.region.forget(tenant, place[1])
        assert self.region.counts.entries <= ENTRIES


def test_the_others_fit_beside_a_share() -> None:
    assert len(OTHERS) <= ENTRIES - SHARE < len(OTHERS) + SHARE


@settings(REPEATABLE, max_examples=5_000 if SOAK else 50)
@given(st.lists(st.one_of(flooding, flooding, using), min_size=100, max_size=200))
def test_whatever_one_tenant_asks_for_nobody_elses_entry_is_loaded_again(history: list[Step]) -> None:
    async def run() -> None:
        loads = Loads()
        for action, place in history:
            await loads.do(action, place)
        used = {place for action, place in history if action == "get" and place in OTHERS}
        assert {place: count for place, count in loads.of.items() if place in OTHERS} == dict.fromkeys(
            used, 1
        )

    asyncio.run(run())


async def test_who_has_the_region_alone_has_all_of_it_and_loses_the_least_recently_used() -> None:
    loads = Loads()
    for number in range(ENTRIES):
        await loads.do("get", ("flood", str(number)))
    await loads.do("get", ("flood", "0"))
    await loads.do("get", ("flood", "new"))

    await loads.do("get", ("flood", "0"))
    await loads.do("get", ("flood", "1"))

    assert (loads.of["flood", "0"], loads.of["flood", "1"]) == (1, 2)
    assert loads.region.counts.entries == ENTRIES


async def test_who_came_first_and_took_all_makes_room_though_it_uses_all() -> None:
    loads = Loads()
    for place in [*(("flood", str(number)) for number in range(ENTRIES)), *OTHERS, *OTHERS]:
        await loads.do("get", place)
        for number in range(ENTRIES):
            loads.region.peek(tenant_context("flood"), str(number))

    assert all(loads.of[place] == 1 for place in OTHERS)


async def test_where_nobody_has_a_share_the_least_recently_used_goes_whosever_it_is() -> None:
    loads = Loads()
    for number in range(ENTRIES + 1):
        await loads.do("get", (f"tenant-{number}", "k"))

    await loads.do("get", ("tenant-1", "k"))
    await loads.do("get", ("tenant-0", "k"))

    assert (loads.of["tenant-1", "k"], loads.of["tenant-0", "k"]) == (1, 2)
