"""A lease is one holder's until its end, and the store alone decides whose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import ItemChangedError, Patch
from shared.cosmos.leases import Lease, LeaseFields, LeaseHeartbeat, LeaseLostError
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError
from tests.support.fakes import FakeClock, tenant_context

if TYPE_CHECKING:
    from tests.support.memory_cosmos import MemoryCosmos

FIELDS = LeaseFields()
OTHERS = LeaseFields(until="busy_until", holder="owner")


class Thing(StoredItem):
    """An item with a lease."""

    holder: str = ""
    lease_until: float = 0
    owner: str = ""
    busy_until: float = 0


async def _store(cosmos: MemoryCosmos, **fields: object) -> Partition:
    own = Partition.of(tenant_context("acme"), cosmos.container("bots"))
    await own.create(Thing.model_validate({"id": "t"} | fields))
    return own


async def test_what_is_free_is_taken_and_what_is_held_is_not(cosmos: MemoryCosmos, clock: FakeClock) -> None:
    own = await _store(cosmos)
    first, second = Lease.begin(clock, 10), Lease.begin(clock, 10)
    assert first.holder != second.holder

    taken = await own.patch(Thing, "t", Patch(FIELDS.take(first), FIELDS.is_over(clock)))
    with pytest.raises(ItemChangedError):
        await own.patch(Thing, "t", Patch(FIELDS.take(second), FIELDS.is_over(clock)))

    assert (taken.holder, taken.lease_until) == (first.holder, first.until)
    assert first.until == clock.now().timestamp() + 10


@pytest.mark.parametrize(("passed", "is_free"), [(9.999, False), (10.0, True), (10.001, True)])
async def test_a_lease_is_over_at_its_end_and_not_before(
    cosmos: MemoryCosmos, clock: FakeClock, *, passed: float, is_free: bool
) -> None:
    lease = Lease.begin(clock, 10)
    own = await _store(cosmos, holder=lease.holder, lease_until=lease.until)
    clock.advance(passed)

    assert lease.is_over(clock) is is_free
    patch = Patch(FIELDS.take(Lease.begin(clock, 10)), FIELDS.is_over(clock))
    if is_free:
        await own.patch(Thing, "t", patch)
    else:
        with pytest.raises(ItemChangedError):
            await own.patch(Thing, "t", patch)


async def test_only_its_holder_extends_and_releases_it(cosmos: MemoryCosmos, clock: FakeClock) -> None:
    lease, other = Lease.begin(clock, 10), Lease.begin(clock, 10)
    own = await _store(cosmos, holder=lease.holder, lease_until=lease.until)
    clock.advance(5)
    longer = lease.extend(clock, 10)
    assert (longer.holder, longer.until) == (lease.holder, lease.until + 5)

    for operation in (FIELDS.extend(other), FIELDS.release()):
        with pytest.raises(ItemChangedError):
            await own.patch(Thing, "t", Patch((operation,), FIELDS.is_held_by(other.holder)))
    held = FIELDS.is_held_by(lease.holder)
    extended = await own.patch(Thing, "t", Patch((FIELDS.extend(longer),), held))
    released = await own.patch(Thing, "t", Patch((FIELDS.release(),), held))

    assert (extended.lease_until, released.lease_until) == (longer.until, 0)
    await own.patch(Thing, "t", Patch(FIELDS.take(other), FIELDS.is_over(clock)))


async def test_the_fields_may_have_other_names(cosmos: MemoryCosmos, clock: FakeClock) -> None:
    own = await _store(cosmos)
    lease = Lease.begin(clock, 10)
    taken = await own.patch(Thing, "t", Patch(OTHERS.take(lease), OTHERS.is_over(clock)))
    assert (taken.owner, taken.busy_until, taken.holder) == (lease.holder, lease.until, "")
    await own.patch(Thing, "t", Patch((OTHERS.release(),), OTHERS.is_held_by(lease.holder)))


@pytest.mark.parametrize("holder", ["", "a' OR 'a' = 'a", "x" * 65, "a\n"])
def test_no_text_of_a_caller_gets_into_a_condition(holder: str) -> None:
    with pytest.raises(ValueError, match="holder"):
        FIELDS.is_held_by(holder)


class Held:
    """A lease that remembers what happened to it."""

    def __init__(self) -> None:
        self.extended = 0
        self.given_back: list[str] = []
        self.failures: list[APIError] = []

    async def extend(self) -> None:
        self.extended += 1
        if self.failures:
            raise self.failures.pop(0)

    async def give_back(self, why: str) -> None:
        self.given_back.append(why)
        if self.failures:
            raise self.failures.pop(0)

    def heartbeat(self, clock: FakeClock) -> LeaseHeartbeat:
        return LeaseHeartbeat(self.extend, self.give_back, 30.0, clock)


async def _turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_lease_is_extended_three_times_in_its_length_and_no_more_when_the_work_is_over(
    clock: FakeClock,
) -> None:
    held = Held()
    async with held.heartbeat(clock):
        await _turns()
        assert held.extended >= 3
    extended = held.extended
    await _turns()

    assert set(clock.slept) == {10.0}
    assert held.extended == extended
    assert held.given_back == []


async def test_no_heartbeat_outlives_work_that_fails(clock: FakeClock) -> None:
    held = Held()

    async def fail() -> None:
        async with held.heartbeat(clock):
            await _turns(1)
            raise ZeroDivisionError("the customer's words")

    with pytest.raises(ZeroDivisionError):
        await fail()
    extended, tasks = held.extended, len(asyncio.all_tasks())
    await _turns()

    assert (held.extended, tasks) == (extended, 1)
    assert held.given_back == ["The work broke off"]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (BudgetExceededError("Too much"), "BudgetExceededError: Too much"),
        (asyncio.CancelledError(), "The work broke off"),
        (SystemExit(1), "The work broke off"),
        (BaseException("a panic"), "The work broke off"),
    ],
)
async def test_work_that_ends_in_any_way_leaves_nothing_held(
    clock: FakeClock, end: BaseException, said: str
) -> None:
    held = Held()
    with pytest.raises(type(end)):
        async with held.heartbeat(clock):
            raise end
    assert held.given_back == [said]


async def test_a_lease_that_cannot_be_extended_for_a_moment_is_tried_again_and_a_lost_one_is_not(
    clock: FakeClock,
) -> None:
    held = Held()
    held.failures = [
        DependencyUnavailableError("The store"),
        LeaseLostError("The job", "is in work elsewhere"),
    ]
    async with held.heartbeat(clock):
        await _turns()
    assert held.extended == 2


async def test_a_store_that_is_down_when_a_lease_is_given_back_hides_no_failure(clock: FakeClock) -> None:
    held = Held()
    held.failures = [DependencyUnavailableError("The store")]
    with pytest.raises(ValueError, match="the work's own"):
        async with held.heartbeat(clock):
            raise ValueError("the work's own")
