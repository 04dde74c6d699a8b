"""Shipping: every line to its tenant's chunk, a file removed only when all of it has arrived."""

from __future__ import annotations

import asyncio
import json
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from functions.logs.chunks import BlobPath, ChunkWriter, UnreadableChunkError, read_lines
from functions.logs.splitter import split_file
from functions.logs.tenant_chunks import TenantChunks
from shared.log_shipping.monitor import LogMonitorService, ScanReport
from shared.logging.files import FileLockedError, lock_alone
from shared.resilience.deadlines import remaining_seconds
from tests.support.fakes import EPOCH, StillClock, host_limit_seconds
from tests.unit_tests.log_shipping.fakes import until
from tests.unit_tests.logs.fakes import DAY, FakeBlobs, line, lines_of, rotated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


async def nobody_was_purged(_: str) -> bool:
    return False


class Shipper:
    """A worker's monitor over a folder that others may share, one scan at a time."""

    def __init__(
        self,
        folder: Path,
        blobs: FakeBlobs,
        is_purged: Callable[[str], Awaitable[bool]] = nobody_was_purged,
    ) -> None:
        self.clock = StillClock()
        delivery = TenantChunks(blobs, self.clock, is_purged)
        self.monitor = LogMonitorService(
            folder, app_name="tenantry", retention_days=0, delivery=delivery, clock=self.clock
        )

    async def ship(self) -> tuple[int, int]:
        """Return how many files were shipped, and how many not."""
        await self.monitor.scan()
        report = await self.monitor.drain(60)
        assert isinstance(report, ScanReport)
        return report.shipped, report.failed


@pytest.fixture
def blobs() -> FakeBlobs:
    return FakeBlobs()


@pytest.fixture
def shipper(tmp_path: Path, blobs: FakeBlobs) -> Shipper:
    return Shipper(tmp_path, blobs)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_lines_go_to_their_tenant_and_day(shipper: Shipper, blobs: FakeBlobs, tmp_path: Path) -> None:
    late = "2026-01-30T23:59:59.900000+00:00"
    content = [line("acme", late), line("acme"), line("globex"), line(None), line("acme", level="ERROR")]
    rotated(tmp_path, "".join(content))

    assert await shipper.ship() == (1, 0)
    assert lines_of(blobs.blobs) == {
        "acme/2026-01-30": content[0],
        f"acme/{DAY}": content[1] + content[4],
        f"globex/{DAY}": content[2],
        f"_platform/{DAY}": content[3],
    }
    assert names(tmp_path) == []


async def test_a_chunk_is_named_by_its_last_time_and_what_is_in_it(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    times = ("10:00:01", "10:00:03.25", "10:00:02")
    content = "".join(line("acme", f"{DAY}T{time}+00:00") for time in times)
    for instance, text in (("vm-1", content), ("vm-2", content), ("vm-3", content + line("acme"))):
        rotated(tmp_path, text, instance)
    await shipper.ship()

    assert len(blobs.blobs) == 3, "equal lines of two processes are two chunks"
    assert all(name.startswith(f"acme/{DAY}/100003250000-") for name in blobs.blobs)
    assert all(name.endswith(".jsonl.gz") for name in blobs.blobs)


async def test_shipping_a_file_again_makes_the_same_blobs(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    """As a process does that was killed between the last upload and the removal."""
    content = line("acme") + line("globex") + "noise\n"
    for _ in range(2):
        rotated(tmp_path, content)
        assert await shipper.ship() == (1, 0)

    assert len(blobs.uploads) == 6
    assert len(blobs.blobs) == 3


@pytest.mark.parametrize("tenant", ["../globex", "_platform", "a/b", "", 7, {"a": 1}])
async def test_a_line_that_names_no_proper_tenant_is_the_platforms(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path, tenant: object
) -> None:
    rotated(tmp_path, line("x-placeholder").replace('"x-placeholder"', json.dumps(tenant)))
    await shipper.ship()

    assert list(lines_of(blobs.blobs)) == [f"_platform/{DAY}"]


@pytest.mark.parametrize("level", [[], {"a": 1}, 7, "LOUD", None])
async def test_a_line_of_no_proper_level_is_the_platforms_and_keeps_no_other_waiting(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path, level: object
) -> None:
    strange = line("acme", level="x-placeholder").replace('"x-placeholder"', json.dumps(level))
    rotated(tmp_path, strange + line("acme"))

    assert await shipper.ship() == (1, 0)
    assert lines_of(blobs.blobs) == {f"_platform/{DAY}": strange, f"acme/{DAY}": line("acme")}


async def test_what_is_no_line_is_kept_for_the_platform_with_the_day_before_it(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    rotated(tmp_path, "noise\n" + line("acme", "2026-01-30T01:00:00Z") + '[1]\n{"timestamp": "2026-01-31T0')
    await shipper.ship()

    found = lines_of(blobs.blobs)
    assert found[f"_platform/{DAY}"] == "noise\n"
    assert found["_platform/2026-01-30"] == '[1]\n{"timestamp": "2026-01-31T0\n'
    assert any(name.startswith("_platform/2026-01-30/000000000000-") for name in blobs.blobs)


async def test_a_file_that_another_program_rotated_is_split_like_any(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    path = tmp_path / "other.log.2026-01-29"
    path.write_text("plain text\n" + line("acme"))
    os.utime(path, (EPOCH.timestamp() - 60,) * 2)

    assert await shipper.ship() == (1, 0)
    assert lines_of(blobs.blobs) == {f"_platform/{DAY}": "plain text\n", f"acme/{DAY}": line("acme")}


async def test_a_file_stays_until_all_of_its_blobs_have_arrived(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    path = rotated(tmp_path, line("acme") + line("globex"))
    blobs.failing = {"acme/"}

    assert await shipper.ship() == (0, 1)
    assert names(tmp_path) == [path.name]
    assert list(lines_of(blobs.blobs)) == [f"globex/{DAY}"]

    blobs.failing = set()
    await shipper.clock.move(60)
    assert await shipper.ship() == (1, 0)
    assert sorted(lines_of(blobs.blobs)) == [f"acme/{DAY}", f"globex/{DAY}"]
    assert names(tmp_path) == []


async def test_a_delivery_ends_before_the_host_ends_the_worker(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    rotated(tmp_path, line("acme"))
    left: list[float | None] = []

    async def look(_: str) -> None:
        left.append(remaining_seconds())

    blobs.before = look
    await shipper.ship()

    assert len(left) == 1
    assert left[0] is not None
    assert left[0] < host_limit_seconds()


async def test_files_that_fail_or_hang_delay_no_other_one(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    for number in range(10):
        rotated(tmp_path, line("bad"), f"vm-{number}")
    blobs.failing = {"bad/"}
    assert await shipper.ship() == (0, 10)

    async def hang(name: str) -> None:
        if "bad/" in name:
            await asyncio.Event().wait()

    blobs.before = hang
    await shipper.clock.move(60)
    rotated(tmp_path, line("good"), "vm-10")
    await shipper.monitor.scan()
    await until(lambda: lines_of(blobs.blobs) == {f"good/{DAY}": line("good")})


async def test_two_shippers_ship_a_file_once(shipper: Shipper, blobs: FakeBlobs, tmp_path: Path) -> None:
    for number in range(10):
        rotated(tmp_path, line("acme"), f"vm-{number}")
    other = Shipper(tmp_path, blobs)
    first, second = await asyncio.gather(shipper.ship(), other.ship())

    assert first[0] + second[0] == 10
    assert len(blobs.uploads) == len(set(blobs.uploads)) == 10
    assert names(tmp_path) == []


async def test_what_a_dead_shipper_left_is_replaced(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    path = rotated(tmp_path, line("acme"))
    left = tmp_path / f"{path.name}.chunks"
    left.mkdir()
    (left / "0.chunk").write_text("half")

    assert await shipper.ship() == (1, 0)
    assert lines_of(blobs.blobs) == {f"acme/{DAY}": line("acme")}
    assert names(tmp_path) == []


async def test_a_file_that_somebody_ships_is_left_until_that_one_ends_in_whatever_way(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    path = rotated(tmp_path, line("acme"))
    with lock_alone(path):
        assert await shipper.ship() == (0, 0)
        with pytest.raises(FileLockedError):
            lock_alone(path)
        assert blobs.uploads == []

    assert await shipper.ship() == (1, 0)
    with pytest.raises(FileNotFoundError):
        lock_alone(path)


async def test_a_cancelled_delivery_leaves_the_file_to_the_next_one(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    path = rotated(tmp_path, line("acme"))

    async def hang(_: str) -> None:
        await asyncio.Event().wait()

    blobs.before = hang
    await shipper.monitor.scan()
    await until(lambda: blobs.uploads)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert names(tmp_path) == [path.name]

    blobs.before = None
    assert await shipper.ship() == (1, 0)


async def test_a_dead_writers_file_is_shipped_and_strangers_files_are_left(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    (tmp_path / "tenantry-vm-7.log").write_text(line("acme"))
    for name in ("notes.txt", "data.jsonl"):
        (tmp_path / name).write_text(line("acme"))

    assert await shipper.ship() == (1, 0)
    assert lines_of(blobs.blobs) == {f"acme/{DAY}": line("acme")}
    assert names(tmp_path) == ["data.jsonl", "notes.txt"]


async def test_a_folder_that_is_not_there_yet_has_nothing_to_ship(blobs: FakeBlobs, tmp_path: Path) -> None:
    assert await Shipper(tmp_path / "none", blobs).ship() == (0, 0)


async def test_a_file_of_many_tenants_keeps_every_line(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    tenants = [f"tenant-{number}" for number in range(100)]
    rotated(tmp_path, "".join(line(tenant) for _ in range(3) for tenant in tenants))
    await shipper.ship()

    assert lines_of(blobs.blobs) == {f"{tenant}/{DAY}": line(tenant) * 3 for tenant in tenants}


@pytest.mark.slow
@pytest.mark.parametrize("tenants", [1, 500])
def test_memory_grows_neither_with_the_file_nor_with_its_tenants(tmp_path: Path, tenants: int) -> None:
    long = "x" * 1_000
    lines = (line(f"tenant-{number % tenants}").replace("Hello", long) for number in range(12_000))
    source = rotated(tmp_path, "".join(lines))
    tracemalloc.start()
    try:
        chunks = split_file(source, EPOCH.date(), tmp_path / "chunks")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(chunks) == tenants
    assert peak < source.stat().st_size / 2 < 8_000_000


async def test_lines_of_a_purged_tenant_are_not_brought_back(tmp_path: Path, blobs: FakeBlobs) -> None:
    asked: set[str] = set()

    async def acme_was_purged(owner: str) -> bool:
        asked.add(owner)
        return owner == "acme"

    rotated(tmp_path, line("acme") + line("globex") + line(None))

    assert await Shipper(tmp_path, blobs, acme_was_purged).ship() == (1, 0)
    assert {name.partition("/")[0] for name in blobs.blobs} == {"globex", "_platform"}
    assert (names(tmp_path), asked) == ([], {"acme", "globex"})


@pytest.mark.parametrize(
    ("length", "owners"), [(1024 * 1024, ["acme"]), (1024 * 1024 + 2, ["_platform", "_platform"])]
)
async def test_a_line_of_one_mebibyte_is_its_tenants_and_a_longer_one_is_cut(
    shipper: Shipper, blobs: FakeBlobs, tmp_path: Path, length: int, owners: list[str]
) -> None:
    short = line("acme")
    rotated(tmp_path, short.replace("Hello", "x" * (length - len(short) + len("Hello"))))
    await shipper.ship()

    found = lines_of(blobs.blobs).items()
    assert [name.partition("/")[0] for name, text in found for _ in text.splitlines()] == owners


def test_a_chunk_of_several_members_is_read_whole(tmp_path: Path) -> None:
    writer = ChunkWriter(tmp_path / "chunk", "acme", EPOCH.date(), "source")
    written = []
    for number in range(5):
        text = (f"{number}" * 50_000).encode() + b"\n"
        writer.append(text, None)
        written.append(text)
        writer.flush()
    path = writer.finish()

    assert list(read_lines(path, (tmp_path / "chunk").read_bytes())) == written


@pytest.mark.parametrize("content", [b"no gzip", b"\x1f\x8b\x08\x00", b""])
def test_a_blob_that_is_no_chunk_is_told(content: bytes) -> None:
    path = BlobPath("acme", EPOCH.date(), "x.jsonl.gz")
    if not content:
        assert list(read_lines(path, content)) == []
        return
    with pytest.raises(UnreadableChunkError):
        list(read_lines(path, content))


def test_what_unpacks_to_more_than_any_chunk_has_is_not_read_on(tmp_path: Path) -> None:
    writer = ChunkWriter(tmp_path / "chunk", "acme", EPOCH.date(), "source")
    for _ in range(18):
        writer.append(bytes(1024 * 1024 - 1) + b"\n", None)
    path = writer.finish()

    with pytest.raises(UnreadableChunkError, match="longer"):
        list(read_lines(path, (tmp_path / "chunk").read_bytes()))
