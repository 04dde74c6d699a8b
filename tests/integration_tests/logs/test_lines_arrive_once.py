"""Two instances on one disk are killed -9 while the blob endpoint is down a third of the time.

Each line that was flushed is in one blob and once in the index. A soak has the size of the claim.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from functions.logs.chunks import BlobPath, read_lines
from functions.logs.retention import LogRetention
from functions.logs.service import LogIndex
from shared.blob.sdk import open_client
from tests.integration_tests.local_host.parts import blob_connection, running_part
from tests.integration_tests.logs import writer
from tests.integration_tests.logs.outages import cut_way
from tests.integration_tests.logs.writer import CONTAINER, Orders, shipper
from tests.support.fakes import FakeAuthenticator, FakeClock, tenant_context
from tests.support.memory_cosmos import memory_cosmos
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from tests.integration_tests.logs.outages import CutWay

INSTANCES = 2
UP_SECONDS, DOWN_SECONDS = (4.0, 2.0) if SOAK else (0.8, 0.4)


@dataclass(frozen=True)
class Size:
    """How much is done."""

    lines: int
    kills: int
    seconds: float


SIZE = Size(200_000, 20, 60) if SOAK else Size(3_000, 4, 4)


class Instances:
    """Processes that are started and killed; forked from one that has imported what they need."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([writer.__name__])
        self._running: list[BaseProcess] = []
        self.started = 0

    def start(self) -> None:
        orders = Orders(
            self._orders.connection, self._orders.folder, self._orders.notes, self.started, self._orders.pause
        )
        process = self._context.Process(target=writer.run, args=(orders,), daemon=True)
        process.start()
        self._running.append(process)
        self.started += 1

    def kill_the_oldest(self) -> None:
        victim = self._running.pop(0)
        assert victim.is_alive(), "it ended by itself"
        victim.kill()
        victim.join()

    def kill_all(self) -> None:
        while self._running:
            self.kill_the_oldest()


def flushed(notes: Path) -> list[int]:
    """Return the numbers of the lines that instances know to be flushed; a last one may be cut."""
    texts = [path.read_bytes().rpartition(b"\n")[0] for path in notes.iterdir()]
    return [int(number) for text in texts for number in text.split()]


async def cut_now_and_then(way: CutWay) -> None:
    while True:
        await asyncio.sleep(UP_SECONDS)
        way.go_down()
        await asyncio.sleep(DOWN_SECONDS)
        way.come_up()


async def write_and_kill(instances: Instances, notes: Path) -> None:
    """Kill and replace one after the other until there are enough lines and kills."""
    for _ in range(INSTANCES):
        instances.start()
    for _ in range(SIZE.kills - INSTANCES):
        await asyncio.sleep(SIZE.seconds / SIZE.kills)
        await asyncio.to_thread(instances.kill_the_oldest)
        await asyncio.to_thread(instances.start)
    while len(await asyncio.to_thread(flushed, notes)) < SIZE.lines:  # noqa: ASYNC110  # others write
        await asyncio.sleep(0.2)
    await asyncio.to_thread(instances.kill_all)


@pytest.mark.timeout(900)
@sized(60)
async def test_each_flushed_line_is_in_one_blob_and_once_in_the_index(tmp_path: Path) -> None:
    folder, notes = tmp_path / "logs", tmp_path / "notes"
    notes.mkdir()
    with running_part("azurite", tmp_path / "azurite") as port:
        async with (
            open_client(blob_connection(port), None, None) as client,
            cut_way(port) as (way, cut_port),
        ):
            container = client.get_container_client(CONTAINER)
            await container.create_container()
            pause = 50 * INSTANCES * SIZE.seconds / SIZE.lines
            instances = Instances(Orders(blob_connection(cut_port), folder, notes, 0, pause))
            cutting = asyncio.create_task(cut_now_and_then(way))
            began = time.monotonic()
            try:
                await write_and_kill(instances, notes)
            finally:
                await asyncio.to_thread(instances.kill_all)
                cutting.cancel()
            left = len(list(folder.iterdir()))
            async with shipper(client, folder) as last:
                await last.scan()
                await last.drain(60)
            blobs = {blob.name: b"" async for blob in container.list_blobs()}
            for name in blobs:
                blobs[name] = await (await container.download_blob(name)).readall()
    numbers, torn = count(blobs)
    written = flushed(notes)
    _report(
        f"{len(written)} lines flushed, {len(blobs)} chunks, {instances.started} instances killed, "
        f"{way.cuts} cuts of open connections, {left} files left at the end, {time.monotonic() - began:.0f} s"
    )

    assert sorted(path.name for path in folder.iterdir()) == []
    assert [number for number in written if numbers[number] != 1] == []
    assert {number: times for number, times in numbers.items() if times > 1} == {}
    assert torn <= instances.started
    assert await index(blobs) == {
        owner: sum(
            len(list(read_lines(path, content))) for path, content in parsed(blobs) if path.owner == owner
        )
        for owner in ("acme", "globex")
    }


def _report(figures: str) -> None:
    print(f"\n{figures}")  # noqa: T201  # a soak prints its sums


def parsed(blobs: dict[str, bytes]) -> list[tuple[BlobPath, bytes]]:
    return [(BlobPath.parse(name), content) for name, content in blobs.items()]


def count(blobs: dict[str, bytes]) -> tuple[Counter[int], int]:
    """Count each number in all chunks, and what is no line; each is in the chunk of its tenant."""
    numbers: Counter[int] = Counter()
    torn = 0
    for path, content in parsed(blobs):
        for text in read_lines(path, content):
            try:
                line: dict[str, Any] = json.loads(text)
            except ValueError:
                torn += 1
                continue
            if line["logger"] != "writer":
                continue
            assert path.owner == (line["tenant_id"] or "_platform")
            numbers[line["extra"]["number"]] += 1
    return numbers, torn


async def index(blobs: dict[str, bytes]) -> dict[str, int]:
    """Index every blob, twice as events may come; return the lines by tenant."""
    clock, known = FakeClock(), FakeAuthenticator()
    for tenant in ("acme", "globex"):
        known.add(tenant, tenant_context(tenant))
    async with memory_cosmos(clock) as cosmos:
        indexed = LogIndex(known, cosmos.container("log_index"), LogRetention({"free": 7}, 7), clock)
        for _ in range(2):
            for name, content in blobs.items():
                await indexed.add(f"{CONTAINER}/{name}", content)
        days = {(path.owner, path.day.isoformat()) for path, _ in parsed(blobs)}
        proxy = cosmos.client.get_database_client("tenantry").get_container_client("log_index")
        found: Counter[str] = Counter()
        for owner, day in sorted(days):
            query = proxy.query_items("SELECT c.lines FROM c", partition_key=[owner, day])
            found[owner] += sum([item["lines"] async for item in query])
    return {owner: found[owner] for owner in ("acme", "globex")}
