"""What a region promises, one claim at a time."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import TYPE_CHECKING, cast

import pytest

from shared.caching.region import Cache, Freshness, Region, RegionCounts
from shared.errors import DependencyTimeoutError
from shared.prompts.errors import PromptNotFoundError
from tests.support.fakes import FakeClock, tenant_context
from tests.unit_tests.caching.source import Source, outage, settle

if TYPE_CHECKING:
    from shared.tenancy.context import TenantContext

ACME = tenant_context("acme")
OTHER = tenant_context("other")


def region_of(clock: FakeClock, freshness: Freshness | None = None, max_entries: int = 100) -> Region[object]:
    return Cache(clock).region("notes", freshness or Freshness(10), max_entries)


async def test_a_value_is_loaded_once_within_its_ttl() -> None:
    clock = FakeClock()
    region, source = region_of(clock), Source()

    first = await region.get(ACME, "a", source)
    clock.advance(9.9)
    source.value = "second"
    again = await region.get(ACME, "a", source)
    clock.advance(0.1)

    assert (first, again, await region.get(ACME, "a", source)) == ("first", "first", "second")
    assert source.loads == 2
    assert (region.counts.hits, region.counts.misses) == (1, 2)
    assert region.counts.oldest_served_seconds == pytest.approx(9.9)


async def test_the_age_counts_from_when_the_load_began() -> None:
    clock = FakeClock()
    region, source = region_of(clock), Source()
    source.hold()
    waiting = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    clock.advance(8)
    source.release()
    await waiting
    clock.advance(2)

    await region.get(ACME, "a", source)

    assert source.loads == 2


async def test_peeking_shows_what_is_within_its_ttl_and_loads_nothing() -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, stale_seconds=5), max_entries=2), Source()
    assert region.peek(ACME, "a") is None
    await region.get(ACME, "a", source)
    region.put(ACME, "b", "second")

    assert (region.peek(ACME, "a"), region.peek(OTHER, "a")) == ("first", None)
    region.put(ACME, "c", "third")  # makes room by the least recently used: not by what was peeked at
    assert (region.peek(ACME, "a"), region.peek(ACME, "b")) == ("first", None)
    clock.advance(10)
    assert region.peek(ACME, "a") is None
    assert (source.loads, region.counts.hits) == (1, 2)


async def test_tenants_with_the_same_key_get_their_own_values() -> None:
    region = region_of(FakeClock())

    assert await region.get(ACME, "a", Source("of acme")) == "of acme"
    assert await region.get(OTHER, "a", Source("of other")) == "of other"
    assert await region.get(ACME, "a", Source("wrong")) == "of acme"


async def test_no_key_reaches_another_tenants_or_regions_entries() -> None:
    cache = Cache(FakeClock())
    notes: Region[str] = cache.region("notes", Freshness(10), 10)
    bots: Region[str] = cache.region("bots", Freshness(10), 10)
    notes.put(tenant_context("a1"), "bots:x", "a note")

    async def load() -> str:
        return "loaded"

    assert await bots.get(tenant_context("a1"), "x", load) == "loaded"
    assert await notes.get(tenant_context("a1-notes"), "x", load) == "loaded"


@pytest.mark.parametrize("missing", [None, "", "acme"])
async def test_without_a_tenant_nothing_is_read_written_or_dropped(missing: str | None) -> None:
    region, source = region_of(FakeClock()), Source()
    nobody = cast("TenantContext", missing)

    with pytest.raises(ValueError, match="tenant_id is required"):
        await region.get(nobody, "a", source)
    with pytest.raises(ValueError, match="tenant_id is required"):
        region.put(nobody, "a", "value")
    with pytest.raises(ValueError, match="tenant_id is required"):
        region.forget(nobody, "a")
    assert source.loads == 0


async def test_none_is_a_value_like_any_other() -> None:
    region, source = region_of(FakeClock()), Source(None)

    assert await region.get(ACME, "a", source) is None
    assert await region.get(ACME, "a", source) is None
    assert source.loads == 1


async def test_the_least_recently_used_goes_first() -> None:
    region = region_of(FakeClock(), max_entries=2)
    for key in ("a", "b"):
        await region.get(ACME, key, Source(key))
    await region.get(ACME, "a", Source("unused"))
    await region.get(ACME, "c", Source("c"))

    assert await region.get(ACME, "a", Source("loaded again")) == "a"
    assert await region.get(ACME, "b", Source("loaded again")) == "loaded again"
    assert region.counts.entries == 2
    assert region.counts.evictions == 2


async def test_callers_at_once_share_one_load() -> None:
    region, source = region_of(FakeClock()), Source()
    source.hold()
    waiting = [asyncio.create_task(region.get(ACME, "a", source)) for _ in range(50)]
    await settle()
    source.release()

    assert await asyncio.gather(*waiting) == ["first"] * 50
    assert source.loads == 1


async def test_a_failed_load_fails_all_who_wait_and_is_not_kept() -> None:
    region, source = region_of(FakeClock()), Source(failure=PromptNotFoundError("p"))
    source.hold()
    waiting = [asyncio.create_task(region.get(ACME, "a", source)) for _ in range(3)]
    await settle()
    source.release()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    source.failure = None

    assert [type(result) for result in results] == [PromptNotFoundError] * 3
    assert await region.get(ACME, "a", source) == "first"
    assert source.loads == 2


async def test_one_waiter_that_goes_takes_nobody_along() -> None:
    region, source = region_of(FakeClock()), Source()
    source.hold()
    first = asyncio.create_task(region.get(ACME, "a", source))
    second = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    first.cancel()
    await settle()
    source.release()

    assert await second == "first"
    assert first.cancelled()
    assert (source.loads, source.cancelled) == (1, 0)


async def test_a_load_that_nobody_waits_for_is_cancelled() -> None:
    region, source = region_of(FakeClock()), Source()
    source.hold()
    waiting = [asyncio.create_task(region.get(ACME, "a", source)) for _ in range(2)]
    await settle()
    for task in waiting:
        task.cancel()
    await settle()

    assert source.cancelled == 1


async def test_who_comes_after_the_last_waiter_went_gets_a_load_of_its_own() -> None:
    region, source = region_of(FakeClock()), Source()
    source.hold()
    gone = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    gone.cancel()
    await asyncio.sleep(0)  # the waiter is gone; its load has been told, but has not ended
    next_one = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    source.release()

    assert await next_one == "first"
    assert source.loads == 2


async def test_a_stale_value_is_served_while_one_load_renews_it() -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, stale_seconds=5)), Source()
    await region.get(ACME, "a", source)
    clock.advance(12)
    source.value = "second"
    source.hold()
    during = [await region.get(ACME, "a", source) for _ in range(10)]
    await settle()
    loads = source.loads
    source.release()
    await settle()

    assert during == ["first"] * 10
    assert loads == 2
    assert await region.get(ACME, "a", source) == "second"
    assert (region.counts.stale, region.counts.hits) == (10, 1)
    assert region.counts.oldest_served_seconds == 12


async def test_beyond_the_stale_time_the_caller_waits_for_the_refresh_under_way() -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, stale_seconds=5)), Source()
    await region.get(ACME, "a", source)
    clock.advance(12)
    source.value = "second"
    source.hold()
    await region.get(ACME, "a", source)
    clock.advance(5)
    waiting = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    source.release()

    assert await waiting == "second"
    assert source.loads == 2


async def test_a_refresh_goes_on_when_a_waiter_that_joined_it_goes() -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, stale_seconds=5)), Source()
    await region.get(ACME, "a", source)
    clock.advance(12)
    source.value = "second"
    source.hold()
    await region.get(ACME, "a", source)
    clock.advance(5)
    waiting = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    waiting.cancel()
    await settle()
    source.release()
    await settle()

    assert await region.get(ACME, "a", source) == "second"
    assert (source.loads, source.cancelled) == (2, 0)


async def test_a_refresh_that_fails_for_an_outage_keeps_the_stale_value_and_is_counted() -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, stale_seconds=5)), Source()
    await region.get(ACME, "a", source)
    clock.advance(12)
    source.failure = outage()
    await region.get(ACME, "a", source)
    await settle()

    assert await region.get(ACME, "a", source) == "first"
    assert region.counts.failed_refreshes == 1


async def test_what_a_refresh_finds_gone_is_served_no_more() -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, stale_seconds=50, keep_last_good=True)), Source()
    await region.get(ACME, "a", source)
    clock.advance(12)
    source.failure = PromptNotFoundError("p")
    await region.get(ACME, "a", source)
    await settle()

    with pytest.raises(PromptNotFoundError):
        await region.get(ACME, "a", source)


async def test_a_refresh_that_fails_unexpectedly_is_logged_with_its_stack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, stale_seconds=5)), Source()
    await region.get(ACME, "a", source)
    clock.advance(12)
    source.failure = KeyError("a defect")
    with caplog.at_level(logging.WARNING, "shared.caching.region"):
        await region.get(ACME, "a", source)
        await settle()

    assert [record.exc_info is not None for record in caplog.records] == [True]


@pytest.mark.parametrize("failure", [outage(), DependencyTimeoutError("the store", 5)])
async def test_the_last_good_value_stands_in_during_an_outage(failure: Exception) -> None:
    clock = FakeClock()
    freshness = Freshness(10, keep_last_good=True, last_good_seconds=100)
    region, source = region_of(clock, freshness), Source()
    await region.get(ACME, "a", source)
    source.failure = failure
    clock.advance(109)

    assert await region.get(ACME, "a", source) == "first"
    assert source.loads == 2
    assert region.counts.last_good == 1
    assert region.counts.oldest_served_seconds == 109


async def test_the_last_good_value_stands_in_for_a_bounded_time() -> None:
    clock = FakeClock()
    freshness = Freshness(10, keep_last_good=True, last_good_seconds=100)
    region, source = region_of(clock, freshness), Source()
    await region.get(ACME, "a", source)
    source.failure = outage()
    clock.advance(110)

    with pytest.raises(type(source.failure)):
        await region.get(ACME, "a", source)


async def test_without_leave_no_last_good_value_is_served() -> None:
    clock = FakeClock()
    region, source = region_of(clock), Source()
    await region.get(ACME, "a", source)
    source.failure = outage()
    clock.advance(10)

    with pytest.raises(type(source.failure)):
        await region.get(ACME, "a", source)


async def test_an_answer_from_the_source_ends_the_last_good_value() -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, keep_last_good=True)), Source()
    await region.get(ACME, "a", source)
    clock.advance(10)
    source.failure = PromptNotFoundError("p")
    with pytest.raises(PromptNotFoundError):
        await region.get(ACME, "a", source)
    source.failure = outage()

    with pytest.raises(type(source.failure)):
        await region.get(ACME, "a", source)


async def test_what_was_put_wins_over_a_load_that_began_before() -> None:
    region, source = region_of(FakeClock()), Source("old")
    source.hold()
    before = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    region.put(ACME, "a", "new")
    during = await region.get(ACME, "a", source)
    source.release()
    await before

    assert during == "new"
    assert await region.get(ACME, "a", source) == "new"
    assert source.loads == 1


async def test_what_was_forgotten_is_not_brought_back_by_a_load_that_began_before() -> None:
    region, source = region_of(FakeClock()), Source("old")
    source.hold()
    before = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    region.forget(ACME, "a")
    source.value = "new"
    after = asyncio.create_task(region.get(ACME, "a", source))
    await settle()
    source.release()

    assert (await before, await after) == ("old", "new")
    assert await region.get(ACME, "a", source) == "new"
    assert source.loads == 2


async def test_what_was_forgotten_is_no_last_good_value() -> None:
    region, source = region_of(FakeClock(), Freshness(10, keep_last_good=True)), Source()
    await region.get(ACME, "a", source)
    region.forget(ACME, "a")
    source.failure = outage()

    with pytest.raises(type(source.failure)):
        await region.get(ACME, "a", source)


async def test_a_refresh_that_a_put_made_useless_is_cancelled() -> None:
    clock = FakeClock()
    region, source = region_of(clock, Freshness(10, stale_seconds=5)), Source()
    await region.get(ACME, "a", source)
    clock.advance(12)
    source.hold()
    await region.get(ACME, "a", source)
    await settle()
    region.put(ACME, "a", "written")
    await settle()

    assert source.cancelled == 1


async def test_closing_leaves_no_load_behind() -> None:
    clock = FakeClock()
    cache = Cache(clock)
    region: Region[object] = cache.region("notes", Freshness(10, stale_seconds=5), 10)
    source = Source()
    await region.get(ACME, "a", source)
    clock.advance(12)
    source.hold()
    await region.get(ACME, "a", source)
    await settle()
    await cache.close()

    assert source.cancelled == 1
    assert len(asyncio.all_tasks()) == 1


def test_a_region_has_one_owner_and_sound_bounds() -> None:
    cache = Cache(FakeClock())
    cache.region("notes", Freshness(1), 1)

    with pytest.raises(ValueError, match="already"):
        cache.region("notes", Freshness(1), 1)
    with pytest.raises(ValueError, match="name"):
        cache.region("a:b", Freshness(1), 1)
    with pytest.raises(ValueError, match="room"):
        cache.region("none", Freshness(1), 0)
    with pytest.raises(ValueError, match="positive"):
        Freshness(0)
    assert list(cache.counts) == ["notes"]


async def test_a_region_counts_from_nothing_and_a_young_answer_by_its_age() -> None:
    clock = FakeClock()
    region = region_of(clock)
    assert region.counts == RegionCounts()
    region.put(ACME, "a", "first")
    clock.advance(0.5)
    await region.get(ACME, "a", Source())

    assert region.counts == RegionCounts(hits=1, entries=1, oldest_served_seconds=0.5)


async def test_a_value_that_is_put_again_into_a_full_region_pushes_nothing_out() -> None:
    region = region_of(FakeClock(), max_entries=2)
    for key in ("a", "b", "b"):
        region.put(ACME, key, key)

    assert (region.peek(ACME, "a"), region.peek(ACME, "b")) == ("a", "b")
    assert region.counts.evictions == 0


@pytest.mark.parametrize(
    ("ttl", "stale", "last_good"), [(0, 0, 0), (-1, 0, 0), (1, -0.1, 0), (1, 0, -0.1), (-1, -1, -1)]
)
def test_no_time_of_an_entry_is_negative_and_its_ttl_is_more_than_nothing(
    ttl: float, stale: float, last_good: float
) -> None:
    with pytest.raises(ValueError, match="positive"):
        Freshness(ttl, stale_seconds=stale, last_good_seconds=last_good)
    assert Freshness(0.1, stale_seconds=0, last_good_seconds=0).ttl_seconds == 0.1


async def test_nothing_of_a_load_that_is_over_stays_in_memory() -> None:
    region, source = region_of(FakeClock()), Source()
    await region.get(ACME, "a", source)
    region.forget(ACME, "a")
    await settle()
    left = weakref.ref(source)
    del source
    gc.collect()

    assert left() is None


async def test_a_value_that_was_forgotten_stays_in_no_load_that_is_over() -> None:
    class Note:
        """Something that a weak reference can name."""

    region = region_of(FakeClock())

    async def load() -> Note:
        return Note()

    left = weakref.ref(await region.get(ACME, "a", load))
    region.forget(ACME, "a")
    await settle()
    gc.collect()

    assert left() is None
