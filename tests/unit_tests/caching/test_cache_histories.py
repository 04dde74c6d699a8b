"""Random histories of reads, writes, outages and cancellations against what a region promises."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.caching.region import Cache, Freshness, Region
from shared.errors import DependencyUnavailableError
from tests.support.fakes import FakeClock, tenant_context
from tests.support.soak import REPEATABLE, SOAK, sized
from tests.unit_tests.caching.source import outage, settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = sized(120)

TENANTS = ["acme", "other"]
KEYS = ["a", "b", "c"]
ENTRIES = 4

type Place = tuple[str, str]
type Step = tuple[str, Place] | tuple[str, float]

places = st.tuples(st.sampled_from(TENANTS), st.sampled_from(KEYS))
ACTIONS = ["get", "get", "get", "end", "end", "put", "forget", "change", "change", "cancel"]
"""How often each happens, beside time passing and outages."""

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ACTIONS), places),
        st.tuples(st.sampled_from(ACTIONS), places),
        st.tuples(st.sampled_from(ACTIONS), places),
        st.tuples(st.sampled_from(["wait", "wait", "outage", "recovery"]), st.floats(0, 6)),
    ),
    min_size=50,  # left to itself, a list has four steps on average
    max_size=100,
)
freshnesses = st.builds(
    Freshness,
    ttl_seconds=st.floats(1, 10),
    stale_seconds=st.floats(0, 10),
    keep_last_good=st.booleans(),
    last_good_seconds=st.floats(0, 20),
)


@dataclass
class Note:
    """A value: whose it is, which version, when its load began, and the step in which that ended."""

    place: Place
    version: int
    since: float
    ended: int


@dataclass
class Asked:
    """One read, and what it may answer.

    Attributes:
        floor: The version that this process wrote last before the read began; nothing older may come.
        began: When the read began.
        step: The step in which it began.
    """

    place: Place
    floor: int
    began: float
    step: int
    task: asyncio.Task[Note]


@dataclass
class History:
    """A store whose versions are numbered, a region over it, and all reads so far."""

    freshness: Freshness
    clock: FakeClock = field(default_factory=FakeClock)
    out: bool = False
    step: int = 0
    versions: dict[Place, int] = field(default_factory=dict)
    floors: dict[Place, int] = field(default_factory=dict)
    held: dict[Place, list[asyncio.Event]] = field(default_factory=dict)
    reads: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.region: Region[Note] = Cache(self.clock).region("notes", self.freshness, ENTRIES)
        for tenant in TENANTS:
            for key in KEYS:
                self.versions[tenant, key] = self.floors[tenant, key] = 0
                self.held[tenant, key] = []

    def load(self, place: Place) -> Callable[[], Awaitable[Note]]:
        async def loading() -> Note:
            found, since, out = self.versions[place], self.clock.monotonic(), self.out
            gate = asyncio.Event()
            self.held[place].append(gate)
            await gate.wait()
            if out:
                raise outage()
            return Note(place, found, since, self.step)

        return loading

    async def do(self, step: Step) -> None:
        self.step += 1
        name, argument = step
        if isinstance(argument, float):
            self.clock.advance(argument)
            self.out = {"outage": True, "recovery": False}.get(name, self.out)
        else:
            self.at(name, argument)
        await settle()

    def at(self, name: str, place: Place) -> None:
        tenant, key = tenant_context(place[0]), place[1]
        match name:
            case "get":
                task = asyncio.create_task(self.region.get(tenant, key, self.load(place)))
                self.reads.append(Asked(place, self.floors[place], self.clock.monotonic(), self.step, task))
            case "put":
                self.versions[place] = self.floors[place] = self.versions[place] + 1
                self.region.put(
                    tenant, key, Note(place, self.floors[place], self.clock.monotonic(), self.step)
                )
            case "forget":
                self.versions[place] = self.floors[place] = self.versions[place] + 1
                self.region.forget(tenant, key)
            case "change":  # by another instance: this one is not told
                self.versions[place] += 1
            case "cancel":
                for read in self.reads:
                    if read.place == place and not read.task.done():
                        read.task.cancel()
                        break
            case _:
                for gate in self.held[place]:
                    gate.set()
                self.held[place].clear()

    def check(self) -> None:
        counts = self.region.counts
        assert counts.entries <= ENTRIES
        assert counts.hits + counts.misses + counts.stale == len(self.reads)
        for read in self.reads:
            if read.task.cancelled():
                continue
            if (error := read.task.exception()) is not None:
                assert isinstance(error, DependencyUnavailableError)
                continue
            note = read.task.result()
            assert note.place == read.place
            assert note.version >= read.floor
            # It was kept and is as young as the rule demands, or it came while the read waited.
            assert read.began - note.since < self.longest or note.ended > read.step

    @property
    def longest(self) -> float:
        """The greatest age of an answer that was not waited for, with room for rounding."""
        rule = self.freshness
        beyond = max(rule.stale_seconds, rule.last_good_seconds if rule.keep_last_good else 0.0)
        return rule.ttl_seconds + beyond + 1e-6


async def run(freshness: Freshness, history: list[Step]) -> None:
    told = History(freshness)
    for step in history:
        await told.do(step)
    for place in told.versions:
        await told.do(("end", place))
    told.check()
    await told.region.close()
    assert len(asyncio.all_tasks()) == 1


@settings(REPEATABLE, max_examples=20_000 if SOAK else 100)
@given(freshnesses, steps)
def test_no_answer_is_foreign_too_old_or_older_than_what_was_written(
    freshness: Freshness, history: list[Step]
) -> None:
    asyncio.run(run(freshness, history))
