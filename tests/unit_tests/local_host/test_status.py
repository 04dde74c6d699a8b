"""The state of all instances together, and the depths of queues."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from local.host.bindings import Queue, ServiceBusTrigger, Subscription, TimerTrigger
from local.host.depths import BrokerAddress, QueueReport, read_queues
from local.host.executor import Tally
from local.host.instances import Board, keep_publishing
from local.host.settings import Settings
from local.host.status import HostState, HostStatus
from tests.unit_tests.local_host.fakes import FakeClock, a_function, settle

if TYPE_CHECKING:
    from pathlib import Path

CLOCK = a_function(TimerTrigger("t", "0 * * * * *"), name="clock")
EMULATOR = "Endpoint=sb://localhost:{};SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"


def status_of(board: Board, tally: Tally) -> HostStatus:
    async def no_queues() -> QueueReport:
        return QueueReport()

    state = HostState("app", "http://localhost:1", "api", [CLOCK], {"clock": tally}, list)
    return HostStatus(state, board, no_queues)


def a_failed_call(at: str, message: str) -> dict[str, Any]:
    return {
        "invocations": 4,
        "failures": 1,
        "running": 1,
        "milliseconds": 90.0,
        "lastEnded": at,
        "recentFailures": [{"at": at, "message": message}],
    }


async def test_one_instance_answers_for_all_that_live(tmp_path: Path) -> None:
    other = {
        "instanceId": str(os.getppid()),
        "processUptime": 5,
        "functions": {"clock": a_failed_call("2026-02-01T00:00:00+00:00", "later")},
    }
    (tmp_path / f"{os.getppid()}.json").write_text(str(other).replace("'", '"'))
    (tmp_path / "999999999.json").write_text("{}")
    mine = Tally(2, 1, 0, 10.0, datetime(2026, 1, 31, tzinfo=UTC))
    mine.recent_failures.append((datetime(2026, 1, 31, tzinfo=UTC), "earlier"))

    read = await status_of(Board(tmp_path), mine).read()

    (clock,) = read["functions"]
    assert (clock["invocations"], clock["failures"], clock["running"]) == (6, 2, 1)
    assert clock["averageMilliseconds"] == 20.0
    assert clock["lastEnded"] == "2026-02-01T00:00:00+00:00"
    assert [failure["message"] for failure in clock["recentFailures"]] == ["earlier", "later"]
    assert {instance["instanceId"] for instance in read["instances"]} == {str(os.getpid()), str(os.getppid())}
    assert not (tmp_path / "999999999.json").exists()


def test_a_report_that_nobody_renews_is_a_dead_instances(tmp_path: Path) -> None:
    path = tmp_path / f"{os.getppid()}.json"
    path.write_text("{}")
    written = path.stat().st_mtime

    assert Board(tmp_path, lambda: written + 9).others() == [{}]
    assert Board(tmp_path, lambda: written + 11).others() == []


async def test_an_instance_reports_each_second_and_leaves_at_the_end(tmp_path: Path) -> None:
    clock, stopped = FakeClock(), asyncio.Event()
    reports: list[int] = []

    def report() -> dict[str, Any]:
        reports.append(len(reports))
        return {"number": len(reports)}

    publishing = asyncio.create_task(keep_publishing(Board(tmp_path), report, stopped, clock))
    for _ in range(3):
        await settle()
        await clock.advance(1.0)
    stopped.set()
    await publishing

    assert len(reports) >= 3
    assert Board(tmp_path).others() == []
    assert not any(os.scandir(tmp_path))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (EMULATOR.format(5672), BrokerAddress("localhost", 5672)),
        ("Endpoint=sb://localhost;UseDevelopmentEmulator=true;", BrokerAddress("localhost", 5672)),
        ("Endpoint=sb://ours.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k", None),
        (None, None),
    ],
)
def test_only_a_broker_on_this_machine_is_asked(text: str | None, address: BrokerAddress | None) -> None:
    assert BrokerAddress.of(text) == address


async def test_depths_are_told_by_function_as_far_as_they_are_known() -> None:
    asked: list[BrokerAddress] = []

    async def ask(address: BrokerAddress) -> dict[str, dict[str, int]]:
        asked.append(address)
        return {"orders": {"active": 2, "dead_lettered": 1}}

    functions = [
        CLOCK,
        a_function(ServiceBusTrigger("m", Queue("Orders"), "BUS"), name="takes"),
        a_function(ServiceBusTrigger("m", Queue("orders/$DeadLetterQueue"), "BUS"), name="buries"),
        a_function(ServiceBusTrigger("m", Queue("others"), "BUS"), name="unknown"),
        a_function(ServiceBusTrigger("m", Queue("other/$DeadLetterQueue"), "BUS"), name="unknown too"),
        a_function(ServiceBusTrigger("m", Subscription("t", "s"), "BUS"), name="subscribes"),
        a_function(ServiceBusTrigger("m", Queue("orders"), "NOWHERE"), name="misconfigured"),
    ]
    report = await read_queues(functions, Settings({"BUS": EMULATOR.format(1)}), ask)

    assert report.by_function == {
        "takes": {"active": 2, "dead_lettered": 1},
        "buries": {"active": 1, "dead_lettered": 0},
    }
    assert asked == [BrokerAddress("localhost", 1)]
    assert report.by_name == {"orders": {"active": 2, "dead_lettered": 1}}


async def test_a_broker_out_of_reach_tells_nothing() -> None:
    takes = a_function(ServiceBusTrigger("m", Queue("orders"), "BUS"), name="takes")

    assert await read_queues([takes], Settings({"BUS": EMULATOR.format(1)})) == QueueReport()


async def test_a_queue_that_no_function_listens_to_is_among_the_hosts_queues(tmp_path: Path) -> None:
    async def queues() -> QueueReport:
        return QueueReport(by_name={"reasoner-out": {"active": 3}, "a": {"active": 0}})

    state = HostState("app", "http://localhost:1", "api", [], {}, list)
    read = await HostStatus(state, Board(tmp_path), queues).read()

    assert read["queues"] == [{"name": "a", "active": 0}, {"name": "reasoner-out", "active": 3}]
