"""The Service Bus trigger and output through the real runtime, the SDK and the local endpoint."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from tests.integration_tests.local_host.parts import running_part, servicebus_connection
from tests.integration_tests.local_host.running import running_host, wait_for
from tests.support.plain_http import NO_TLS, plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.servicebus import ServiceBusReceivedMessage

    from tests.integration_tests.local_host.running import RunningHost

CONFIG = Path(__file__).with_name("servicebus_config.json")
_DISABLED = ("ticks", "yearly", "stubborn", "patient", "takes_blob")


class Bus:
    """A host that listens, a client that sends, and the record that the functions keep."""

    def __init__(self, host: RunningHost, client: ServiceBusClient, record: Path) -> None:
        self.host = host
        self.client = client
        self._record = record

    def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        """Send messages."""
        with self.client.get_queue_sender(queue) as sender:
            sender.send_messages(list(messages))

    def lines(self, function: str, **facts: object) -> list[dict[str, Any]]:
        """Return what a function recorded."""
        lines = [json.loads(line) for line in self._record.read_text().splitlines()]
        return [line for line in lines if line["function"] == function and facts.items() <= line.items()]


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """A host on a broker of its own."""
    folder = tmp_path_factory.mktemp("bus")
    record = folder / "record"
    record.touch()
    with running_part("servicebus", folder / "broker", "--config", str(CONFIG)) as port:
        settings = {
            "RECORD": str(record),
            "TICK": "0 0 0 1 1 *",
            "PLAIN_QUEUE": "plain",
            "SERVICEBUS": servicebus_connection(port),
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            **{f"AzureWebJobs.{name}.Disabled": "true" for name in _DISABLED},
        }
        with (
            running_host("triggers", folder / "host", settings=settings) as host,
            ServiceBusClient.from_connection_string(settings["SERVICEBUS"], ssl_context=NO_TLS) as client,
        ):
            yield Bus(host, client, record)


def _is_empty(bus: Bus, queue: str, **options: Any) -> bool:  # noqa: ANN401 -- the SDK's options
    with bus.client.get_queue_receiver(queue, max_wait_time=1, **options) as receiver:
        return not receiver.peek_messages(max_message_count=10)


def test_a_message_arrives_with_its_properties_and_is_completed(bus: Bus) -> None:
    message = ServiceBusMessage(
        '{"a": 1}',
        message_id="m1",
        correlation_id="c1",
        content_type="application/json",
        application_properties={"text": "x", "number": 7},
    )
    bus.send("plain", message)
    line = wait_for(lambda: bus.lines("takes_message", id="m1"))[0]
    assert line["body"] == '{"a": 1}'
    assert line["deliveries"] == 1
    assert line["properties"] == {"text": "x", "number": 7}
    assert (line["content_type"], line["correlation_id"]) == ("application/json", "c1")
    assert line["enqueued"].endswith("+00:00")
    wait_for(lambda: _is_empty(bus, "plain"))


def test_a_failure_abandons_and_the_message_comes_again(bus: Bus) -> None:
    bus.send("plain", ServiceBusMessage("fail once", message_id="m2"))
    lines = wait_for(lambda: found if len(found := bus.lines("takes_message", id="m2")) == 2 else None)
    assert [line["deliveries"] for line in lines] == [1, 2]
    bus.host.wait_for_line("Exception: ValueError: once")


def test_a_lock_is_renewed_for_as_long_as_the_function_runs(bus: Bus) -> None:
    bus.send("plain", ServiceBusMessage("sleep 8", message_id="m3"))
    wait_for(lambda: bus.lines("takes_message", slept="sleep 8"))
    wait_for(lambda: _is_empty(bus, "plain"))
    assert len(bus.lines("takes_message", id="m3")) == 1


def test_messages_run_at_the_same_time_up_to_max_concurrent_calls(bus: Bus) -> None:
    bus.send("plain", *(ServiceBusMessage("sleep 2", message_id=f"p{number}") for number in range(8)))
    wait_for(lambda: len(bus.lines("takes_message", body="sleep 2")) == 8)
    assert len(bus.lines("takes_message", slept="sleep 2")) < 8
    wait_for(lambda: len(bus.lines("takes_message", slept="sleep 2")) == 8)


def test_a_sessions_messages_come_in_order_also_after_a_failure(bus: Bus) -> None:
    bodies = ["one", "fail once in a session", "three"]
    bus.send("sessions", *(ServiceBusMessage(body, session_id="a") for body in bodies))
    bus.send("sessions", ServiceBusMessage("other", session_id="b"))
    wait_for(lambda: bus.lines("takes_session", body="three") and bus.lines("takes_session", body="other"))
    order = [line["body"] for line in bus.lines("takes_session", session="a")]
    assert order == ["one", "fail once in a session", "fail once in a session", "three"]


def test_a_batch_function_gets_many_messages_at_once(bus: Bus) -> None:
    bus.send(
        "batches",
        *(ServiceBusMessage(f"b{number}", application_properties={"number": number}) for number in range(7)),
    )

    def bodies() -> list[str]:
        return [body for line in bus.lines("takes_batch") for body in line["bodies"]]

    wait_for(lambda: len(bodies()) == 7)
    assert sorted(bodies()) == [f"b{number}" for number in range(7)]
    assert len(bus.lines("takes_batch")) < 7
    assert bus.lines("takes_batch")[0]["properties"][0] == {"number": 0}
    wait_for(lambda: _is_empty(bus, "batches"))


def test_a_batch_that_fails_comes_again_as_a_whole(bus: Bus) -> None:
    bus.send("batches", *(ServiceBusMessage(body) for body in ("well", "fail", "fine", "good", "last")))

    def deliveries(number: int) -> list[str]:
        return sorted(
            body
            for line in bus.lines("takes_batch")
            for body, delivered in zip(line["bodies"], line["deliveries"], strict=True)
            if delivered == number
        )

    wait_for(lambda: len(deliveries(2)) == 5)
    assert set(deliveries(2)) <= set(deliveries(1))
    wait_for(lambda: _is_empty(bus, "batches"))


def _dead_letters(bus: Bus, queue: str) -> list[ServiceBusReceivedMessage]:
    with bus.client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        found = receiver.receive_messages(max_message_count=10, max_wait_time=1)
        for message in found:
            receiver.complete_message(message)
        return found


@pytest.mark.parametrize(
    "message",
    [
        ServiceBusMessage("exit"),
        AmqpAnnotatedMessage(value_body=uuid.UUID(int=7)),
        AmqpAnnotatedMessage(sequence_body=[[1, None]]),
    ],
    ids=["an exit", "a UUID", "a sequence with null"],
)
def test_a_message_is_abandoned_and_its_deliveries_counted_whatever_is_raised(
    bus: Bus, message: ServiceBusMessage | AmqpAnnotatedMessage
) -> None:
    with bus.client.get_queue_sender("plain") as sender:
        sender.send_messages(message)
    dead = wait_for(lambda: _dead_letters(bus, "plain"))
    assert [(one.dead_letter_reason, one.delivery_count) for one in dead] == [("MaxDeliveryCountExceeded", 3)]
    bus.send("plain", ServiceBusMessage("after it"))
    wait_for(lambda: bus.lines("takes_message", body="after it"))


@pytest.mark.parametrize("message_id", [uuid.UUID(int=7), b"\x07\xff"], ids=["a UUID", "bytes"])
def test_a_message_whose_id_is_no_text_is_handed_over(bus: Bus, message_id: uuid.UUID | bytes) -> None:
    body = f"id {message_id!r}"
    properties = AmqpMessageProperties(message_id=message_id)
    with bus.client.get_queue_sender("plain") as sender:
        sender.send_messages(AmqpAnnotatedMessage(data_body=body.encode(), properties=properties))
    assert len(wait_for(lambda: bus.lines("takes_message", body=body))) == 1
    wait_for(lambda: _is_empty(bus, "plain"))


def test_an_output_binding_sends(bus: Bus) -> None:
    assert plain_http.post(f"{bus.host.url}/api/send", content="from http").text == "OK"
    assert plain_http.post(f"{bus.host.url}/api/send-bytes", content=b"as bytes").text == "OK"
    line = wait_for(lambda: bus.lines("takes_message", body="from http"))[0]
    assert line["content_type"] == "text/plain"
    line = wait_for(lambda: bus.lines("takes_message", body="as bytes"))[0]
    assert line["content_type"] == "application/octet-stream"


def test_what_a_queue_function_returns_is_sent_to_another_queue(bus: Bus) -> None:
    bus.send("questions", ServiceBusMessage("why"))
    wait_for(lambda: bus.lines("takes_message", body="answer to why"))


def test_the_state_tells_how_many_messages_wait(bus: Bus) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    bus.send("batches", ServiceBusMessage("later", scheduled_enqueue_time_utc=later))

    def depths() -> dict[str, int]:
        functions = plain_http.get(f"{bus.host.url}/admin/host/status").json()["functions"]
        found: dict[str, int] = next(one["queue"] for one in functions if one["name"] == "takes_batch")
        return found

    wait_for(lambda: depths()["scheduled"] == 1)
    assert plain_http.get(f"{bus.host.url}/admin/host/view").status_code == 200


def test_a_queue_function_can_be_run_by_hand(bus: Bus) -> None:
    plain_http.post(f"{bus.host.url}/admin/functions/takes_message", json={"input": "by hand"})
    wait_for(lambda: bus.lines("takes_message", body="by hand"))
    plain_http.post(f"{bus.host.url}/admin/functions/takes_batch", json={"input": "batch by hand"})
    wait_for(lambda: [line for line in bus.lines("takes_batch") if line["bodies"] == ["batch by hand"]])
