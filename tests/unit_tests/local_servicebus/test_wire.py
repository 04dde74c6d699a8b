"""The wire protocol through an AMQP client whose bytes are carried by hand."""
# ruff: noqa: ANN401 - AMQP values are of any type

from __future__ import annotations

from typing import Any

import cproton as pn
import pytest
from proton import Array, Data, Delivery, Message, int32, symbol, timestamp, ulong

from local.servicebus.engine.model import Incoming, QueueSpec
from local.servicebus.faults import Fault, FaultKind
from local.servicebus.wire import codec
from local.servicebus.wire.connection import Connection
from tests.unit_tests.local_servicebus.amqp_client import (
    SASL,
    Client,
    World,
    refusal,
    rejection,
    sas,
    sasl_init,
)

FILTER = "com.microsoft:session-filter"


@pytest.fixture
def world() -> World:
    return World([QueueSpec("q", max_delivery_count=3), QueueSpec("s", requires_session=True)])


@pytest.fixture
def client(world: World) -> Client:
    return world.connect()


def put(world: World, *bodies: str, queue: str = "q", session: str | None = None) -> None:
    for body in bodies:
        message = codec.encode_described(0x77, codec.encode_string(body))
        content = (
            codec.encode_described(0x70, b"\x45")
            + codec.encode_described(0x72, codec.encode_map({}))
            + message
        )
        world.broker.queue(queue).send([Incoming(content, session_id=session)])
    world.settle()


def depth(world: World, queue: str = "q") -> Any:
    return world.broker.depths()[queue]


def test_a_sent_message_is_accepted_stored_and_received_with_its_place(world: World, client: Client) -> None:
    sent = client.send(
        client.sender("amqps://localhost:5672/q"), Message(body="hi", id="1", ttl=5, durable=True)
    )
    assert sent.remote_state == Delivery.ACCEPTED
    _, got = client.take(client.receiver("Q"))
    assert (got.body, got.id, got.delivery_count, got.durable, got.ttl) == ("hi", "1", 0, True, 5)
    annotations = {str(key): value for key, value in dict(got.annotations or {}).items()}
    assert annotations["x-opt-sequence-number"] == 1
    assert annotations["x-opt-enqueued-time"] == world.clock.now
    assert annotations["x-opt-locked-until"] == world.clock.now + 60_000


def test_a_message_of_many_frames_arrives_whole(client: Client) -> None:
    client.send(client.sender("q"), Message(body=b"x" * 9000))
    _, got = client.take(client.receiver("q"))
    assert owned(got.body) == b"x" * 9000


def test_a_message_beyond_the_limit_is_refused_without_being_kept(world: World, client: Client) -> None:
    sender = client.sender("q")
    assert rejection(client.send(sender, Message(body=b"x" * 30_000))) == "amqp:link:message-size-exceeded"
    assert client.send(sender, Message(body="small")).remote_state == Delivery.ACCEPTED
    assert depth(world).active == 1


def test_bytes_that_are_no_message_are_refused(client: Client) -> None:
    assert rejection(client.send(client.sender("q"), b"\x01\x02\x03")) == "amqp:decode-error"


@pytest.mark.parametrize(
    ("state", "details", "expected"),
    [
        (Delivery.ACCEPTED, {}, (0, 0, 0)),
        (Delivery.RELEASED, {}, (1, 0, 0)),
        (Delivery.MODIFIED, {"failed": True}, (1, 0, 0)),
        (Delivery.MODIFIED, {"failed": True, "undeliverable": True}, (0, 1, 0)),
        (Delivery.REJECTED, {}, (0, 0, 1)),
    ],
)
def test_each_outcome_is_applied_and_confirmed(
    world: World, client: Client, state: int, details: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    put(world, "a")
    delivery, _ = client.take(client.receiver("q", credit=1))
    settled = client.settle(delivery, state, **details)
    assert settled.remote_state == state
    now = depth(world)
    assert (now.active, now.deferred, now.dead_lettered) == expected


def test_properties_that_a_receiver_changes_come_with_the_next_delivery(world: World, client: Client) -> None:
    put(world, "a")
    receiver = client.receiver("q", credit=2)
    delivery, _ = client.take(receiver)
    client.settle(delivery, Delivery.MODIFIED, failed=True, annotations={symbol("tried"): ulong(1)})
    _, again = client.take(receiver)
    assert again.properties == {"tried": 1}
    assert again.delivery_count == 1


def test_a_lock_that_ran_out_is_told_by_a_rejection(world: World, client: Client) -> None:
    put(world, "a")
    delivery, _ = client.take(client.receiver("q", credit=1))
    world.pass_time(60_000)
    assert rejection(client.settle(delivery, Delivery.ACCEPTED)) == "com.microsoft:message-lock-lost"


def test_a_delivery_settled_without_an_outcome_stays_locked(world: World, client: Client) -> None:
    put(world, "a")
    delivery, _ = client.take(client.receiver("q", credit=1))
    delivery.settle()
    world.settle()
    assert depth(world).locked == 1


def test_a_presettled_receiver_deletes_what_it_gets(world: World, client: Client) -> None:
    put(world, "a", "b")
    receiver = client.receiver("q", settled=True, credit=1)
    delivery, got = client.take(receiver)
    assert (got.body, delivery.settled) == ("a", True)
    assert depth(world).active == 1


def test_no_more_goes_out_than_there_is_credit_for_and_draining_gives_it_back(
    world: World, client: Client
) -> None:
    put(world, "a", "b", "c")
    receiver = client.receiver("q", credit=2)
    assert depth(world).locked == 2
    pn.pn_link_drain(receiver._impl, 5)  # noqa: SLF001 - by C
    world.settle()
    assert depth(world).locked == 3
    assert receiver.drained() == 4


def test_two_receivers_are_served_in_turn(world: World, client: Client) -> None:
    first, second = client.receiver("q"), world.connect().receiver("q")
    put(world, "a", "b", "c", "d")
    assert (first.queued, second.queued) == (2, 2)


def test_a_receiver_that_goes_leaves_its_messages_locked_until_they_run_out(
    world: World, client: Client
) -> None:
    put(world, "a")
    receiver = client.receiver("q")
    receiver.close()
    world.settle()
    assert depth(world).locked == 1
    world.pass_time(60_000)
    assert depth(world).locked == 0


def test_a_named_session_is_granted_and_says_until_when(world: World, client: Client) -> None:
    put(world, "a", queue="s", session="x")
    receiver = client.receiver("s", filters={FILTER: "x"})
    assert receiver.remote_source.filter is not None
    until = Data(pn.pn_link_remote_properties(receiver._impl))  # noqa: SLF001 - by C
    until.rewind()
    until.next()
    ticks = next(value for key, value in until.get_dict().items() if key == "com.microsoft:locked-until-utc")
    assert (ticks - 621_355_968_000_000_000) // 10_000 == world.clock.now + 60_000
    assert client.take(receiver)[1].body == "a"
    assert refusal(client.receiver("s", filters={FILTER: "x"})) == "com.microsoft:session-cannot-be-locked"
    receiver.close()
    world.settle()
    assert refusal(client.receiver("s", filters={FILTER: "x"})) is None


def test_a_receiver_waits_for_any_session_until_one_has_messages(world: World, client: Client) -> None:
    receiver = client.receiver("s", filters={FILTER: None})
    assert not receiver.state & pn.PN_REMOTE_ACTIVE
    put(world, "a", queue="s", session="late")
    assert receiver.state & pn.PN_REMOTE_ACTIVE
    assert client.take(receiver)[1].body == "a"
    world.pass_time(30_000)
    assert refusal(receiver) is None


def test_a_receiver_that_found_no_session_in_its_time_is_told_so(world: World, client: Client) -> None:
    receiver = client.receiver("s", filters={FILTER: None}, properties={"com.microsoft:timeout": ulong(2000)})
    world.pass_time(1999)
    assert refusal(receiver) is None
    world.pass_time(1)
    assert refusal(receiver) == "com.microsoft:timeout"


def test_a_receiver_that_stops_waiting_gets_no_session(world: World, client: Client) -> None:
    receiver = client.receiver("s", filters={FILTER: None})
    receiver.close()
    world.settle()
    put(world, "a", queue="s", session="x")
    assert world.broker.queue("s").accept_session("me", "x") is not None


def test_a_session_lock_that_runs_out_ends_the_link(world: World, client: Client) -> None:
    receiver = client.receiver("s", filters={FILTER: "x"})
    world.pass_time(60_000)
    assert refusal(receiver) == "com.microsoft:session-lock-lost"


def test_a_connection_that_is_gone_gives_its_sessions_back(world: World, client: Client) -> None:
    client.receiver("s", filters={FILTER: "x"})
    world.clients.remove(client)
    client.connection.lost()
    assert world.broker.queue("s").accept_session("me", "x") is not None


@pytest.mark.parametrize(
    ("address", "filters", "condition"),
    [
        ("nothing", None, "amqp:not-found"),
        ("a-topic", None, "amqp:not-implemented"),
        ("t/Subscriptions/s", None, "amqp:not-implemented"),
        ("s", None, "amqp:not-allowed"),
        ("q", {FILTER: "x"}, "amqp:not-allowed"),
        ("s", {FILTER: ulong(7)}, "com.microsoft:argument-error"),
        ("nothing/$management", None, "amqp:not-found"),
    ],
)
def test_a_receiver_is_refused_with_the_reason(
    client: Client, address: str, filters: Any, condition: str
) -> None:
    assert refusal(client.receiver(address, filters=filters)) == condition


def test_senders_and_transactions_are_refused_with_the_reason(client: Client) -> None:
    assert refusal(client.sender("nothing")) == "amqp:not-found"
    assert refusal(client.sender("", coordinator=True)) == "amqp:not-implemented"


def test_nothing_is_attached_before_a_token_was_put(world: World) -> None:
    client = world.connect(authorize=False)
    assert refusal(client.sender("q")) == "amqp:unauthorized-access"
    assert client.put_token(sas(world.clock, key="wrong")) == 401
    assert refusal(client.receiver("q")) == "amqp:unauthorized-access"
    assert client.put_token(sas(world.clock)) == 202
    assert refusal(client.sender("q")) is None


@pytest.mark.parametrize("token", ["Bearer x", "SharedAccessSignature sr=x", ""])
def test_other_tokens_are_refused(world: World, token: str) -> None:
    assert world.connect(authorize=False).put_token(token) == 401


def test_tokens_of_another_name_out_of_date_or_mangled_are_refused(world: World) -> None:
    client = world.connect(authorize=False)
    assert client.put_token(sas(world.clock, name="other")) == 401
    assert client.put_token(sas(world.clock, seconds=0)) == 401
    assert client.put_token(sas(world.clock).replace("sig=", "sig=%%")) == 401


def test_cbs_does_nothing_but_put_token(client: Client) -> None:
    reply = client.request("$cbs", "delete-token", "x")
    assert reply.properties is not None
    assert reply.properties["status-code"] == 400


def manage(
    client: Client, operation: str, body: Any, queue: str = "q", **properties: Any
) -> tuple[int, Any, str | None]:
    reply = client.request(f"{queue}/$management", f"com.microsoft:{operation}", body, **properties)
    assert reply.properties is not None
    return reply.properties["statusCode"], owned(reply.body), reply.properties.get("errorCondition")


def owned(value: Any) -> Any:
    """Copy what Proton gives as views of memory that goes with the message."""
    if isinstance(value, dict):
        return {key: owned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [owned(item) for item in value]
    return bytes(value) if isinstance(value, memoryview) else value


def longs(*values: int) -> Array:
    return Array(None, Data.LONG, *values)


def test_managing_peeks_schedules_and_cancels(world: World, client: Client) -> None:
    assert manage(client, "peek-message", {"from-sequence-number": 0, "message-count": int32(5)})[0] == 204
    later = Message(
        body="later", annotations={symbol("x-opt-scheduled-enqueue-time"): timestamp(world.clock.now + 500)}
    )
    status, body, _ = manage(
        client, "schedule-message", {"messages": [{"message": later.encode(), "message-id": "1"}] * 2}
    )
    assert status == 200
    numbers = list(body["sequence-numbers"])
    assert depth(world).scheduled == 2
    status, body, _ = manage(client, "peek-message", {"from-sequence-number": 0, "message-count": int32(5)})
    assert (status, len(body["messages"])) == (200, 2)
    assert manage(client, "cancel-scheduled-message", {"sequence-numbers": longs(numbers[0])})[0] == 200
    assert manage(client, "cancel-scheduled-message", {"sequence-numbers": longs(numbers[0])}) == (
        404,
        {},
        "com.microsoft:message-not-found",
    )
    receiver = client.receiver("q")
    world.pass_time(500)
    assert client.take(receiver)[1].body == "later"


def test_managing_renews_defers_and_settles(world: World, client: Client) -> None:
    put(world, "a")
    delivery, got = client.take(client.receiver("q", credit=1))
    client.settle(delivery, Delivery.MODIFIED, failed=True, undeliverable=True)
    number = next(
        value for key, value in dict(got.annotations or {}).items() if key == "x-opt-sequence-number"
    )
    request = {"sequence-numbers": longs(number), "receiver-settle-mode": ulong(1)}
    status, body, _ = manage(client, "receive-by-sequence-number", request)
    assert status == 200
    token = body["messages"][0]["lock-token"]
    tokens = Array(None, Data.UUID, token)
    status, body, _ = manage(client, "renew-lock", {"lock-tokens": tokens})
    assert list(body["expirations"]) == [world.clock.now + 60_000]
    request = {
        "lock-tokens": tokens,
        "disposition-status": "suspended",
        "deadletter-reason": "why",
        "properties-to-modify": {"tried": ulong(2)},
    }
    assert manage(client, "update-disposition", request)[0] == 200
    assert manage(client, "update-disposition", request)[2] == "com.microsoft:message-lock-lost"
    _, dead = client.take(client.receiver("q/$DeadLetterQueue"))
    assert dead.properties == {"tried": 2, "DeadLetterReason": "why"}


def test_managing_a_session_takes_its_lock(world: World, client: Client) -> None:
    put(world, "a", queue="s", session="x")
    body = {"session-id": "x"}
    assert manage(client, "get-session-state", body, "s")[2] == "com.microsoft:session-lock-lost"
    receiver = client.receiver("s", filters={FILTER: "x"})
    own = {"associated-link-name": receiver.name}
    assert manage(client, "get-session-state", body, "s", **own)[1] == {"session-state": None}
    assert manage(client, "set-session-state", {**body, "session-state": b"half"}, "s", **own)[0] == 200
    assert bytes(manage(client, "get-session-state", body, "s")[1]["session-state"]) == b"half"
    other = {"associated-link-name": "another"}
    assert manage(client, "get-session-state", body, "s", **other)[2] == "com.microsoft:session-lock-lost"
    world.clock.advance(1000)
    assert manage(client, "renew-session-lock", body, "s", **own)[1] == {
        "expiration": world.clock.now + 60_000
    }
    assert (
        manage(client, "renew-lock", {"lock-tokens": Array(None, Data.UUID)}, "s")[2]
        == "com.microsoft:argument-error"
    )


def test_managing_lists_sessions_by_page(world: World, client: Client) -> None:
    assert manage(client, "get-message-sessions", {"skip": int32(0), "top": int32(1)}, "s")[0] == 204
    for session in ("x", "y"):
        put(world, "a", queue="s", session=session)
    request = {"last-updated-time": timestamp(253_402_300_800_000), "skip": int32(1), "top": int32(10)}
    _, body, _ = manage(client, "get-message-sessions", request, "s")
    assert (list(body["sessions-ids"]), body["skip"]) == (["y"], 2)
    assert manage(client, "get-message-sessions", {"last-updated-time": timestamp(5)}, "s")[0] == 204


@pytest.mark.parametrize(
    ("operation", "body", "condition"),
    [
        ("add-rule", {}, "amqp:not-implemented"),
        ("peek-message", "no map", "com.microsoft:argument-error"),
        ("peek-message", {"message-count": "many"}, "com.microsoft:argument-error"),
        ("peek-message", {"session-id": ulong(1)}, "com.microsoft:argument-error"),
        ("renew-lock", {}, "com.microsoft:argument-error"),
        ("renew-lock", {"lock-tokens": ["x"]}, "com.microsoft:argument-error"),
        ("cancel-scheduled-message", {"sequence-numbers": ["x"]}, "com.microsoft:argument-error"),
        ("schedule-message", {"messages": ["x"]}, "com.microsoft:argument-error"),
        ("schedule-message", {"messages": [{"message": "x"}]}, "com.microsoft:argument-error"),
        ("schedule-message", {"messages": [{"message": b"\x07"}]}, "com.microsoft:argument-error"),
        (
            "schedule-message",
            {"messages": [{"message": Message(body=1).encode()}]},
            "com.microsoft:argument-error",
        ),
        ("update-disposition", {"disposition-status": "renewed"}, "amqp:not-implemented"),
        ("get-session-state", {}, "com.microsoft:argument-error"),
        ("get-message-sessions", {"top": int32(0)}, "com.microsoft:argument-error"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_by_name(
    client: Client, operation: str, body: Any, condition: str
) -> None:
    status, _, refused = manage(client, operation, body)
    assert status >= 400
    assert refused == condition


def test_a_request_without_a_link_for_the_answer_is_rejected(client: Client) -> None:
    requests = client.sender("q/$management")
    assert rejection(client.send(requests, Message(body={}))) == "amqp:not-allowed"
    assert rejection(client.send(requests, b"\x01")) == "amqp:decode-error"
    assert rejection(client.send(requests, Message(body=b"x" * 30_000))) == "amqp:link:message-size-exceeded"


def test_a_refused_send_stores_nothing_and_names_the_condition(world: World, client: Client) -> None:
    world.faults.add(Fault(FaultKind.REFUSE_SEND, queue="Q", condition="amqp:resource-limit-exceeded"))
    sender = client.sender("q")
    assert rejection(client.send(sender, Message(body=1))) == "amqp:resource-limit-exceeded"
    assert client.send(sender, Message(body=1)).remote_state == Delivery.ACCEPTED
    assert depth(world).active == 1


def test_a_delayed_send_is_stored_after_its_delay(world: World, client: Client) -> None:
    world.faults.add(Fault(FaultKind.DELAY_SEND, delay_ms=100))
    sent = client.send(client.sender("q"), Message(body=1))
    assert depth(world).active == 0
    world.pass_time(100)
    assert sent.remote_state == Delivery.ACCEPTED


def test_a_delayed_send_whose_link_is_gone_is_not_stored(world: World, client: Client) -> None:
    world.faults.add(Fault(FaultKind.DELAY_SEND, delay_ms=100))
    sender = client.sender("q")
    client.send(sender, Message(body=1))
    sender.close()
    world.settle()
    world.pass_time(100)
    assert depth(world).active == 0


@pytest.mark.parametrize(
    ("kind", "stored"), [(FaultKind.DROP_BEFORE_SEND, 0), (FaultKind.DROP_AFTER_SEND, 1)]
)
def test_a_dropped_connection_says_nothing_more(
    world: World, client: Client, kind: FaultKind, stored: int
) -> None:
    world.faults.add(Fault(kind))
    sent = client.send(client.sender("q"), Message(body=1))
    assert client.cut_off
    assert client.connection.finished
    assert not sent.settled
    assert depth(world).active == stored


def test_both_ends_can_end_the_connection(world: World, client: Client) -> None:
    client.connection.close()
    world.settle()
    assert client.connection.finished
    assert client.connection.tick() is not None or client.connection.finished
    client.connection.lost()


def test_a_session_that_ends_takes_its_links_along(world: World, client: Client) -> None:
    client.receiver("s", filters={FILTER: "x"})
    pn.pn_session_close(client._session)  # noqa: SLF001 - the client's only session
    world.settle()
    assert world.broker.queue("s").accept_session("me", "x") is not None


def test_garbage_after_sasl_ends_the_connection_and_nothing_else(world: World, client: Client) -> None:
    client.connection.feed(b"\xff" * 100)
    client.connection.output()
    assert client.connection.finished
    client.connection.feed(b"more")


@pytest.mark.parametrize("mechanism", ["ANONYMOUS", "MSSBCBS"])
def test_sasl_takes_both_mechanisms_even_byte_by_byte(world: World, mechanism: str) -> None:
    connection = Connection(world.node, world.logged.append)
    for byte in SASL + sasl_init(mechanism):
        connection.feed(bytes([byte]))
    answer = connection.output()
    assert b"ANONYMOUS" in answer
    assert b"MSSBCBS" in answer
    assert answer.endswith(b"\x50\x00")
    assert not connection.finished


@pytest.mark.parametrize(
    ("data", "logged"),
    [
        (SASL + sasl_init("PLAIN"), "PLAIN"),
        (b"AMQP\x00\x01\x00\x00", "SASL"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "UseDevelopmentEmulator"),
        (SASL + b"\x00\x00\x00\x09\x02\x00\x00\x00\x40", "malformed"),
        (SASL + b"\x00\x00\x00\x09\x02\x01\x00\x00\x40", "something else"),
        (SASL + b"\x00\x00\x00\x09\x02\x01\x00\x00\x01", "malformed"),
    ],
)
def test_who_does_not_get_through_sasl_is_cut_off_with_the_reason(
    world: World, data: bytes, logged: str
) -> None:
    connection = Connection(world.node, world.logged.append)
    connection.feed(data)
    assert connection.finished
    assert logged in world.logged[0]
    assert connection.tick() is None
