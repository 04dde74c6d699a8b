"""The second level: asked before the source, never needed, never older, never another tenant's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from pydantic import BaseModel

from shared.caching.region import Cache, Freshness, Region
from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from tests.support.fakes import FakeClock, tenant_context
from tests.unit_tests.caching.source import settle

ACME = tenant_context("acme")


class Note(BaseModel):
    """A value."""

    text: str


@dataclass
class Shared:
    """A second level in memory."""

    held: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    failure: Exception | None = None
    deaf: bool = False

    def _work(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def get(self, key: str) -> bytes | None:
        self._work()
        return self.held[key][0] if key in self.held else None

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        self._work()
        if not self.deaf:
            self.held[key] = (value, seconds)

    async def remove(self, key: str) -> None:
        self._work()
        if not self.deaf:
            self.held.pop(key, None)


@dataclass
class Instances:
    """Instances of the app over one source and one second level."""

    shared: Shared = field(default_factory=Shared)
    clock: FakeClock = field(default_factory=FakeClock)
    text: str = "first"
    loads: int = 0

    def start(self, freshness: Freshness | None = None) -> Region[Note]:
        cache = Cache(self.clock, lambda: self.shared)
        return cache.shared_region("notes", freshness or Freshness(100), 10, Note)

    async def load(self) -> Note:
        self.loads += 1
        return Note(text=self.text)

    async def read(self, region: Region[Note], key: str = "a") -> str:
        found = await region.get(ACME, key, self.load)
        await settle()
        return found.text


@pytest.fixture
def instances() -> Instances:
    return Instances()


async def test_what_one_instance_loaded_another_does_not(instances: Instances) -> None:
    first, second = instances.start(), instances.start()
    await instances.read(first)

    assert await instances.read(second) == "first"
    assert instances.loads == 1
    assert (second.counts.misses, second.counts.second_hits) == (1, 1)


async def test_what_is_held_is_json_under_the_tenants_key_for_its_time(instances: Instances) -> None:
    await instances.read(instances.start())

    ((key, (held, seconds)),) = instances.shared.held.items()
    assert key == "tenant:acme:notes:a"
    assert json.loads(json.loads(held)["value"]) == {"text": "first"}
    assert seconds == 100


async def test_nothing_is_held_for_longer_than_a_purge_settles(instances: Instances) -> None:
    await instances.read(instances.start(Freshness(86_400)))

    ((_, seconds),) = instances.shared.held.values()
    assert seconds == 600


async def test_an_age_counts_across_levels(instances: Instances) -> None:
    first, second = instances.start(), instances.start()
    await instances.read(first)
    instances.clock.advance(99)
    await instances.read(second)
    instances.clock.advance(1)
    instances.text = "second"

    assert await instances.read(second) == "second"


async def test_what_the_second_level_kept_too_long_is_not_served(instances: Instances) -> None:
    await instances.read(instances.start())
    instances.clock.advance(100)
    instances.text = "second"

    assert await instances.read(instances.start()) == "second"


@pytest.mark.parametrize("failure", [DependencyUnavailableError("it"), DependencyTimeoutError("it", 1)])
async def test_where_it_is_down_the_source_is_asked_and_that_is_counted(
    instances: Instances, failure: Exception
) -> None:
    instances.shared.failure = failure
    region = instances.start()

    assert await instances.read(region) == "first"
    region.put(ACME, "b", Note(text="written"))
    region.forget(ACME, "b")
    await settle()
    assert instances.loads == 1
    assert region.counts.second_failures == 4  # the read and the write of the load, the put, the forget


@pytest.mark.parametrize("junk", [b"", b"\x80\x04K\x01.", b'{"at": 1}', b'{"at": 9e9, "value": "{}"}'])
async def test_what_nobody_can_read_is_no_value(instances: Instances, junk: bytes) -> None:
    instances.shared.held["tenant:acme:notes:a"] = (junk, 1)
    region = instances.start()

    assert await instances.read(region) == "first"
    assert region.counts.second_failures == 1


@pytest.mark.parametrize("source", ["tenant:globex:notes:a", "tenant:acme:notes:b", "tenant:acme:others:a"])
async def test_an_entry_that_was_copied_under_another_key_is_not_served(
    instances: Instances, source: str
) -> None:
    await instances.read(instances.start())
    (held, seconds) = instances.shared.held.pop("tenant:acme:notes:a")
    envelope = json.loads(held)
    assert envelope["key"] == "tenant:acme:notes:a"
    copied = json.dumps(envelope | {"key": source, "value": json.dumps({"text": "theirs"})}).encode()
    instances.shared.held["tenant:acme:notes:a"] = (copied, seconds)
    region = instances.start()

    assert await instances.read(region) == "first"
    assert region.counts.second_failures == 1


@pytest.mark.parametrize(("seconds_ahead", "served"), [(4, "theirs"), (6, "first"), (86_400, "first")])
async def test_an_entry_from_the_future_is_served_only_where_clocks_may_differ_by_that(
    instances: Instances, seconds_ahead: float, served: str
) -> None:
    await instances.read(instances.start())
    (held, seconds) = instances.shared.held["tenant:acme:notes:a"]
    envelope = json.loads(held)
    envelope |= {"at": envelope["at"] + seconds_ahead, "value": json.dumps({"text": "theirs"})}
    instances.shared.held["tenant:acme:notes:a"] = (json.dumps(envelope).encode(), seconds)
    region = instances.start()

    assert await instances.read(region) == served
    instances.clock.advance(105)
    assert await instances.read(region) == "first"


async def test_what_was_put_is_there_for_other_instances(instances: Instances) -> None:
    first, second = instances.start(), instances.start()
    first.put(ACME, "a", Note(text="written"))
    await settle()

    assert await instances.read(second) == "written"


async def test_what_was_forgotten_is_gone_for_other_instances(instances: Instances) -> None:
    first, second = instances.start(), instances.start()
    await instances.read(first)
    first.forget(ACME, "a")
    await settle()
    instances.text = "second"

    assert await instances.read(second) == "second"


async def test_what_was_forgotten_here_is_not_brought_back_by_a_second_level_that_did_not_hear(
    instances: Instances,
) -> None:
    region = instances.start()
    await instances.read(region)
    instances.shared.deaf = True
    instances.clock.advance(1)
    region.forget(ACME, "a")
    instances.text = "second"

    assert await instances.read(region) == "second"


async def test_what_is_remembered_of_writes_is_bounded_and_forgets_none(instances: Instances) -> None:
    region = instances.start()
    await instances.read(region)
    instances.shared.deaf = True
    instances.clock.advance(1)
    for number in range(4200):
        region.forget(ACME, "a" if number == 0 else f"other {number}")
    await settle()
    instances.text = "second"

    assert await instances.read(region) == "second"


async def test_without_one_the_source_is_asked(instances: Instances) -> None:
    region = Cache(instances.clock).shared_region("notes", Freshness(100), 10, Note)

    assert await instances.read(region) == "first"
    assert (region.counts.second_hits, region.counts.second_failures) == (0, 0)


async def test_what_was_read_a_while_ago_is_held_with_its_age(instances: Instances) -> None:
    first, second = instances.start(), instances.start()
    first.put(ACME, "a", Note(text="read before"), age_seconds=60)
    await settle()
    instances.clock.advance(39)
    young = await instances.read(second)
    instances.clock.advance(1)

    assert [seconds for _, seconds in instances.shared.held.values()] == [40]
    assert (young, await instances.read(second)) == ("read before", "first")


@pytest.mark.parametrize(("writes", "loads"), [(4096, 1), (4097, 2)])
@pytest.mark.slow
async def test_what_was_read_before_a_write_that_is_no_longer_remembered_is_not_trusted(
    instances: Instances, writes: int, loads: int
) -> None:
    await instances.read(instances.start())
    instances.clock.advance(1)
    region = instances.start()
    for number in range(writes):
        region.forget(ACME, f"other {number}")
    await settle()
    await instances.read(region)

    assert instances.loads == loads
