"""Each option of `extensions.serviceBus`, and what a time limit and a stop do to messages."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue

from tests.integration_tests.local_host.parts import running_part, servicebus_connection
from tests.integration_tests.local_host.running import running_host, wait_for
from tests.integration_tests.local_host.test_servicebus import CONFIG, Bus
from tests.support.plain_http import NO_TLS, plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_OPTION = "AzureFunctionsJobHost__extensions__serviceBus__"
_OTHERS = ("ticks", "yearly", "stubborn", "patient", "takes_blob", "takes_batch", "answers")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker, as a connection string."""
    folder = tmp_path_factory.mktemp("broker")
    with running_part("servicebus", folder, "--config", str(CONFIG)) as port:
        yield servicebus_connection(port)


@contextmanager
def listening(
    broker: str, folder: Path, queue: str, disabled: str = "takes_session", **options: str
) -> Iterator[Bus]:
    """A host that takes one queue's messages with these options."""
    record = folder / "record"
    record.touch()
    settings = {
        "RECORD": str(record),
        "TICK": "0 0 0 1 1 *",
        "PLAIN_QUEUE": queue,
        "SERVICEBUS": broker,
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        **{f"AzureWebJobs.{name}.Disabled": "true" for name in (*_OTHERS, disabled)},
        **{
            name if name.startswith("Azure") else f"{_OPTION}{name}": value for name, value in options.items()
        },
    }
    with (
        ServiceBusClient.from_connection_string(broker, ssl_context=NO_TLS) as client,
        running_host("triggers", folder / "host", settings=settings) as host,
    ):
        yield Bus(host, client, record)


def dead_letters(bus: Bus, queue: str) -> list[str]:
    with bus.client.get_queue_receiver(
        queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER, max_wait_time=1
    ) as receiver:
        return [str(message) for message in receiver.peek_messages(max_message_count=10)]


def most_at_once(record: Path) -> int:
    """Read from the order of the record how many calls ran at the same time."""
    running = most = 0
    for line in record.read_text().splitlines():
        facts: dict[str, Any] = json.loads(line)
        running += -1 if "slept" in facts else 1
        most = max(most, running)
    return most


def test_no_more_calls_run_than_max_concurrent_calls(broker: str, tmp_path: Path) -> None:
    with listening(broker, tmp_path, "bounded", maxConcurrentCalls="2") as bus:
        bus.send("bounded", *(ServiceBusMessage("sleep 0.3") for _ in range(6)))
        wait_for(lambda: len(bus.lines("takes_message", slept="sleep 0.3")) == 6)
    assert most_at_once(tmp_path / "record") == 2


@pytest.mark.parametrize("prefetch", ["0", "5"])
def test_messages_are_fetched_ahead_as_prefetch_count_says(
    broker: str, tmp_path: Path, prefetch: str
) -> None:
    queue = f"prefetched{prefetch}"
    with listening(broker, tmp_path, queue, maxConcurrentCalls="1", prefetchCount=prefetch) as bus:
        bus.send(queue, *(ServiceBusMessage("sleep 0.4") for _ in range(6)))
        locked: list[int] = []

        def done() -> bool:
            functions = plain_http.get(f"{bus.host.url}/admin/host/status").json()["functions"]
            locked.append(next(one["queue"]["locked"] for one in functions if one["name"] == "takes_message"))
            return len(bus.lines("takes_message", slept="sleep 0.4")) == 6

        wait_for(done)
    assert (max(locked) > 1) is (prefetch == "5")


def test_no_more_sessions_are_open_than_max_concurrent_sessions(broker: str, tmp_path: Path) -> None:
    options = {"maxConcurrentSessions": "1", "sessionIdleTimeout": "00:00:01"}
    with listening(broker, tmp_path, "sessions", disabled="takes_message", **options) as bus:
        for session in ("a", "b"):
            bus.send("sessions", *(ServiceBusMessage("sleep 0.1", session_id=session) for _ in range(3)))
        wait_for(lambda: len(bus.lines("takes_session", slept="sleep 0.1")) == 6)
    order = [line["session"] for line in bus.lines("takes_session") if "session" in line]
    assert order in (list("aaabbb"), list("bbbaaa"))
    assert most_at_once(tmp_path / "record") == 1


def test_as_many_calls_run_for_a_session_as_max_concurrent_calls_per_session(
    broker: str, tmp_path: Path
) -> None:
    options = {"maxConcurrentCallsPerSession": "2"}
    with listening(broker, tmp_path, "sessions", disabled="takes_message", **options) as bus:
        bus.send("sessions", *(ServiceBusMessage("sleep 0.3", session_id="c") for _ in range(6)))
        wait_for(lambda: len(bus.lines("takes_session", slept="sleep 0.3")) == 6)
    assert most_at_once(tmp_path / "record") == 2


def test_without_auto_complete_a_message_comes_again_until_it_is_dead_lettered(
    broker: str, tmp_path: Path
) -> None:
    with listening(broker, tmp_path, "unsettled", autoCompleteMessages="false") as bus:
        bus.send("unsettled", ServiceBusMessage("kept"))
        wait_for(lambda: dead_letters(bus, "unsettled") == ["kept"])
    assert [line["deliveries"] for line in bus.lines("takes_message")] == [1, 2, 3]
    assert "Failed" not in "".join(bus.host.stderr)


def test_a_lock_is_not_renewed_for_longer_than_max_auto_lock_renewal_duration(
    broker: str, tmp_path: Path
) -> None:
    with listening(broker, tmp_path, "expiring", maxAutoLockRenewalDuration="00:00:03") as bus:
        bus.send("expiring", ServiceBusMessage("sleep 7"))
        # It comes again while the first call still works on it.
        wait_for(lambda: len(bus.lines("takes_message", body="sleep 7")) == 2)
        assert not bus.lines("takes_message", slept="sleep 7")
        wait_for(lambda: bus.lines("takes_message", slept="sleep 7"))
        bus.host.wait_for_line(
            "Message processing error for function 'Functions.takes_message' (Action=complete"
        )


def test_a_call_over_function_timeout_fails_and_its_message_comes_again(broker: str, tmp_path: Path) -> None:
    timeout = {"AzureFunctionsJobHost__functionTimeout": "00:00:01"}
    with listening(broker, tmp_path, "timed", **timeout) as bus:
        bus.send("timed", ServiceBusMessage("sleep 30"))
        wait_for(lambda: dead_letters(bus, "timed") == ["sleep 30"])
        bus.host.wait_for_line("Timeout value of 0:00:01 exceeded by function 'Functions.takes_message'")
    assert [line["deliveries"] for line in bus.lines("takes_message")] == [1, 2, 3]


def test_a_stop_lets_the_message_that_was_begun_finish_and_takes_no_other(
    broker: str, tmp_path: Path
) -> None:
    with listening(broker, tmp_path, "drained", maxConcurrentCalls="1") as bus:
        bus.send("drained", ServiceBusMessage("sleep 1.5"), ServiceBusMessage("left"))
        wait_for(lambda: bus.lines("takes_message", body="sleep 1.5"))
        bus.host.process.terminate()
        assert bus.host.process.wait(30) == 0
        assert bus.lines("takes_message", slept="sleep 1.5")
        assert not bus.lines("takes_message", body="left")
    (tmp_path / "again").mkdir()
    with listening(broker, tmp_path / "again", "drained") as bus:
        wait_for(lambda: bus.lines("takes_message", body="left"))
    assert [line["body"] for line in bus.lines("takes_message")] == ["left"]
