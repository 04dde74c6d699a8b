"""The endpoint as a process: its contract with the supervisor, and what a kill leaves behind."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos.aio import CosmosClient

from local.cosmos.wire.authorization import EMULATOR_KEY
from tests.integration_tests.local_cosmos.endpoint import DEFINITION, Endpoint, running_endpoint
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from pathlib import Path

    from azure.cosmos.aio import ContainerProxy

pytestmark = sized(120)

KILLS = 20 if SOAK else 2
WRITES = 1_000 if SOAK else 200
WRITERS = 8
BATCH = 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running_endpoint(tmp_path) as endpoint:
        endpoint.process.send_signal(number)
        assert endpoint.process.wait(10) == 0


def test_the_end_of_stdin_stops_it_cleanly(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as endpoint:
        assert endpoint.process.stdin is not None
        endpoint.process.stdin.close()
        assert endpoint.process.wait(10) == 0


def start(*options: str) -> subprocess.CompletedProcess[str]:
    """Start an endpoint that is expected not to run."""
    command = [sys.executable, "-m", "local.cosmos", *options]
    return subprocess.run(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = start("--port", str(port), "--data-dir", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert str(port) in refused.stderr


def test_a_definition_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for definition in (broken, tmp_path / "absent.json"):
        refused = start("--port", "0", "--data-dir", str(tmp_path), "--definition", str(definition))
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.count("\n") == 1


def test_provisioned_throughput_is_enforced_if_asked_for(tmp_path: Path) -> None:
    with running_endpoint(tmp_path, "--enforce-throughput") as endpoint:
        with urllib.request.urlopen(f"{endpoint.address}/_local/throughput") as answer:  # noqa: S310 - our own http address
            limits = json.load(answer)["limits"]
        assert limits["tenantry/tenants"] == 400


def client_of(endpoint: Endpoint, retries: int = 3) -> CosmosClient:
    return CosmosClient(
        endpoint.address,
        EMULATOR_KEY,
        transport=AioHttpTransport(use_env_settings=False),
        retry_total=retries,
        retry_throttle_total=retries,
        connection_timeout=1,
        read_timeout=2,
    )


@dataclass
class Log:
    """What the endpoint acknowledged before it was killed."""

    single: dict[str, int] = field(default_factory=dict)
    batches: set[int] = field(default_factory=set)
    count: int = 0
    goal: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def acknowledged(self) -> None:
        """Count an answer."""
        self.count += 1
        if self.count >= self.goal:
            self.reached.set()


async def write_until_killed(container: ContainerProxy, log: Log, round_number: int, writer: int) -> None:
    """Write single items and batches; note each one after its answer."""
    for number in range(WRITES):
        try:
            if number % BATCH:
                item_id = f"{writer}-{number % 50}"
                stamp = round_number * WRITES + number
                await container.upsert_item({"id": item_id, "tenant_id": "single", "n": stamp})
                log.single[item_id] = stamp
            else:
                batch = (round_number * WRITERS + writer) * WRITES + number
                await container.execute_item_batch(
                    [
                        (
                            "create",
                            ({"id": f"{batch}-{part}", "tenant_id": f"batch{writer}", "batch": batch},),
                        )
                        for part in range(BATCH)
                    ],
                    partition_key=f"batch{writer}",
                )
                log.batches.add(batch)
        except AzureError:
            return
        log.acknowledged()


async def killed_round(data_dir: Path, log: Log, round_number: int, after: int) -> None:
    with running_endpoint(data_dir, definition=DEFINITION) as endpoint:
        async with client_of(endpoint, retries=0) as client:
            container = client.get_database_client("tenantry").get_container_client("tenants")
            await container.read()
            log.goal = log.count + after
            log.reached.clear()
            writers = [
                asyncio.ensure_future(write_until_killed(container, log, round_number, writer))
                for writer in range(WRITERS)
            ]
            await log.reached.wait()
            endpoint.kill()
            await asyncio.gather(*writers)


@pytest.mark.timeout(900)
async def test_a_kill_loses_no_acknowledged_write_and_leaves_no_half_batch(tmp_path: Path) -> None:
    log, chance = Log(), random.Random(7)  # noqa: S311 - a repeatable choice of moments
    for round_number in range(KILLS):
        await killed_round(tmp_path, log, round_number, chance.randrange(WRITES // 4, WRITES))
    with running_endpoint(tmp_path) as endpoint:
        async with client_of(endpoint) as client:
            container = client.get_database_client("tenantry").get_container_client("tenants")
            found = {
                item["id"]: item["n"]
                async for item in container.query_items("SELECT c.id, c.n FROM c", partition_key="single")
            }
            counts = {
                group["batch"]: group["n"]
                async for group in container.query_items(
                    "SELECT c.batch, COUNT(1) AS n FROM c WHERE IS_DEFINED(c.batch) GROUP BY c.batch"
                )
            }
    print(f"{KILLS} kills, {log.count} acknowledged writes, {len(counts)} batches found")  # noqa: T201 - the sum
    assert log.count > KILLS * WRITES // 4 - 1
    # A later write that was not acknowledged may have happened as well; an earlier value may not come back.
    assert all(found[item_id] >= stamp for item_id, stamp in log.single.items())
    assert set(counts.values()) <= {BATCH}
    assert log.batches <= set(counts)
