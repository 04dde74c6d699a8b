"""The Service Bus trigger on links in memory, and messages as functions are given them."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus.amqp import AmqpMessageBodyType

from local.host.bindings import Queue, ServiceBusOutput, ServiceBusTrigger
from local.host.hostjson import ServiceBusOptions
from local.host.invocation import Json, Outcome
from local.host.listeners.listener import keep_listening
from local.host.listeners.servicebus import ServiceBusListener
from local.host.listeners.servicebus_messages import batch, body_of, by_hand, expression_data, single
from tests.unit_tests.local_host.fakes import (
    FAILED,
    START,
    FakeClock,
    FakeLink,
    FakeMessage,
    FakeRunner,
    a_function,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.host.bindings import Output
    from local.host.executor import Call


def _trigger(**options: Any) -> ServiceBusTrigger:  # noqa: ANN401 -- the trigger's own fields
    return ServiceBusTrigger("m", Queue("orders"), "", **options)


class _Bus:
    """A listener on one link."""

    def __init__(
        self,
        link: Callable[[FakeClock], FakeLink],
        runner: Callable[[FakeClock], FakeRunner] = lambda _: FakeRunner(),
        trigger: ServiceBusTrigger | None = None,
        outputs: tuple[Output, ...] = (),
        **options: Any,  # noqa: ANN401 -- host.json's
    ) -> None:
        self.clock = FakeClock()
        self.link = link(self.clock)
        self.runner = runner(self.clock)
        self.stopped = asyncio.Event()
        trigger = trigger or _trigger()
        self.listener = ServiceBusListener(
            a_function(trigger, outputs=outputs),
            trigger,
            ServiceBusOptions(**options),
            self.runner,
            self.clock,
            lambda: self.link,
        )
        self.task = asyncio.create_task(self.listener.listen(self.stopped))

    async def stop(self) -> None:
        self.stopped.set()
        await self.clock.advance(100)
        await self.task
        assert not self.link.is_open

    def bodies(self) -> list[object]:
        return [call.value for call in self.runner.calls]


def _failing_on(body: str) -> Callable[[FakeClock], FakeRunner]:
    async def run(call: Call) -> Outcome:
        return FAILED if call.value == body else Outcome()

    return lambda _: FakeRunner(run)


def _taking(seconds: float) -> Callable[[FakeClock], FakeRunner]:
    def make(clock: FakeClock) -> FakeRunner:
        async def run(_call: Call) -> Outcome:
            await clock.sleep(seconds)
            return Outcome()

        return FakeRunner(run)

    return make


async def test_success_completes_and_failure_abandons() -> None:
    bus = _Bus(lambda clock: FakeLink(clock, FakeMessage(b"good"), FakeMessage(b"bad")), _failing_on("bad"))
    await bus.clock.advance(3)
    assert sorted(bus.link.settled) == [("abandon", b"bad"), ("complete", b"good")]
    await bus.stop()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (AmqpMessageBodyType.VALUE, uuid.UUID(int=7)),
        (AmqpMessageBodyType.VALUE, b"bytes"),
        (AmqpMessageBodyType.VALUE, {"k": 1}),
        (AmqpMessageBodyType.VALUE, None),
        (AmqpMessageBodyType.SEQUENCE, [[1, None]]),
        (AmqpMessageBodyType.DATA, [b"a", None]),
    ],
)
async def test_a_message_that_cannot_be_handed_to_a_function_is_abandoned(
    kind: AmqpMessageBodyType, body: object
) -> None:
    bus = _Bus(lambda clock: FakeLink(clock, FakeMessage(body, kind=kind), FakeMessage(b"next")))
    await bus.clock.advance(3)
    assert sorted(bus.link.settled, key=str) == [("abandon", body), ("complete", b"next")]
    assert bus.bodies() == ["next"]
    await bus.stop()


@pytest.mark.parametrize(
    ("message_id", "told"),
    [(uuid.UUID(int=7), str(uuid.UUID(int=7))), (b"\x61\xff", "a\ufffd"), (7, Json("7"))],
)
def test_an_id_that_is_no_text_is_passed_on(message_id: Any, told: object) -> None:  # noqa: ANN401 -- AMQP's other ids
    assert single(FakeMessage(b"x", message_id=message_id), binary=False)[1]["MessageId"] == told


@pytest.mark.parametrize("own", [False, None])
async def test_without_auto_complete_success_settles_nothing_and_failure_still_abandons(
    own: bool | None,  # noqa: FBT001 -- a parameter of the test
) -> None:
    bus = _Bus(
        lambda clock: FakeLink(clock, FakeMessage(b"good"), FakeMessage(b"bad")),
        _failing_on("bad"),
        _trigger(auto_complete=own),
        auto_complete_messages=own is False,
    )
    await bus.clock.advance(3)
    assert bus.link.settled == [("abandon", b"bad")]
    await bus.stop()


async def test_calls_run_at_the_same_time_up_to_the_limit() -> None:
    bus = _Bus(
        lambda clock: FakeLink(clock, *(FakeMessage(str(number).encode()) for number in range(5))),
        _taking(10),
        max_concurrent_calls=2,
    )
    await bus.clock.advance(5)
    assert bus.bodies() == ["0", "1"]
    await bus.clock.advance(10)
    assert bus.bodies() == ["0", "1", "2", "3"]
    await bus.stop()
    assert len(bus.link.settled) == 4


async def test_a_lock_is_renewed_before_it_ends_while_the_function_runs() -> None:
    locked = FakeMessage(b"x", locked_until_utc=START + timedelta(seconds=30))
    bus = _Bus(lambda clock: FakeLink(clock, locked), _taking(65))
    await bus.clock.advance(19)
    assert bus.link.renewals == 0
    await bus.clock.advance(2)
    assert bus.link.renewals == 1
    await bus.clock.advance(60)
    assert bus.link.renewals == 3
    assert bus.link.settled == [("complete", b"x")]
    await bus.stop()


async def test_a_lock_is_not_renewed_for_longer_than_allowed() -> None:
    locked = FakeMessage(b"x", locked_until_utc=START + timedelta(seconds=30))
    bus = _Bus(
        lambda clock: FakeLink(clock, locked),
        _taking(200),
        max_auto_lock_renewal_duration=timedelta(seconds=50),
    )
    await bus.clock.advance(250)
    assert bus.link.renewals == 2
    await bus.stop()


async def test_a_lock_that_cannot_be_renewed_or_settled_ends_nothing() -> None:
    locked = FakeMessage(b"x", locked_until_utc=START + timedelta(seconds=30))
    bus = _Bus(lambda clock: FakeLink(clock, locked), _taking(40))
    bus.link.renewal_error = ConnectionError("lock lost")
    bus.link.settle_error = ConnectionError("lock lost")
    await bus.clock.advance(100)
    assert not bus.task.done()
    assert bus.link.settled == []
    await bus.stop()


async def test_a_batch_is_one_call_and_waits_for_its_least_size() -> None:
    messages = [FakeMessage(str(number).encode()) for number in range(3)]
    bus = _Bus(
        lambda clock: FakeLink(clock, *messages),
        trigger=_trigger(batch=True),
        min_message_batch_size=5,
        max_message_batch_size=10,
        max_batch_wait_time=timedelta(seconds=3),
    )
    await bus.clock.advance(20)
    assert bus.bodies() == [["0", "1", "2"]]
    assert len(bus.link.settled) == 3
    await bus.stop()


async def test_a_failed_batch_is_abandoned_whole() -> None:
    async def fail(_call: Call) -> Outcome:
        return FAILED

    bus = _Bus(
        lambda clock: FakeLink(clock, FakeMessage(b"1"), FakeMessage(b"2")),
        lambda _: FakeRunner(fail),
        _trigger(batch=True),
    )
    await bus.clock.advance(3)
    assert [how for how, _ in bus.link.settled] == ["abandon", "abandon"]
    await bus.stop()


async def test_a_session_is_left_when_it_has_been_idle_and_the_next_is_taken() -> None:
    bus = _Bus(
        lambda clock: FakeLink(clock, FakeMessage(b"1"), FakeMessage(b"2"), sessions=2),
        trigger=_trigger(sessions=True),
        max_concurrent_sessions=1,
        session_idle_timeout=timedelta(seconds=5),
    )
    await bus.clock.advance(4)
    assert bus.bodies() == ["1", "2"]
    assert bus.link.is_open
    await bus.clock.advance(30)
    assert (bus.link.sessions_left, bus.link.is_open) == (0, False)
    await bus.clock.advance(60)  # no session for as long as it waits for one: it waits again
    await bus.stop()


async def test_expressions_may_name_properties_of_a_json_body() -> None:
    bus = _Bus(
        lambda clock: FakeLink(
            clock, FakeMessage(b'{"id": 7}', application_properties={b"Diagnostic-Id": b"00-a-b-01"})
        ),
        outputs=(ServiceBusOutput("o", "out", ""),),
    )
    await bus.clock.advance(2)
    call = bus.runner.calls[0]
    assert call.data["id"] == 7
    assert call.data["MessageId"] == "m"
    assert call.trace_parent == "00-a-b-01"
    await bus.stop()


async def test_a_listener_that_breaks_is_tried_again() -> None:
    clock = FakeClock()
    stopped = asyncio.Event()

    class Breaks:
        name = "work"
        attempts = 0

        async def listen(self, stopped: asyncio.Event) -> None:
            self.attempts += 1
            if self.attempts == 3:
                await clock.sleep(40)
            if self.attempts < 5:
                raise ConnectionError("no broker")
            await stopped.wait()

    listener = Breaks()
    task = asyncio.create_task(keep_listening(listener, stopped, clock))
    await clock.advance(2)
    assert listener.attempts == 2
    await clock.advance(60)
    assert listener.attempts == 5
    stopped.set()
    await task


async def test_a_stop_ends_the_pause_of_a_broken_listener() -> None:
    stopped = asyncio.Event()

    class Breaks:
        name = "work"

        async def listen(self, stopped: asyncio.Event) -> None:  # noqa: ARG002 -- the protocol's
            raise ConnectionError("no broker")

    task = asyncio.create_task(keep_listening(Breaks(), stopped, FakeClock()))
    await settle()
    stopped.set()
    await settle()
    assert task.done()
    await task


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (AmqpMessageBodyType.DATA, None, b""),
        (AmqpMessageBodyType.DATA, b"x", b"x"),
        (AmqpMessageBodyType.DATA, [b"a", b"b"], b"ab"),
        (AmqpMessageBodyType.VALUE, "x", b"x"),
    ],
)
def test_a_body_is_bytes_if_it_is_data_or_a_text(
    kind: AmqpMessageBodyType, body: object, expected: bytes
) -> None:
    assert body_of(FakeMessage(body, kind=kind)) == expected


def test_a_message_as_a_function_for_one_is_given_it() -> None:
    properties: dict[str | bytes, object] = {
        b"bytes": b"x",
        "time": START,
        "span": timedelta(seconds=5),
        "list": [1, None, True],
        "id": uuid.UUID(int=0),
    }
    message = FakeMessage([b"\xff"], application_properties=properties, session_id="s", delivery_count=2)
    text, metadata = single(message, binary=False)
    assert text == "\ufffd"
    assert single(message, binary=True)[0] == b"\xff"
    assert metadata["SessionId"] == "s"
    assert metadata["DeliveryCount"] == Json("3")
    assert metadata["EnqueuedTimeUtc"] == "2026-01-31T10:30:00Z"
    assert metadata["ExpiresAtUtc"] == "9999-12-31T23:59:59.9999999Z"
    assert "ContentType" not in metadata
    user_properties = metadata["UserProperties"]
    assert isinstance(user_properties, Json)
    assert json.loads(user_properties.text) == {
        "bytes": "x",
        "time": "2026-01-31T10:30:00Z",
        "span": "0:00:05",
        "list": [1, None, True],
        "id": "00000000-0000-0000-0000-000000000000",
    }


def test_an_expiry_that_python_cannot_hold_is_the_end_of_time() -> None:
    class Endless(FakeMessage):
        @property
        def expires_at_utc(self) -> datetime:
            raise OverflowError

        @expires_at_utc.setter
        def expires_at_utc(self, value: object) -> None: ...

    assert single(Endless(), binary=False)[1]["ExpiresAtUtc"] == "9999-12-31T23:59:59.9999999Z"


def test_messages_as_a_function_for_many_is_given_them() -> None:
    messages = [FakeMessage([b"a"], message_id="1"), FakeMessage([b""], message_id=None)]
    values, metadata = batch(messages, binary=False)
    assert values == ["a", ""]
    assert batch(messages, binary=True)[0] == [b"a", b""]
    assert metadata["MessageIdArray"] == Json('["1", null]')
    assert metadata["UserPropertiesArray"] == Json("[{}, {}]")


def test_a_text_stands_for_a_message_by_hand() -> None:
    value, metadata = by_hand('{"a": 1}', many=False, now=START)
    assert value == '{"a": 1}'
    assert metadata["UserProperties"] == Json("{}")
    assert expression_data(value, metadata)["a"] == 1
    many, arrays = by_hand("{broken", many=True, now=START)
    assert many == ["{broken"]
    assert arrays["UserPropertiesArray"] == Json("[{}]")
    assert "broken" not in expression_data("{broken", {})
