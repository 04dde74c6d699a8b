"""Kill -9 in the middle of sends: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from typing import TYPE_CHECKING

from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import ServiceBusError

from tests.integration_tests.local_servicebus.endpoint import Endpoint, running
from tests.support.plain_http import NO_TLS
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

pytestmark = sized(120)
ROUNDS, SENDS = (20, 1000) if SOAK else (2, 100)
BATCH = 5


async def test_each_acknowledged_send_survives_kill_9_and_no_batch_is_there_by_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acknowledged: set[str] = set()
    attempted: set[str] = set()
    for round_number in range(ROUNDS):
        with running(tmp_path) as endpoint:
            attempts, done = await _send_until_killed(endpoint, round_number)
        attempted |= attempts
        acknowledged |= done
    with running(tmp_path) as endpoint:
        stored = await _drain(endpoint)
    assert len(acknowledged) >= ROUNDS * SENDS // 4, "the kill came too early to prove anything"
    assert len(stored) == len(set(stored)), "a message is there twice"
    assert acknowledged <= set(stored), "an acknowledged message is lost"
    assert set(stored) <= attempted
    for name in stored:
        if name.startswith("batch"):
            group = name.rpartition("-")[0]
            assert {f"{group}-{index}" for index in range(BATCH)} <= set(stored), f"half of {group} is there"
    if SOAK:
        with capsys.disabled():
            sys.stdout.write(
                f"\nkill -9: {ROUNDS} rounds, {len(acknowledged)} acknowledged and all there, "
                f"{len(stored) - len(acknowledged)} more that were on their way\n"
            )


async def _send_until_killed(endpoint: Endpoint, round_number: int) -> tuple[set[str], set[str]]:
    """Send, and kill the endpoint in the middle; give what was tried and what was acknowledged."""
    attempted: set[str] = set()
    acknowledged: set[str] = set()
    kill_at = SENDS // 2 + round_number % 7

    async def send(sender: ServiceBusSender, names: list[str]) -> None:
        attempted.update(names)
        messages = [ServiceBusMessage(name) for name in names]
        await sender.send_messages(messages if len(messages) > 1 else messages[0])
        acknowledged.update(names)
        if len(acknowledged) >= kill_at and endpoint.process.poll() is None:
            endpoint.process.kill()

    async def send_all(client: ServiceBusClient, lane: int) -> None:
        try:
            async with client.get_queue_sender("plain") as sender:
                for number in range(SENDS):
                    name = f"{round_number}-{lane}-{number}"
                    await send(sender, [name])
                    await send(sender, [f"batch-{name}-{index}" for index in range(BATCH)])
        except ServiceBusError:
            return

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the SDK leaves sockets open whose peer died
        clients = [
            ServiceBusClient.from_connection_string(
                endpoint.connection_string(), retry_total=0, ssl_context=NO_TLS
            )
            for _ in "ab"
        ]
        await asyncio.gather(*(send_all(client, lane) for lane, client in enumerate(clients)))
        await asyncio.gather(*(client.close() for client in clients))
        gc.collect()
    assert endpoint.process.wait(timeout=10) == -9
    return attempted, acknowledged


async def _drain(endpoint: Endpoint) -> list[str]:
    stored: list[str] = []
    async with (
        ServiceBusClient.from_connection_string(endpoint.connection_string(), ssl_context=NO_TLS) as client,
        client.get_queue_receiver(
            "plain",
            receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE,
            prefetch_count=500,
            max_wait_time=5,
        ) as receiver,
    ):
        while endpoint.depth("plain")["active"] or not stored:
            stored += [str(message) for message in await receiver.receive_messages(500, max_wait_time=1)]
        while more := await receiver.receive_messages(500, max_wait_time=1):
            stored += [str(message) for message in more]
    return stored
