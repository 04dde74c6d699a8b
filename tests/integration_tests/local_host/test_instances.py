"""Several instances behind one port: what a kill -9 of one of them costs, and what it does not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from tests.integration_tests.local_host.parts import servicebus_connection
from tests.integration_tests.local_host.running import APPS, wait_for
from tests.integration_tests.platform import running_platform
from tests.support.plain_http import NO_TLS, plain_http
from tests.support.soak import SOAK

if TYPE_CHECKING:
    from collections.abc import Iterator


SECONDS, EVERY = (60.0, 2.0) if SOAK else (4.5, 1.5)
_INSTANCES = 3
_CLIENTS = 12
_MESSAGES_PER_SECOND = 10
_CONFIG = Path(__file__).with_name("scaled_config.json")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and what became of it, on this process's clock."""

    name: str
    began: float
    ended: float
    failure: str | None


@dataclass(slots=True)
class Life:
    """The platform, the app's record, and what was done to it."""

    url: str
    broker: int
    supervisor: int
    record: Path
    asked: list[Asked] = field(default_factory=list)
    kills: dict[int, float] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def notes(self, fact: str) -> list[dict[str, Any]]:
        """Give the lines that the app left about something."""
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line for line in lines if fact in line]

    def instances(self) -> list[int]:
        """Give the processes of the host's instances."""
        children = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children").read_text().split()
        return [
            pid for pid in map(int, children) if b"local.host" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    record = tmp_path / "record"
    record.touch()
    flags = [
        *("--only", "host,servicebus", "--instances", str(_INSTANCES)),
        *("--app-root", str(APPS / "scaled"), "--servicebus-config", str(_CONFIG)),
    ]
    with running_platform(tmp_path / "data", *flags, settings={"RECORD": str(record)}) as platform:
        broker = int(platform.addresses["servicebus"].rpartition(":")[2])
        yield Life(platform.addresses["app"], broker, platform.process.pid, record)


async def ask(life: Life, name: str, work: str = "work") -> Asked:
    """Ask on a connection of its own: what fails then is this request, not a connection that was kept."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", life.port)
            head = f"GET /api/{work}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            answer = await reader.read()
            writer.close()
        failure = None if answer.startswith(b"HTTP/1.1 200 ") else f"answer {answer[:40]!r}"
    except (OSError, TimeoutError) as error:
        failure = type(error).__name__
    return Asked(name, began, time.monotonic(), failure)


async def keep_asking(life: Life, client: int, stopped: asyncio.Event) -> None:
    number = 0
    while not stopped.is_set():
        number += 1
        life.asked.append(await ask(life, f"{client}-{number}"))


async def keep_sending(life: Life, stopped: asyncio.Event) -> None:
    async with (
        ServiceBusClient.from_connection_string(
            servicebus_connection(life.broker), ssl_context=NO_TLS
        ) as client,
        client.get_queue_sender("work") as sender,
    ):
        while not stopped.is_set():
            message_id = f"m{len(life.sent)}"
            await sender.send_messages(ServiceBusMessage("x", message_id=message_id))
            life.sent.append(message_id)
            await asyncio.sleep(1 / _MESSAGES_PER_SECOND)


async def keep_killing(life: Life, seconds: float, every: float) -> None:
    """Kill one after the other, of those that have answered: one that starts serves nobody yet."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(every)
        alive = set(life.instances())
        serving = [note["pid"] for note in life.notes("request") if note["pid"] in alive - life.kills.keys()]
        if serving:
            os.kill(serving[-1], signal.SIGKILL)
            life.kills[serving[-1]] = time.monotonic()


async def settled(life: Life, seconds: float = 60) -> set[str]:
    """Wait until every message is done, and give those that are not."""
    until = time.monotonic() + seconds
    while True:
        missing = set(life.sent) - {note["message"] for note in life.notes("message")}
        if not missing or time.monotonic() > until:
            return missing
        await asyncio.sleep(0.2)


async def survive(life: Life, seconds: float, every: float) -> None:
    """Kill instances under load for some time, and check and print what that cost."""
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for client in range(_CLIENTS):
            group.create_task(keep_asking(life, client, stopped))
        group.create_task(keep_sending(life, stopped))
        await keep_killing(life, seconds, every)
        stopped.set()
    missing = await settled(life)

    failed = [asked for asked in life.asked if asked.failure is not None]
    done_by = {note["request"]: note["pid"] for note in life.notes("request")}
    elsewhere = [asked for asked in failed if done_by.get(asked.name, -1) not in {-1, *life.kills}]
    unexplained = [
        asked
        for asked in failed
        if not any(asked.began - 0.1 <= killed <= asked.ended + 0.1 for killed in life.kills.values())
    ]
    refused = [asked for asked in failed if asked.failure == "ConnectionRefusedError"]
    again = [note for note in life.notes("message") if note["deliveries"] > 1]
    ticks = {(note["tick"], note["pid"]) for note in life.notes("tick")}
    slowest = max(asked.ended - asked.began for asked in life.asked if asked.failure is None)
    print(  # noqa: T201 - the sums of a soak
        f"{len(life.kills)} kills in {seconds:.0f} s, {len(life.asked)} requests, {len(failed)} failed in "
        f"flight on what was killed ({len(refused)} refused), slowest of the others {slowest:.1f} s; "
        f"{len(life.sent)} messages, {len(again)} redelivered, {len(missing)} lost; {len(ticks)} ticks"
    )
    assert life.kills
    assert (refused, elsewhere, unexplained) == ([], [], [])
    assert len(failed) <= _CLIENTS * len(life.kills)
    assert not missing
    # Timers run on one instance: no second has the ticks of two.
    assert len({tick for tick, _ in ticks}) == len(ticks)


def test_each_instance_answers_for_all_of_them(life: Life) -> None:
    def status() -> dict[str, Any]:
        answer: dict[str, Any] = plain_http.get(f"{life.url}/admin/host/status").json()
        return answer

    for number in range(20):
        plain_http.get(f"{life.url}/api/work/{number}")

    def all_counted() -> bool:
        (work,) = [function for function in status()["functions"] if function["name"] == "work"]
        return bool(work["invocations"] == 20)

    wait_for(all_counted)
    instances = sorted(life.instances())
    wait_for(lambda: [int(one["instanceId"]) for one in status()["instances"]] == instances)


async def test_a_stop_of_the_platform_lets_every_request_in_flight_finish(life: Life) -> None:
    asking = [asyncio.create_task(ask(life, f"slow-{number}", "slow")) for number in range(6)]
    while len(life.notes("request")) < len(asking):  # noqa: ASYNC110 - another process writes the file
        await asyncio.sleep(0.02)
    os.kill(life.supervisor, signal.SIGTERM)

    assert [asked.failure for asked in await asyncio.gather(*asking)] == [None] * len(asking)


@pytest.mark.soak
async def test_a_kill_costs_what_was_in_flight_on_the_instance_and_no_message(life: Life) -> None:
    await survive(life, SECONDS, EVERY)
