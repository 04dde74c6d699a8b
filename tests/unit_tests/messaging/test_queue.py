"""One delivery, one outcome: settled when it is handled or kept, put back when it may succeed later."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import azure.functions as func
import pytest

from shared.errors import (
    APIError,
    BudgetExceededError,
    ConflictError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    PayloadTooLargeError,
    RateLimitError,
    ValidationError,
)
from shared.logging.context import log_context
from shared.messaging.consumer import PAUSES_SECONDS, DeliveriesExhaustedError
from shared.messaging.quarantine import MOST_UNATTRIBUTED
from shared.tenancy.context import ambient_tenant
from tests.support.fakes import FakeClock, host_limit_seconds
from tests.unit_tests.messaging.deliveries import FakeDelivery
from tests.unit_tests.messaging.edge import Edge, Order, order

if TYPE_CHECKING:
    from shared.tenancy.context import TenantContext
    from tests.support.memory_cosmos import MemoryCosmos

PLATFORM = "global:quarantine"
SECRET = "what-the-customer-wrote"  # noqa: S105  # nobody's password


@pytest.fixture
def edge(cosmos: MemoryCosmos, clock: FakeClock) -> Edge:
    return Edge(cosmos, clock)


async def test_a_handler_gets_the_tenant_and_the_parsed_message(edge: Edge) -> None:
    await edge.take(FakeDelivery(order(what="coffee", added_later=1)))

    [(tenant, message)] = edge.handler.handled
    assert (tenant.tenant_id, tenant.principal) == ("acme", "platform")
    assert message == Order(tenant_id="acme", id="o1", what="coffee")
    assert edge.clock.slept == []


async def test_the_handler_runs_under_the_messages_id_and_tenant(edge: Edge) -> None:
    before = log_context()

    await edge.take(FakeDelivery(order(), "m-7"))

    assert edge.handler.contexts == [("m-7", "acme", "acme")]
    assert log_context() == before


async def test_a_delivery_ends_with_its_longest_pause_before_the_host_ends_the_worker(edge: Edge) -> None:
    await edge.take(FakeDelivery(order()))
    await edge.move(FakeDelivery(order()))

    for left in edge.handler.times_left:
        assert left is not None
        assert left + max(PAUSES_SECONDS) < host_limit_seconds()


@pytest.mark.parametrize(
    ("body", "partition", "reason"),
    [
        (b"{", PLATFORM, "MalformedRequestError"),
        (b"", PLATFORM, "MalformedRequestError"),
        (b"\xff\xfe\x00", PLATFORM, "MalformedRequestError"),
        (b"[]", PLATFORM, "ValidationError"),
        (b'{"tenant_id": "acme"', PLATFORM, "MalformedRequestError"),
        (b'["acme"]', PLATFORM, "ValidationError"),
        (b'{"tenant_id": ["acme"], "id": "o1"}', PLATFORM, "ValidationError"),
        (order(tenant_id="global:tenants"), PLATFORM, "ValidationError"),
        (order(tenant_id="nobody"), PLATFORM, "TenantNotFoundError"),
        (order(tenant_id="nobody", what=7), PLATFORM, "ValidationError"),
        (b'{"tenant_id": "acme"}', "acme", "ValidationError"),
        (order(what=7), "acme", "ValidationError"),
    ],
)
async def test_what_cannot_be_read_is_kept_by_the_tenant_that_it_names_or_by_the_platform(
    edge: Edge, body: bytes, partition: str, reason: str
) -> None:
    await edge.take(FakeDelivery(body))

    [kept] = await edge.kept(partition)
    assert (kept["queue"], kept["message_id"], kept["reason"]) == ("orders", "m-1", reason)
    assert kept["body"] == body.decode(errors="replace")
    assert edge.handler.handled == []


@pytest.mark.parametrize(
    "error",
    [ValidationError("no"), ConflictError("no"), PayloadTooLargeError("no")],
    ids=lambda error: type(error).__name__,
)
async def test_what_a_handler_refuses_for_good_is_kept_by_its_tenant(edge: Edge, error: APIError) -> None:
    edge.handler.failures = [error]

    await edge.take(FakeDelivery(order()))

    [kept] = await edge.kept("acme")
    assert (kept["reason"], kept["detail"]) == (type(error).__name__, "no")
    assert await edge.kept(PLATFORM) == []
    assert edge.clock.slept == []


@pytest.mark.parametrize(
    "error",
    [
        BudgetExceededError("later", retry_after=9),
        RateLimitError("later"),
        DependencyUnavailableError("The store"),
        DependencyTimeoutError("The store", 1),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_may_succeed_later_is_put_back_and_not_kept(edge: Edge, error: Exception) -> None:
    edge.handler.failures = [error]

    with pytest.raises(type(error)):
        await edge.take(FakeDelivery(order()))

    assert await edge.kept("acme") == []
    await edge.take(FakeDelivery(order(), delivery_count=2))
    assert len(edge.handler.handled) == 1


@pytest.mark.parametrize(
    ("count", "pause"), [(None, 2.0), (1, 2.0), (2, 8.0), (3, 20.0), (4, 30.0), (5, 30.0), (99, 30.0)]
)
async def test_each_delivery_is_put_back_after_a_longer_pause(
    edge: Edge, count: int | None, pause: float
) -> None:
    edge.handler.failures = [DependencyUnavailableError("The model")]

    with pytest.raises(DependencyUnavailableError):
        await edge.take(FakeDelivery(order(), delivery_count=count))

    assert edge.clock.slept == [pause]


def test_the_deliveries_of_one_message_outlast_a_short_outage() -> None:
    assert sum(PAUSES_SECONDS) >= 60


async def test_the_same_refused_message_again_is_one_entry(edge: Edge) -> None:
    for _ in range(3):
        await edge.take(FakeDelivery(b"{"))
    await edge.take(FakeDelivery(b"["))
    await edge.take(FakeDelivery(b"{", "m-2"))

    kept = [(str(entry["message_id"]), str(entry["body"])) for entry in await edge.kept(PLATFORM)]
    assert sorted(kept) == [("m-1", "["), ("m-1", "{"), ("m-2", "{")]


async def test_a_message_without_an_id_is_kept_like_any_other(edge: Edge) -> None:
    await edge.take(FakeDelivery(b"{", None))

    assert [kept["message_id"] for kept in await edge.kept(PLATFORM)] == [""]


@pytest.mark.parametrize("character", ["x", "\x01", "漢"])
async def test_a_body_beyond_what_an_item_holds_is_cut_and_says_so(edge: Edge, character: str) -> None:
    await edge.take(FakeDelivery((character * 1_000_000).encode()))
    await edge.take(FakeDelivery(b"{", "m-2"))

    kept = {str(entry["message_id"]): entry for entry in await edge.kept(PLATFORM)}
    assert 299_000 < len(str(kept["m-1"]["body"]).encode()) <= 300_000
    assert (kept["m-1"]["is_cut"], kept["m-2"]["is_cut"]) == (True, False)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"tenant_id": "\\ud800"}',
        b'{"tenant_id": "acme", "id": "\\ud800"}',
        b'{"tenant_id": ' + b"9" * 5_000 + b"}",
        b'{"tenant_id": "acme", "id": "o1", "lots": [' + b"0," * 70_000 + b"0]}",
        b'{"tenant_id": "acme", "id": "o1", "names": {"' + b"\\u0001" * 35_000 + b'": 0}}',
    ],
    ids=["deep", "half a character", "half elsewhere", "huge number", "many mistakes", "long name"],
)
async def test_no_body_is_too_strange_to_be_kept_at_its_first_delivery(edge: Edge, body: bytes) -> None:
    await edge.take(FakeDelivery(body))
    await edge.move(FakeDelivery(body, "m-2"))

    entries = [*await edge.kept(PLATFORM), *await edge.kept("acme")]
    reasons = {str(kept["message_id"]): kept["reason"] for kept in entries}
    assert set(reasons) == {"m-1", "m-2"}
    assert reasons["m-1"] in {"MalformedRequestError", "ValidationError"}
    assert reasons["m-2"] == "DeliveriesExhaustedError"


async def test_a_quarantine_that_fails_loses_nothing(edge: Edge) -> None:
    edge.cosmos.transport.lose_requests = 100

    with pytest.raises(DependencyUnavailableError):
        await edge.take(FakeDelivery(b"{"))
    edge.cosmos.transport.lose_requests = 0
    edge.clock.advance(60)
    await edge.take(FakeDelivery(b"{", delivery_count=2))

    assert len(await edge.kept(PLATFORM)) == 1


async def test_no_body_reaches_the_logs_or_the_quarantines_detail(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for number, body in enumerate(
        [SECRET.encode(), order(what=[SECRET]), order(what=SECRET), order(tenant_id="nobody", what=SECRET)]
    ):
        await edge.take(FakeDelivery(body, f"m-{number}"))
    edge.handler.failures = [DependencyUnavailableError("The store")]
    with pytest.raises(DependencyUnavailableError):
        await edge.take(FakeDelivery(order(what=SECRET), "m-9"))

    assert {getattr(record, "queue", None) for record in caplog.records} >= {"orders"}
    assert all(SECRET not in str(vars(record)) for record in caplog.records)
    kept = [*await edge.kept(PLATFORM), *await edge.kept("acme")]
    assert len(kept) == 3
    assert all(SECRET not in str(entry["detail"]) for entry in kept)


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        (
            FakeDelivery(order(), application_properties={"DeadLetterReason": "MaxDeliveryCountExceeded"}),
            "Dead-lettered by the broker: MaxDeliveryCountExceeded",
        ),
        (
            FakeDelivery(order(), dead_letter_reason="TTLExpired"),
            "Dead-lettered by the broker: TTLExpired",
        ),
        (FakeDelivery(order()), "Dead-lettered by the broker: it did not say why"),
    ],
)
async def test_a_dead_letter_is_given_up_and_kept_with_the_brokers_reason(
    edge: Edge, delivery: FakeDelivery, said: str
) -> None:
    await edge.move(delivery)

    assert len(edge.handler.handled) == 1
    assert edge.handler.contexts == [("m-1", "acme", "acme")]
    [kept] = await edge.kept("acme")
    assert (kept["reason"], kept["detail"]) == ("DeliveriesExhaustedError", said)


@pytest.mark.parametrize("body", [b"junk", order(tenant_id="nobody")])
async def test_a_dead_letter_of_no_known_tenant_is_kept_by_the_platform(edge: Edge, body: bytes) -> None:
    await edge.move(FakeDelivery(body))

    assert edge.handler.handled == []
    assert [kept["reason"] for kept in await edge.kept(PLATFORM)] == ["DeliveriesExhaustedError"]


async def test_a_dead_letter_that_nothing_can_be_given_up_for_is_kept_all_the_same(edge: Edge) -> None:
    edge.handler.failures = [ConflictError("another's")]

    await edge.move(FakeDelivery(order()))

    assert [kept["reason"] for kept in await edge.kept("acme")] == ["DeliveriesExhaustedError"]


@pytest.mark.parametrize("error", [DependencyUnavailableError("The store"), ZeroDivisionError()])
async def test_a_dead_letter_that_cannot_be_given_up_now_stays_one(edge: Edge, error: Exception) -> None:
    edge.handler.failures = [error]

    with pytest.raises(type(error)):
        await edge.move(FakeDelivery(order(), delivery_count=3))

    assert await edge.kept("acme") == []
    assert edge.clock.slept == [20.0]


async def test_the_bound_functions_are_named_after_their_handlers_and_take_the_binding_alone(
    edge: Edge,
) -> None:
    handled: list[str] = []

    async def brew(tenant: TenantContext, message: Order) -> None:
        """Brew it."""
        handled.append(f"{tenant.tenant_id} {message.what}")

    taking, moving = edge.queue.handler(brew), edge.queue.mover(brew)

    for function in (taking, moving):
        assert (function.__name__, function.__doc__) == ("brew", "Brew it.")
        assert function.__annotations__ == {"message": "func.ServiceBusMessage", "return": "None"}
        await function(func.ServiceBusMessage(body=order()))
    assert handled == ["acme tea", "acme tea"]


async def test_a_purged_tenants_messages_are_dropped_and_kept_nowhere(edge: Edge) -> None:
    edge.services.purged.add("gone")
    message = FakeDelivery(order(tenant_id="gone", what=SECRET))

    await edge.take(message)
    await edge.move(message)

    assert (edge.handler.handled, await edge.kept("gone"), await edge.kept(PLATFORM)) == ([], [], [])


async def test_of_a_purged_tenants_messages_that_cannot_be_read_nothing_is_kept_either(edge: Edge) -> None:
    edge.services.purged.add("gone")
    message = FakeDelivery(order(tenant_id="gone", what=7))

    await edge.take(message)
    await edge.move(message)

    assert (await edge.kept("gone"), await edge.kept(PLATFORM)) == ([], [])


async def test_a_dead_letter_that_cannot_be_read_is_kept_by_the_tenant_that_it_names(edge: Edge) -> None:
    await edge.move(FakeDelivery(order(what=7), dead_letter_reason="TTLExpiredException"))

    [kept] = await edge.kept("acme")
    assert (kept["reason"], edge.handler.handled) == ("DeliveriesExhaustedError", [])
    assert await edge.kept(PLATFORM) == []


async def test_what_is_put_off_is_settled_at_once_and_not_kept(edge: Edge) -> None:
    failure = DependencyUnavailableError("The model")
    told = []

    async def put_off(tenant: TenantContext, message: Order, failure: Exception) -> None:
        told.append((tenant.tenant_id, ambient_tenant().tenant_id, message.id, failure))

    edge.handler.failures = [failure]
    await replace(edge.queue, put_off=put_off).take(FakeDelivery(order()), edge.handler)

    assert told == [("acme", "acme", "o1", failure)]
    assert edge.clock.slept == []
    assert await edge.kept("acme") == []


async def test_what_may_not_be_put_off_any_more_is_kept_with_its_reason(edge: Edge) -> None:
    async def give_up(_: TenantContext, message: Order, failure: Exception) -> None:
        raise DeliveriesExhaustedError(f"{message.id}: {type(failure).__name__}")

    edge.handler.failures = [ZeroDivisionError()]
    await replace(edge.queue, put_off=give_up).take(FakeDelivery(order()), edge.handler)

    [kept] = await edge.kept("acme")
    assert (kept["reason"], kept["detail"]) == ("DeliveriesExhaustedError", "o1: ZeroDivisionError")


@pytest.mark.parametrize("raised", [ZeroDivisionError(), DependencyUnavailableError("The store")])
async def test_what_cannot_be_put_off_is_put_back(edge: Edge, raised: Exception) -> None:
    async def fail(*_: object) -> None:
        raise raised

    edge.handler.failures = [DependencyUnavailableError("The model")]
    with pytest.raises(type(raised)):
        await replace(edge.queue, put_off=fail).take(FakeDelivery(order()), edge.handler)

    assert edge.clock.slept == [2.0]


async def test_a_refused_message_is_logged_and_kept_with_its_tenant_id_queue_and_the_fields_at_fault(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    body = order(id="o7", what=7, names={"the customer's words": 1}, added=SECRET)

    await edge.take(FakeDelivery(body, "m-1"))

    [line] = [record.__dict__ for record in caplog.records if record.message == "Message quarantined"]
    assert (line["queue"], line["message_id"], line["job_id"]) == ("orders", "m-1", "o7")
    assert (line["named_tenant_id"], line["fields"]) == ("acme", ["names", "what"])
    assert "customer" not in str(line)
    [kept] = await edge.kept("acme")
    assert (kept["named"], kept["job_id"], kept["queue"]) == ("acme", "o7", "orders")
    fields = kept["fields"]
    assert isinstance(fields, dict)
    assert fields["what"] == "Input should be a valid string"


async def test_a_message_that_its_handler_refuses_is_logged_as_its_tenants(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    contexts: list[str | None] = []

    def watch(record: logging.LogRecord) -> bool:
        if record.getMessage() == "Message quarantined":
            contexts.append(log_context().tenant_id)
        return True

    edge.handler.failures = [ValidationError("no", {"fields": {"what": "is cold"}})]
    caplog.handler.addFilter(watch)

    await edge.take(FakeDelivery(order()))

    assert contexts == ["acme"]
    assert [kept["fields"] for kept in await edge.kept("acme")] == [{"what": "is cold"}]


async def test_of_countless_fields_at_fault_ten_thousand_bytes_are_kept(edge: Edge) -> None:
    edge.handler.failures = [
        ValidationError("no", {"fields": {f"field-{n:04}": "é" * 495 for n in range(20)}})
    ]

    await edge.take(FakeDelivery(order()))

    (kept,) = await edge.kept("acme")
    assert kept["fields"] == {f"field-{n:04}": "é" * 495 for n in range(10)}  # a thousand bytes each


async def test_what_names_no_tenant_is_forgotten_after_a_month_and_a_tenants_own_never(edge: Edge) -> None:
    edge.handler.failures = [ConflictError("no")]
    await edge.take(FakeDelivery(order()))
    await edge.take(FakeDelivery(b"{"))

    assert [kept["ttl"] for kept in await edge.kept(PLATFORM)] == [30 * 24 * 60 * 60]
    assert [kept["ttl"] for kept in await edge.kept("acme")] == [-1]


async def test_of_what_names_no_tenant_only_the_latest_are_kept(edge: Edge) -> None:
    for number in range(13):
        edge.clock.advance(1)
        await edge.take(FakeDelivery(b"{", f"m-{20 - number}"))  # the oldest has the greatest id

    kept = {str(entry["message_id"]) for entry in await edge.kept(PLATFORM)}
    assert MOST_UNATTRIBUTED == 1_000  # here it is ten
    assert kept == {f"m-{20 - number}" for number in range(3, 13)}


async def test_a_bound_that_cannot_be_kept_now_keeps_no_message_in_its_queue(edge: Edge) -> None:
    edge.cosmos.transport.watch_done = lambda _: setattr(edge.cosmos.transport, "lose_requests", 100)

    await edge.take(FakeDelivery(b"{"))

    edge.cosmos.transport.watch_done = lambda _: None
    edge.cosmos.transport.lose_requests = 0
    edge.clock.advance(60)
    assert len(await edge.kept(PLATFORM)) == 1


async def test_a_detail_is_cut_at_ten_thousand_bytes(edge: Edge) -> None:
    edge.handler.failures = [ConflictError("漢" * 20_000)]

    await edge.take(FakeDelivery(order()))

    [kept] = await edge.kept("acme")
    assert kept["detail"] == "漢" * 3_333


async def test_what_is_logged_of_a_refused_message_is_its_queue_and_why(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "shared.messaging.consumer"):
        await edge.take(FakeDelivery(b"{"))

    (told,) = [vars(record) for record in caplog.records if record.name == "shared.messaging.consumer"]
    assert (told["queue"], told["error"], told["status"]) == ("orders", "MalformedRequestError", 400)


async def test_a_delivery_has_nine_minutes_of_the_hosts_ten(edge: Edge) -> None:
    await edge.take(FakeDelivery(order()))
    await edge.move(FakeDelivery(order()))

    assert edge.handler.times_left == [540.0, 540.0]


async def test_the_same_refused_message_has_one_id_in_every_release(edge: Edge) -> None:
    await edge.take(FakeDelivery(b"{"))

    [kept] = await edge.kept(PLATFORM)
    assert kept["id"] == "orders:9826fe3dc26ec24818e79b545245c337"
