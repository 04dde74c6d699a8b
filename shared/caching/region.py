"""A bounded cache in this process: each tenant's entries apart by their keys, one load per key at a time.

Values are shared by all who get them, so they must not be changed. A key once seen as absent is a value like
any other: what `load` returns is kept, None included; what it raises is not.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.caching.second_level import SharedEntries
from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.resilience.deadlines import no_deadline, within_deadline
from shared.resilience.tasks import spawn
from shared.tenancy.context import require_tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from pydantic import BaseModel

    from shared.caching.second_level import SecondLevel
    from shared.clock import Clock
    from shared.tenancy.context import TenantContext

_REGION_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_SHARES = 8
"""Into how many a region is divided: so few tenants at most have a share, and who has most is soon found."""

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Freshness:
    """Bounds of the age of what a region serves; an age counts from when its load began.

    Attributes:
        ttl_seconds: Served without asking up to this age.
        stale_seconds: Served up to so long after that, while one load in the background renews it.
        keep_last_good: Whether an older value is served while the dependency that has the newer one is out
            (503 or 504). Never for what grants access: what was revoked must die.
        last_good_seconds: How long after its TTL a value may be the last good one.
    """

    ttl_seconds: float
    stale_seconds: float = 0.0
    keep_last_good: bool = False
    last_good_seconds: float = 900.0

    def __post_init__(self) -> None:
        if self.ttl_seconds <= 0 or self.stale_seconds < 0 or self.last_good_seconds < 0:
            raise ValueError("an entry lives for a positive time")


@dataclass(frozen=True, slots=True)
class RegionCounts:
    """Counts of one region since the process began.

    Attributes:
        hits: Answers younger than their TTL.
        misses: Answers that waited for a load, their own or another's.
        stale: Answers past their TTL, given while it was renewed.
        last_good: Answers given because the dependency was out.
        failed_refreshes: Loads in the background that failed.
        evictions: Entries that made room.
        entries: Entries now.
        oldest_served_seconds: The greatest age of an answer.
        second_hits: Misses that the second level answered.
        second_failures: Times that it could not be used.
    """

    hits: int = 0
    misses: int = 0
    stale: int = 0
    last_good: int = 0
    failed_refreshes: int = 0
    evictions: int = 0
    entries: int = 0
    oldest_served_seconds: float = 0.0
    second_hits: int = 0
    second_failures: int = 0


@dataclass(slots=True)
class _Entry[V]:
    value: V
    since: float


@dataclass(slots=True)
class _Load[V]:
    """One load under way.

    Attributes:
        task: The load.
        since: When it began.
        in_background: Whether it goes on when nobody waits for it.
        from_source: Whether its value is new to the second level.
        waiters: How many wait for it.
    """

    task: asyncio.Task[V]
    since: float
    in_background: bool
    from_source: bool = True
    waiters: int = 0


@dataclass(slots=True)
class _Tally:
    hits: int = 0
    misses: int = 0
    stale: int = 0
    last_good: int = 0
    failed_refreshes: int = 0
    evictions: int = 0
    oldest: float = 0.0
    second_hits: int = 0


class Region[V]:
    """The entries of one kind, with one rule for their age and one bound; made by `Cache.region`."""

    def __init__(self, name: str, freshness: Freshness, max_entries: int, clock: Clock) -> None:
        if _REGION_NAME.fullmatch(name) is None:
            raise ValueError(f"a region's name must match {_REGION_NAME.pattern}")
        if max_entries < 1:
            raise ValueError("a region has room for one entry at least")
        self.name = name
        self._freshness = freshness
        self._ttl = freshness.ttl_seconds
        self._max_entries = max_entries
        self._monotonic = clock.monotonic
        self._share = -(-max_entries // _SHARES)
        self._entries: OrderedDict[str, _Entry[V]] = OrderedDict()
        # The keys of each tenant in the order in which they were loaded: a hit, which is often, moves none.
        self._held: defaultdict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self._with_a_share: set[str] = set()
        self._loads: dict[str, _Load[V]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._tally = _Tally()
        self._open_shared: Callable[[], SharedEntries[Any] | None] = lambda: None
        self._opened: tuple[SharedEntries[Any] | None] | None = None

    async def get(self, tenant: TenantContext, key: str, load: Callable[[], Awaitable[V]]) -> V:
        """Return a value that is fresh enough, or what `load` returns; callers at once share one load.

        Raises:
            ValueError: There is no tenant.
        """
        full = self._key(tenant, key)
        entry = self._entries.get(full)
        if entry is not None:
            age = self._monotonic() - entry.since
            if age < self._ttl:
                self._tally.hits += 1
                return self._serve(full, entry, age)
            if age < self._ttl + self._freshness.stale_seconds:
                if full not in self._loads:
                    self._start_load(full, load, in_background=True)
                self._tally.stale += 1
                return self._serve(full, entry, age)
        return await self._await_load(full, load)

    def peek(self, tenant: TenantContext, key: str) -> V | None:
        """Return a value within its TTL, or None; nothing is loaded, and any thread may ask.

        Raises:
            ValueError: There is no tenant.
        """
        full = self._key(tenant, key)
        entry = self._entries.get(full)
        if entry is None or (age := self._monotonic() - entry.since) >= self._ttl:
            return None
        try:
            served = self._serve(full, entry, age)
        except KeyError:  # it made room in between, on the loop's thread
            return None
        self._tally.hits += 1
        return served

    def put(self, tenant: TenantContext, key: str, value: V, *, age_seconds: float = 0.0) -> None:
        """Keep a value that was just written, or read so long ago; a load that began before gives way."""
        full = self._key(tenant, key)
        self._supersede(full)
        self._store(full, _Entry(value, self._monotonic() - age_seconds))
        if self._shared is not None:
            self._shared.wrote(full)
            self._run_in_background(self._shared.write(full, value, age_seconds))

    def forget(self, tenant: TenantContext, *keys: str) -> None:
        """Drop values that are no longer so; a load that began before does not bring them back."""
        own = self._key(tenant, "")
        for full in [own + key for key in keys]:
            self._supersede(full)
            self._drop(full)
            if self._shared is not None:
                self._shared.wrote(full)
                self._run_in_background(self._shared.remove(full))

    def share(self, open_shared: Callable[[], SharedEntries[Any] | None]) -> None:
        """Ask a second level before the source; it is opened when it is first needed."""
        self._open_shared = open_shared

    @property
    def counts(self) -> RegionCounts:
        """Return what the region did so far."""
        tally = self._tally
        return RegionCounts(
            hits=tally.hits,
            misses=tally.misses,
            stale=tally.stale,
            last_good=tally.last_good,
            failed_refreshes=tally.failed_refreshes,
            evictions=tally.evictions,
            entries=len(self._entries),
            oldest_served_seconds=tally.oldest,
            second_hits=tally.second_hits,
            second_failures=self._second_failures,
        )

    async def close(self) -> None:
        """End the loads under way."""
        self._loads.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _key(self, tenant: TenantContext, key: str) -> str:
        # Neither a tenant id nor a region's name has a colon: no two triples make the same key.
        return f"tenant:{require_tenant(tenant).tenant_id}:{self.name}:{key}"

    def _serve(self, full: str, entry: _Entry[V], age: float) -> V:
        self._entries.move_to_end(full)
        if age > self._tally.oldest:  # noqa: PLR1730  # `max` is a call, on the path of every hit
            self._tally.oldest = age
        return entry.value

    async def _await_load(self, full: str, load: Callable[[], Awaitable[V]]) -> V:
        self._tally.misses += 1
        ongoing = self._loads.get(full) or self._start_load(full, load, in_background=False)
        ongoing.waiters += 1
        try:
            # The shield lets one waiter go without ending the load for the others.
            async with within_deadline(f"the load of '{self.name}'"):
                return await asyncio.shield(ongoing.task)
        except APIError as error:
            entry = self._last_good(full) if _is_outage(error) else None
            if entry is None:
                raise
            return self._serve_last_good(full, entry, error)
        finally:
            ongoing.waiters -= 1
            if not ongoing.waiters and not ongoing.in_background:
                self._abandon(full, ongoing)

    def _last_good(self, full: str) -> _Entry[V] | None:
        entry = self._entries.get(full)
        if entry is None or not self._freshness.keep_last_good:
            return None
        oldest = self._ttl + self._freshness.last_good_seconds
        return entry if self._monotonic() - entry.since < oldest else None

    def _serve_last_good(self, full: str, entry: _Entry[V], error: APIError) -> V:
        self._tally.last_good += 1
        age = self._monotonic() - entry.since
        facts = {"region": self.name, "age_seconds": round(age, 1), "error": type(error).__name__}
        _logger.warning("The last good value stands in for one that cannot be loaded", extra=facts)
        return self._serve(full, entry, age)

    def _start_load(self, full: str, load: Callable[[], Awaitable[V]], *, in_background: bool) -> _Load[V]:
        async def run() -> V:
            if self._shared is not None and (found := await self._shared.read(full)) is not None:
                ongoing.since, ongoing.from_source = self._monotonic() - found.age_seconds, False
                self._tally.second_hits += 1
                value: V = found.value
                return value
            return await load()

        with no_deadline():  # the load is for all who wait, not only for the one who came first
            task = spawn(run())
        ongoing = _Load(task, self._monotonic(), in_background)
        self._loads[full] = ongoing
        self._tasks.add(ongoing.task)
        ongoing.task.add_done_callback(lambda task: self._finish_load(full, ongoing, task))
        return ongoing

    def _finish_load(self, full: str, ongoing: _Load[V], task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        in_force = self._loads.get(full) is ongoing
        if in_force:
            del self._loads[full]
        if task.cancelled():
            return
        error = task.exception()
        if in_force and error is None:
            self._store(full, _Entry(task.result(), ongoing.since))
            if ongoing.from_source and self._shared is not None:
                age = self._monotonic() - ongoing.since
                self._run_in_background(self._shared.write(full, task.result(), age))
        elif in_force and not _is_outage(error):
            # The source answered, and not with the value that is here: nobody gets that one any more.
            self._drop(full)
        if error is not None and ongoing.in_background:
            self._tally.failed_refreshes += 1
            facts = {"region": self.name, "error": type(error).__name__}
            expected = isinstance(error, APIError)
            _logger.warning("A refresh failed", extra=facts, exc_info=None if expected else error)

    def _store(self, full: str, entry: _Entry[V]) -> None:
        if full not in self._entries and len(self._entries) >= self._max_entries:
            self._make_room()
        self._entries[full] = entry
        self._entries.move_to_end(full)
        tenant = _tenant_of(full)
        held = self._held[tenant]
        held[full] = None
        held.move_to_end(full)
        if len(held) >= self._share:
            self._with_a_share.add(tenant)

    def _make_room(self) -> None:
        """Drop what was used least recently, or of who has most, where others have not even a share.

        So what one tenant asks for pushes nobody's entries out that has fewer.
        """
        self._tally.evictions += 1
        least_recent, entry = self._entries.popitem(last=False)  # at once: other threads peek
        self._entries[least_recent] = entry
        self._entries.move_to_end(least_recent, last=False)
        if self._with_a_share and _tenant_of(least_recent) not in self._with_a_share:
            most = max(self._with_a_share, key=lambda tenant: len(self._held[tenant]))
            self._drop(next(iter(self._held[most])))
        else:
            self._drop(least_recent)

    def _drop(self, full: str) -> None:
        if self._entries.pop(full, None) is None:
            return
        tenant = _tenant_of(full)
        held = self._held[tenant]
        del held[full]
        if len(held) < self._share:
            self._with_a_share.discard(tenant)
        if not held:
            del self._held[tenant]

    @property
    def _shared(self) -> SharedEntries[Any] | None:
        if self._opened is None:
            self._opened = (self._open_shared(),)
        return self._opened[0]

    @property
    def _second_failures(self) -> int:
        opened = None if self._opened is None else self._opened[0]  # counting opens nothing
        return 0 if opened is None else opened.failures

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the second level know without waiting; the work is the region's, and ends with it."""
        with no_deadline():
            task = spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _supersede(self, full: str) -> None:
        """Let those who wait for a load have its answer, but nobody after them."""
        ongoing = self._loads.pop(full, None)
        if ongoing is not None and not ongoing.waiters:
            ongoing.task.cancel()

    def _abandon(self, full: str, ongoing: _Load[V]) -> None:
        if ongoing.task.done():
            return
        ongoing.task.cancel()
        if self._loads.get(full) is ongoing:
            del self._loads[full]


def _tenant_of(full: str) -> str:
    return full.split(":", 2)[1]


def _is_outage(error: BaseException | None) -> bool:
    return isinstance(error, APIError) and error.is_outage


@dataclass(frozen=True, slots=True)
class Cache:
    """The regions of one process, and the loads that they have under way.

    Attributes:
        clock: Dates entries.
        open_second: Opens the second level, if there is one; it is called when that is first needed.
    """

    clock: Clock
    open_second: Callable[[], SecondLevel | None] = lambda: None
    _regions: dict[str, Region[Any]] = field(default_factory=dict)

    def region[V](self, name: str, freshness: Freshness, max_entries: int) -> Region[V]:
        """Open a region; each has one owner.

        Args:
            name: The part of each key that tells the region's entries from others.
            freshness: How old its answers may be.
            max_entries: The bound; beyond it the least recently used goes, and that of a tenant with less
                than an eighth of all only where nobody has as much.

        Raises:
            ValueError: There is one of this name.
        """
        if name in self._regions:
            raise ValueError(f"the cache has a region '{name}' already")
        region: Region[V] = Region(name, freshness, max_entries, self.clock)
        self._regions[name] = region
        return region

    def shared_region[V: BaseModel](
        self, name: str, freshness: Freshness, max_entries: int, model: type[V]
    ) -> Region[V]:
        """Open a region whose entries, of one model, the second level holds for all instances."""
        region: Region[V] = self.region(name, freshness, max_entries)

        def open_shared() -> SharedEntries[V] | None:
            store = self.open_second()
            return None if store is None else SharedEntries(store, model, freshness.ttl_seconds, self.clock)

        region.share(open_shared)
        return region

    @property
    def counts(self) -> dict[str, RegionCounts]:
        """Return what each region did so far."""
        return {name: region.counts for name, region in list(self._regions.items())}

    async def close(self) -> None:
        """End the loads under way in every region."""
        for region in self._regions.values():
            await region.close()
