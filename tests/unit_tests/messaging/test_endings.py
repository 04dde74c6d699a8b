"""Whatever a handler ends in, its delivery is settled: completed, kept for good, or put back and counted."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import (
    APIError,
    BudgetExceededError,
    ConflictError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    NotFoundError,
    PayloadTooLargeError,
    ValidationError,
)
from shared.messaging.consumer import PAUSES_SECONDS, HandlerEndedError
from tests.support.fakes import FakeClock
from tests.support.memory_cosmos import memory_cosmos
from tests.support.soak import REPEATABLE, SOAK
from tests.unit_tests.messaging.deliveries import FakeDelivery
from tests.unit_tests.messaging.edge import Edge, Order, order

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.tenancy.context import TenantContext
    from tests.support.memory_cosmos import MemoryCosmos


class PanicError(BaseException):
    """An end as a native library's panic is one: no exception, and no class of Python's own."""


PERMANENT: list[APIError] = [
    ValidationError("no"),
    ConflictError("no"),
    NotFoundError("no"),
    PayloadTooLargeError("no"),
]
TRANSIENT: list[APIError] = [
    BudgetExceededError("later"),
    DependencyUnavailableError("The store"),
    DependencyTimeoutError("The store", 1),
]
DEFECTS: list[Exception] = [
    ZeroDivisionError(),
    RecursionError(),
    MemoryError(),
    StopAsyncIteration(),
    TimeoutError(),
    ExceptionGroup("two", [ValueError(), ValidationError("no")]),
]
NO_EXCEPTIONS: list[BaseException] = [
    PanicError("index out of bounds"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError("its own"),
    BaseExceptionGroup("two", [SystemExit(1), ValueError()]),
]
ENDINGS: list[BaseException | None] = [None, *PERMANENT, *TRANSIENT, *DEFECTS, *NO_EXCEPTIONS]


def ending_in(end: BaseException | None, after: int) -> Callable[[TenantContext, Order], Awaitable[None]]:
    """Return a handler that ends so, after some turns of the loop."""

    async def handle(tenant: TenantContext, message: Order) -> None:
        assert (tenant.tenant_id, message.tenant_id) == ("acme", "acme")
        for _ in range(after):
            await asyncio.sleep(0)
        if end is not None:
            raise end

    return handle


@settings(REPEATABLE, max_examples=2_000 if SOAK else 60)
@given(end=st.sampled_from(ENDINGS), after=st.integers(0, 3), count=st.integers(1, 7))
@pytest.mark.slow
async def test_a_delivery_is_completed_kept_or_put_back_by_an_exception_that_a_host_reads(
    end: BaseException | None, after: int, count: int
) -> None:
    async with memory_cosmos() as cosmos:
        edge = Edge(cosmos, FakeClock())
        failure: Exception | None = None
        try:
            await edge.queue.take(FakeDelivery(order(), delivery_count=count), ending_in(end, after))
        except Exception as error:  # noqa: BLE001  # what a host reads as "put it back"
            failure = error

        kept = [str(entry["reason"]) for entry in await edge.kept("acme")]
        assert kept == ([type(end).__name__] if end in PERMANENT else [])
        assert (failure is None) == (end is None or end in PERMANENT)
        if end in NO_EXCEPTIONS:
            assert isinstance(failure, HandlerEndedError)
            assert str(failure) == type(end).__name__
        elif failure is not None:
            assert failure is end
        may_pause = failure is not None and not isinstance(end, GeneratorExit)
        assert len(edge.clock.slept) == may_pause


@pytest.mark.parametrize("end", NO_EXCEPTIONS, ids=lambda end: type(end).__name__)
async def test_what_is_no_exception_is_logged_with_its_queue(
    cosmos: MemoryCosmos, end: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge(cosmos, FakeClock())
    with pytest.raises(HandlerEndedError):
        await edge.queue.take(FakeDelivery(order()), ending_in(end, 1))

    [line] = [record for record in caplog.records if "no exception" in record.message]
    assert (line.levelname, line.__dict__["queue"]) == ("ERROR", "orders")


async def test_a_function_that_the_host_stops_is_stopped_without_a_pause(cosmos: MemoryCosmos) -> None:
    edge = Edge(cosmos, FakeClock())
    begun = asyncio.Event()

    async def wait(tenant: TenantContext, message: Order) -> None:
        assert tenant.tenant_id == message.tenant_id
        begun.set()
        await asyncio.Event().wait()

    working = asyncio.create_task(edge.queue.take(FakeDelivery(order()), wait))
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert edge.clock.slept == []


@pytest.mark.parametrize("end", [ZeroDivisionError(), PanicError(), SystemExit(1)])
async def test_a_dead_letter_that_only_meets_defects_is_kept_in_the_end_and_not_delivered_for_ever(
    cosmos: MemoryCosmos, end: BaseException
) -> None:
    edge = Edge(cosmos, FakeClock())
    for count in range(1, 20):
        with pytest.raises((ZeroDivisionError, HandlerEndedError)):
            await edge.queue.move(FakeDelivery(order(), delivery_count=count), ending_in(end, 0))
    assert await edge.kept("acme") == []

    await edge.queue.move(FakeDelivery(order(), delivery_count=20), ending_in(end, 0))

    assert [entry["reason"] for entry in await edge.kept("acme")] == ["DeliveriesExhaustedError"]
    assert max(edge.clock.slept) == PAUSES_SECONDS[-1]


async def test_a_dead_letter_waits_for_as_long_as_a_store_is_down(cosmos: MemoryCosmos) -> None:
    edge = Edge(cosmos, FakeClock())
    down = DependencyUnavailableError("The store")
    with pytest.raises(DependencyUnavailableError):
        await edge.queue.move(FakeDelivery(order(), delivery_count=200), ending_in(down, 0))
    assert await edge.kept("acme") == []


@pytest.mark.parametrize(
    "body",
    [b"{", order(what=7), order(tenant_id="nobody"), order(schema_version=2**40), order(names={"a": 1})],
    ids=["no JSON", "a field", "no tenant", "our own validator", "a nested field"],
)
@pytest.mark.slow
async def test_nothing_of_a_refused_message_stays_reachable(cosmos: MemoryCosmos, body: bytes) -> None:
    edge = Edge(cosmos, FakeClock())
    left = []
    for _ in range(50):
        delivery = FakeDelivery(body)
        left.append(weakref.ref(delivery))
        await edge.queue.take(delivery, ending_in(None, 0))
        del delivery
    gc.collect()

    assert [one for one in left if one() is not None] == []


@pytest.mark.parametrize("end", [ValidationError("no"), ConflictError("no")])
@pytest.mark.slow
async def test_nothing_of_a_message_that_its_handler_refused_stays_reachable(
    cosmos: MemoryCosmos, end: APIError
) -> None:
    edge = Edge(cosmos, FakeClock())
    delivery = FakeDelivery(order())
    left = weakref.ref(delivery)

    async def refuse(tenant: TenantContext, message: Order) -> None:
        assert tenant.tenant_id == message.tenant_id
        raise type(end)("no")

    await edge.queue.take(delivery, refuse)
    del delivery
    gc.collect()

    assert left() is None
