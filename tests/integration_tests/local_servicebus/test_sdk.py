"""The conformance table: what the SDK for Python, sync and aio, can ask of a queue."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from azure.servicebus import (
    NEXT_AVAILABLE_SESSION,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)
from azure.servicebus.aio import AutoLockRenewer
from azure.servicebus.amqp import AmqpAnnotatedMessage
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusError,
    ServiceBusServerBusyError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from tests.integration_tests.local_servicebus.conftest import Sdk

if TYPE_CHECKING:
    from tests.integration_tests.local_servicebus.endpoint import Endpoint


async def wait_until_given_back(sdk: Sdk, queue: str) -> None:
    """Wait for the endpoint to say that nothing is locked any more."""
    async with asyncio.timeout(10):
        while sdk.endpoint.depth(queue)["locked"]:  # noqa: ASYNC110 - another process, which is asked
            await asyncio.sleep(0.02)


async def test_everything_that_was_sent_comes_back_as_it_was(sdk: Sdk) -> None:
    sender, receiver = await sdk.pair("plain")
    sent = ServiceBusMessage(
        b"body",
        message_id="id",
        subject="subject",
        content_type="text/plain",
        correlation_id="correlation",
        to="to",
        reply_to="reply",
        time_to_live=timedelta(minutes=5),
        application_properties={
            "text": "x",
            "number": 7,
            "flag": True,
            "real": 1.5,
            "id": uuid4(),
        },
    )
    await sdk.call(sender.send_messages, sent)
    [got] = await sdk.call(receiver.receive_messages, 1)
    assert b"".join(got.body) == b"body"
    for name in ("message_id", "subject", "content_type", "correlation_id", "to", "reply_to", "time_to_live"):
        assert getattr(got, name) == getattr(sent, name), name
    properties = {_text(key): _text(value) for key, value in got.application_properties.items()}
    assert properties == sent.application_properties
    assert got.delivery_count == 0
    assert got.state is ServiceBusMessageState.ACTIVE
    assert abs(got.enqueued_time_utc - datetime.now(UTC)) < timedelta(seconds=5)
    assert timedelta(seconds=50) < got.locked_until_utc - datetime.now(UTC) < timedelta(seconds=61)
    assert await sdk.call(receiver.renew_message_lock, got) >= got.locked_until_utc - timedelta(seconds=1)
    await sdk.call(receiver.complete_message, got)


async def test_each_kind_of_amqp_body_survives(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender, receiver = await sdk.pair("plain")
    await sdk.call(sender.send_messages, AmqpAnnotatedMessage(value_body={b"key": [1, b"two"]}))
    await sdk.call(sender.send_messages, AmqpAnnotatedMessage(sequence_body=[[1, 2], [b"three"]]))
    await sdk.call(sender.send_messages, AmqpAnnotatedMessage(data_body=[b"one", b"two"]))
    seen: list[object] = []
    while len(seen) < 3:
        for got in await sdk.call(receiver.receive_messages, 3):
            body = got.raw_amqp_message.body
            seen.append(body if isinstance(body, dict) else list(body))
            await sdk.call(receiver.complete_message, got)
    assert seen == [{b"key": [1, b"two"]}, [[1, 2], [b"three"]], [b"one", b"two"]]


async def test_a_batch_is_many_messages_and_a_body_that_looks_like_a_message_is_one(sdk: Sdk) -> None:
    sender, receiver = await sdk.pair("plain")
    looks_like_one = b"\x00\x53\x75\xa0\x01x"  # a data section, encoded
    await sdk.call(sender.send_messages, ServiceBusMessage(looks_like_one))
    batch = await sdk.call(sender.create_message_batch)
    for number in range(100):
        batch.add_message(ServiceBusMessage(str(number), message_id=str(number)))
    await sdk.call(sender.send_messages, batch)
    got = await _take(sdk, receiver, 101)
    assert [b"".join(one.body) for one in got] == [
        looks_like_one,
        *(str(number).encode() for number in range(100)),
    ]


async def test_each_way_to_settle_does_what_it_says(sdk: Sdk) -> None:
    sender, receiver = await sdk.pair("plain")
    await sdk.call(sender.send_messages, [ServiceBusMessage(name) for name in ("abandon", "defer", "bury")])
    first, second, third = await sdk.call(receiver.receive_messages, 3)
    await sdk.call(receiver.abandon_message, first)
    await sdk.call(receiver.defer_message, second)
    await sdk.call(receiver.dead_letter_message, third, reason="why", error_description="because")
    [again] = await sdk.call(receiver.receive_messages, 1)
    assert (str(again), again.delivery_count) == ("abandon", 1)
    peeked = await sdk.call(receiver.peek_messages, 10, sequence_number=again.sequence_number)
    assert [(str(one), one.state) for one in peeked][1:] == [("defer", ServiceBusMessageState.DEFERRED)]
    await sdk.call(receiver.complete_message, again)
    [deferred] = await sdk.call(receiver.receive_deferred_messages, [second.sequence_number])
    await sdk.call(receiver.complete_message, deferred)
    with pytest.raises(MessageNotFoundError):
        await sdk.call(receiver.receive_deferred_messages, [second.sequence_number])
    dead = await sdk.receiver("plain", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
    [buried] = await sdk.call(dead.receive_messages, 1)
    assert (buried.dead_letter_reason, buried.dead_letter_error_description) == ("why", "because")
    assert buried.dead_letter_source == "plain"
    await sdk.call(dead.complete_message, buried)


async def test_many_requests_may_be_under_way_on_one_connection(endpoint: Endpoint) -> None:
    """azure-servicebus then states delivery-ids twice, which Azure takes (azure-amqp, `OnReceiveDelivery`).

    A sender of the SDK's that is called at once from many tasks also sends messages more than once.
    """
    async with Sdk(endpoint, is_async=True) as sdk:
        sender, receiver = await sdk.pair("crowded")
        await asyncio.gather(*(sender.send_messages(ServiceBusMessage(str(number))) for number in range(20)))
        got = {str(one): one for one in await _take(sdk, receiver, 20, complete=False)}
        while set(got) != {str(number) for number in range(20)}:
            got |= {str(one): one for one in await _take(sdk, receiver, 1, complete=False)}
        renewed = await asyncio.gather(*(receiver.renew_message_lock(one) for one in got.values()))
        assert all(until > datetime.now(UTC) for until in renewed)
        await asyncio.gather(*(receiver.complete_message(one) for one in got.values()))


async def test_a_renewer_keeps_many_locks(endpoint: Endpoint) -> None:
    """Its renewals go out at once, and state delivery-ids twice as well."""
    lost: list[object] = []

    async def note(renewable: object, error: Exception | None) -> None:
        lost.append((renewable, error))

    async with Sdk(endpoint, is_async=True) as sdk:
        sender, receiver = await sdk.pair("short")
        await sender.send_messages([ServiceBusMessage(str(number)) for number in range(12)])
        async with AutoLockRenewer() as renewer, asyncio.timeout(20):
            held = await _take(sdk, receiver, 12, complete=False)
            for one in held:
                renewer.register(receiver, one, on_lock_renew_failure=note)
            first = max(one.locked_until_utc for one in held)
            while any(one.locked_until_utc <= first for one in held):  # noqa: ASYNC110 - the SDK's own clock
                await asyncio.sleep(0.02)
            await asyncio.gather(*(receiver.complete_message(one) for one in held))
    assert lost == []
    assert endpoint.depth("short")["active"] == 0


async def test_a_lock_that_ran_out_is_said_so_and_exhausted_deliveries_are_dead_letters(
    either_sdk: Sdk,
) -> None:
    sdk = either_sdk
    sender, receiver = await sdk.pair("brief")
    await sdk.call(sender.send_messages, ServiceBusMessage("short"))
    for _ in range(2):
        [held] = await sdk.call(receiver.receive_messages, 1)
        await wait_until_given_back(sdk, "brief")
        with pytest.raises(MessageLockLostError):
            await sdk.call(receiver.complete_message, held)
    dead = await sdk.receiver("brief", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
    [buried] = await sdk.call(dead.receive_messages, 1)
    assert buried.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert buried.delivery_count == 2
    await sdk.call(dead.complete_message, buried)


async def test_receive_and_delete_and_prefetch(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender = await sdk.sender("plain")
    await sdk.call(sender.send_messages, [ServiceBusMessage(str(number)) for number in range(50)])
    receiver = await sdk.receiver(
        "plain", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE, prefetch_count=20
    )
    got = await _take(sdk, receiver, 50, complete=False)
    assert [str(one) for one in got] == [str(number) for number in range(50)]
    assert sdk.endpoint.depth("plain")["active"] == 0


async def test_prefetched_messages_that_were_not_wanted_are_given_back_uncounted(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender = await sdk.sender("plain")
    await sdk.call(sender.send_messages, [ServiceBusMessage(str(number)) for number in range(10)])
    greedy = await sdk.receiver("plain", prefetch_count=10)
    [first] = await sdk.call(greedy.receive_messages, 1)
    await sdk.call(greedy.complete_message, first)
    await sdk.close(greedy)
    got = await _take(sdk, await sdk.receiver("plain"), 9)
    assert [one.delivery_count for one in got] == [0] * 9


async def test_scheduled_messages_come_at_their_time_unless_cancelled(sdk: Sdk) -> None:
    sender, receiver = await sdk.pair("plain")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    [number] = await sdk.call(sender.schedule_messages, ServiceBusMessage("soon"), soon)
    later = await sdk.call(
        sender.schedule_messages, [ServiceBusMessage("a"), ServiceBusMessage("b")], soon + timedelta(hours=1)
    )
    assert sdk.endpoint.depth("plain")["scheduled"] == 3
    await sdk.call(sender.cancel_scheduled_messages, later)
    with pytest.raises(MessageNotFoundError):
        await sdk.call(sender.cancel_scheduled_messages, later)
    [got] = await sdk.call(receiver.receive_messages, 1)
    assert str(got) == "soon"
    assert got.enqueued_time_utc >= soon - timedelta(milliseconds=5)
    assert got.sequence_number > number
    await sdk.call(receiver.complete_message, got)


async def test_a_time_to_live_ends_in_the_dead_letter_queue_or_in_nothing(either_sdk: Sdk) -> None:
    sdk = either_sdk
    mortal, vanishing, dead = await asyncio.gather(
        sdk.sender("mortal"),
        sdk.sender("vanishing"),
        sdk.receiver("mortal", sub_queue=ServiceBusSubQueue.DEAD_LETTER),
    )
    for sender in (mortal, vanishing):
        await sdk.call(sender.send_messages, ServiceBusMessage("soon gone"))
    [buried] = await sdk.call(dead.receive_messages, 1)
    assert buried.dead_letter_reason == "TTLExpiredException"
    await sdk.call(dead.complete_message, buried)
    async with asyncio.timeout(10):
        while sdk.endpoint.depth("vanishing")["active"]:  # noqa: ASYNC110 - another process, which is asked
            await asyncio.sleep(0.02)
    assert sdk.endpoint.depth("vanishing")["dead_lettered"] == 0


async def test_a_duplicate_is_accepted_and_dropped(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender, receiver = await sdk.pair("dedup", max_wait_time=1)
    message_id = str(uuid4())
    for body in ("first", "second"):
        await sdk.call(sender.send_messages, ServiceBusMessage(body, message_id=message_id))
    assert [str(one) for one in await _take(sdk, receiver, 1)] == ["first"]
    assert await sdk.call(receiver.receive_messages, 1) == []


async def test_sessions_are_exclusive_ordered_and_keep_state(sdk: Sdk) -> None:
    sender = await sdk.sender("sessions")
    ours, other = str(uuid4()), str(uuid4())
    for number in range(3):
        await sdk.call(sender.send_messages, ServiceBusMessage(str(number), session_id=ours))
    await sdk.call(sender.send_messages, ServiceBusMessage("other", session_id=other))
    receiver = await sdk.receiver("sessions", session_id=ours)
    with pytest.raises(SessionCannotBeLockedError):
        await sdk.receiver("sessions", session_id=ours)
    assert await sdk.call(receiver.session.get_state) is None
    await sdk.call(receiver.session.set_state, "half way")
    assert await sdk.call(receiver.session.get_state) == b"half way"
    until = receiver.session.locked_until_utc
    assert await sdk.call(receiver.session.renew_lock) >= until
    assert [str(one) for one in await _take(sdk, receiver, 3)] == ["0", "1", "2"]
    await sdk.call(receiver.session.set_state, None)
    await sdk.close(receiver)
    following = await sdk.receiver("sessions", session_id=NEXT_AVAILABLE_SESSION)
    assert following.session.session_id == other
    assert [str(one) for one in await _take(sdk, following, 1)] == ["other"]
    with pytest.raises(OperationTimeoutError):
        await sdk.receiver("sessions", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=1)


async def test_a_session_that_comes_later_opens_a_receiver_that_waits(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender = await sdk.sender("sessions")
    session = str(uuid4())
    when = datetime.now(UTC) + timedelta(seconds=1)
    await sdk.call(sender.schedule_messages, ServiceBusMessage("late", session_id=session), when)
    receiver = await sdk.receiver("sessions", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=10)
    assert receiver.session.session_id == session
    await _take(sdk, receiver, 1)


async def test_a_session_lock_that_ran_out_ends_the_receiver_and_frees_the_session(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender = await sdk.sender("brief-sessions")
    session = str(uuid4())
    await sdk.call(sender.send_messages, ServiceBusMessage("x", session_id=session))
    receiver = await sdk.receiver("brief-sessions", session_id=session)
    [held] = await sdk.call(receiver.receive_messages, 1)
    await wait_until_given_back(sdk, "brief-sessions")
    with pytest.raises(SessionLockLostError):
        await sdk.call(receiver.complete_message, held)
    again = await sdk.receiver("brief-sessions", session_id=session)
    [got] = await _take(sdk, again, 1)
    assert got.delivery_count == 1


async def test_sessions_can_be_listed(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender = await sdk.sender("sessions")
    session = str(uuid4())
    await sdk.call(sender.send_messages, ServiceBusMessage("x", session_id=session))
    receiver = await sdk.receiver("sessions", session_id=session)
    assert session in await sdk.sessions("sessions")
    await _take(sdk, receiver, 1)
    assert session not in await sdk.sessions("sessions")


async def test_what_is_not_there_or_not_allowed_is_refused_by_name(either_sdk: Sdk) -> None:
    sdk = either_sdk
    refusals = await asyncio.gather(
        sdk.sender("nothing"),
        sdk.receiver("nothing"),
        sdk.sender("a-topic"),
        sdk.receiver("sessions"),
        sdk.receiver("plain", session_id="s"),
        return_exceptions=True,
    )
    expected = [
        (MessagingEntityNotFoundError, "'nothing' could not be found"),
        (MessagingEntityNotFoundError, "'nothing' could not be found"),
        (ServiceBusError, "topics and subscriptions are not supported"),
        (ServiceBusError, "requires sessions"),
        (ServiceBusError, "does not require sessions"),
    ]
    for refusal, (kind, text) in zip(refusals, expected, strict=True):
        assert isinstance(refusal, kind)
        assert text in str(refusal)
    sender = await sdk.sender("sessions")
    with pytest.raises(ServiceBusError, match="SessionId was not set"):
        await sdk.call(sender.send_messages, ServiceBusMessage("x"))


async def test_a_message_beyond_the_limit_is_refused_and_one_below_is_not(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender, receiver = await sdk.pair("plain")
    with pytest.raises(MessageSizeExceededError):
        await sdk.call(sender.send_messages, ServiceBusMessage(b"x" * 262_144))
    await sdk.call(sender.send_messages, ServiceBusMessage(b"x" * 260_000))
    [got] = await _take(sdk, receiver, 1)
    assert len(b"".join(got.body)) == 260_000


async def test_a_wrong_key_is_an_authentication_error(either_sdk: Sdk) -> None:
    sdk = either_sdk
    client = sdk.new_client(key="another")
    sender = client.get_queue_sender("plain")
    try:
        with pytest.raises(ServiceBusAuthenticationError):
            await sdk.call(sender.send_messages, ServiceBusMessage("x"))
    finally:
        await sdk.call(client.close)


async def test_faults_happen_on_demand(either_sdk: Sdk) -> None:
    sdk = either_sdk
    sender, receiver = await sdk.pair("plain")
    sdk.endpoint.admin("POST", "/faults", {"kind": "refuse-send", "queue": "plain"})
    with pytest.raises(ServiceBusServerBusyError):
        await sdk.call(sender.send_messages, ServiceBusMessage("refused"))
    sdk.endpoint.admin("POST", "/faults", {"kind": "delay-send", "queue": "plain", "delay_ms": 500})
    begin = datetime.now(UTC)
    await sdk.call(sender.send_messages, ServiceBusMessage("delayed"))
    assert datetime.now(UTC) - begin >= timedelta(milliseconds=500)
    sdk.endpoint.admin("POST", "/faults", {"kind": "drop-after-send", "queue": "plain"})
    with pytest.raises(ServiceBusError):
        await sdk.call(sender.send_messages, ServiceBusMessage("stored, not acknowledged"))
    got = await _take(sdk, receiver, 2)
    assert [str(one) for one in got] == ["delayed", "stored, not acknowledged"]


async def _take(sdk: Sdk, receiver: Any, count: int, *, complete: bool = True) -> list[Any]:  # noqa: ANN401 - sync or aio
    got: list[Any] = []
    while len(got) < count:
        found = await sdk.call(receiver.receive_messages, count - len(got))
        assert found, f"only {len(got)} of {count} messages came"
        got += found
        if complete:
            for one in found:
                await sdk.call(receiver.complete_message, one)
    return got


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value
