"""Messages per second through the Service Bus endpoint, by the real SDK on the other core.

Run: `python -m tests.benchmarks.bench_local_servicebus_throughput`
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

QUEUE = "reasoner-out"
SENDS_GOAL, RECEIVES_GOAL = 5_000, 1_200
_BATCHED, _BATCH = 20_000, 500
_SINGLE = 2_000
_PREFETCH = 200


async def measure(port: int) -> list[tuple[str, float, int | None]]:
    """Give what was measured, in messages per second, with its goal."""
    connection = (
        f"Endpoint=sb://localhost:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
    )
    async with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE, prefetch_count=_PREFETCH, max_wait_time=5) as receiver,
    ):
        single = await send_singly(sender)
        batched = await send_batched(sender)
        received = await receive_and_complete(receiver)
    return [
        ("sends one by one", single, None),
        (f"sends in batches of {_BATCH}", batched, SENDS_GOAL),
        ("receive + complete", received, RECEIVES_GOAL),
    ]


async def send_singly(sender: ServiceBusSender) -> float:
    """Send one message after the other."""
    begin = time.perf_counter()
    for number in range(_SINGLE):
        await sender.send_messages(ServiceBusMessage(f"message {number}".ljust(200)))
    return _SINGLE / (time.perf_counter() - begin)


async def send_batched(sender: ServiceBusSender) -> float:
    """Send batches that are built beforehand: it is the endpoint that is measured, not the SDK's encoder."""
    batches = []
    for begin_number in range(0, _BATCHED, _BATCH):
        batch = await sender.create_message_batch()
        for number in range(begin_number, begin_number + _BATCH):
            batch.add_message(ServiceBusMessage(f"message {number}".ljust(200), message_id=str(number)))
        batches.append(batch)
    begin = time.perf_counter()
    for batch in batches:
        await sender.send_messages(batch)
    return _BATCHED / (time.perf_counter() - begin)


async def receive_and_complete(receiver: ServiceBusReceiver) -> float:
    """Receive and complete one after the other, each confirmed by the endpoint before the next.

    Completing several at once would measure the SDK: its tasks wait 0.2 s in each other's reads.
    """
    done = 0
    begin = time.perf_counter()
    while done < _BATCHED // 4:
        messages = await receiver.receive_messages(_PREFETCH)
        for message in messages:
            await receiver.complete_message(message)
        done += len(messages)
    return done / (time.perf_counter() - begin)


def main() -> int:
    """Start the endpoint on one core, measure from the other, print; 1 if a goal is missed."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "local.servicebus", "--port", "0", "--data-dir", str(Path(folder))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as endpoint:  # noqa: S603 - our own module
            os.sched_setaffinity(endpoint.pid, {cores[0]})
            os.sched_setaffinity(0, {cores[-1]})
            assert endpoint.stdin is not None
            assert endpoint.stdout is not None
            port = int(endpoint.stdout.readline().rpartition(":")[2].strip(" }\n"))
            try:
                results = asyncio.run(measure(port))
            finally:
                endpoint.stdin.close()  # which ends it
    missed = False
    for name, rate, goal in results:
        verdict = "" if goal is None else f"goal {goal:>6,}  {'reached' if rate >= goal else 'MISSED'}"
        missed = missed or (goal is not None and rate < goal)
        print(f"{name:<28}{rate:>10,.0f} /s  {verdict}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
