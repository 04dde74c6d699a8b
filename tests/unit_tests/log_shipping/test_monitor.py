"""`LogMonitorService`: what is complete is shipped until it has arrived, each file by itself."""

from __future__ import annotations

import asyncio
import inspect
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from compat.log_monitor import LogMonitorService
from shared.blob.uploader import AsyncBlobStorageUploader
from shared.errors import ValidationError
from shared.log_shipping.delivery import WholeFiles
from shared.log_shipping.monitor import ScanReport
from tests.support.fakes import EPOCH, StillClock
from tests.unit_tests.log_shipping.fakes import MemoryContainer, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 86_400


@pytest.fixture
def container() -> MemoryContainer:
    return MemoryContainer()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def monitor(
    tmp_path: Path, container: MemoryContainer, clock: StillClock
) -> Callable[..., LogMonitorService]:
    def make(max_retries: int = 0, **options: Any) -> LogMonitorService:  # noqa: ANN401  # any options
        uploader = AsyncBlobStorageUploader(attempts=container, clock=clock, max_retries=max_retries)
        return LogMonitorService(
            tmp_path, app_name="app", delivery=WholeFiles(uploader, "app"), clock=clock, **options
        )

    return make


def rotate(folder: Path, day: int, content: str = "line\n", age: float = 60) -> Path:
    path = folder / f"app.log.2026-01-{day:02}"
    path.write_text(content)
    at = EPOCH.timestamp() - age
    os.utime(path, (at, at))
    return path


async def scan(monitor: LogMonitorService) -> ScanReport:
    await monitor.scan()
    return await monitor.drain(60)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


async def test_rotated_files_are_shipped_from_the_start_on_and_every_interval(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, clock: StillClock, tmp_path: Path
) -> None:
    rotate(tmp_path, 1)
    (tmp_path / "app.log").write_text("still written to\n")
    async with monitor(scan_interval=30):
        await until(lambda: len(container.blobs) >= 1)
        rotate(tmp_path, 2, "other\n")
        await clock.move(30)
        await until(lambda: len(container.blobs) >= 2)
        rotate(tmp_path, 3, "found by the final scan\n")

    assert sorted(container.blobs.values()) == [b"found by the final scan\n", b"line\n", b"other\n"]
    assert container.closed == 1


async def test_a_file_counts_as_shipped_after_its_upload_is_confirmed_and_not_before(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, clock: StillClock, tmp_path: Path
) -> None:
    rotate(tmp_path, 1)
    go = asyncio.Event()

    async def hold(_: str) -> None:
        await go.wait()

    container.before = hold
    one = monitor()
    await one.initialize()
    await until(lambda: container.sending)
    assert not (tmp_path / ".app.shipped").exists()

    go.set()
    assert await one.drain(60) == ScanReport(1, 0)
    assert (tmp_path / ".app.shipped").exists()
    await one.shutdown()


async def test_what_was_shipped_is_known_after_a_restart(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, tmp_path: Path
) -> None:
    rotate(tmp_path, 1)
    for _ in range(3):
        async with monitor():
            pass

    assert sum(container.attempts.values()) == 1


async def test_a_crash_before_the_ledger_ships_again_and_changes_nothing(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, tmp_path: Path
) -> None:
    rotate(tmp_path, 1)
    for _ in range(2):
        async with monitor():
            pass
        (tmp_path / ".app.shipped").unlink()

    assert (sum(container.attempts.values()), len(container.writes)) == (2, 1)


async def test_a_file_that_failed_is_tried_again_after_longer_and_longer_pauses(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, clock: StillClock, tmp_path: Path
) -> None:
    rotate(tmp_path, 1)
    container.fail("app.log")
    one = monitor(scan_interval=60)
    for pause, outcome in ((0, 1), (59, 0), (1, 1), (119, 0), (1, 1), (240, 1), (480, 1), (599, 0), (1, 1)):
        await clock.move(pause)
        assert await scan(one) == ScanReport(0, outcome), pause

    container.failing.clear()
    await clock.move(600)
    assert await scan(one) == ScanReport(1, 0)
    await clock.move(600)
    assert await scan(one) == ScanReport(0, 0)


async def test_a_file_that_hangs_or_fails_delays_no_other_one(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, clock: StillClock, tmp_path: Path
) -> None:
    rotate(tmp_path, 1)
    rotate(tmp_path, 2)
    go = asyncio.Event()

    async def hang(name: str) -> None:
        if "01-01" in name:
            await go.wait()

    container.before = hang
    container.fail("01-02")

    def has(count: int) -> bool:
        return len(container.blobs) >= count

    async with monitor(max_retries=16, scan_interval=60, shutdown_seconds=0):
        for day in range(3, 20):
            rotate(tmp_path, day)
            await clock.move(60)
            await until(partial(has, day - 2))
        go.set()

    assert container.attempts.total() < 50


async def test_shipped_files_are_kept_for_the_days_of_retention_and_others_until_they_are_shipped(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, clock: StillClock, tmp_path: Path
) -> None:
    rotate(tmp_path, 1, age=0)
    rotate(tmp_path, 2, age=0)
    container.fail("01-02")
    await clock.move(60)
    async with monitor(retention_days=2) as one:
        await one.drain(60)
        for days, left in ((1.9, 2), (0.1, 1)):
            await clock.move(days * DAY)
            await scan(one)
            assert len(names(tmp_path)) == left
        assert names(tmp_path) == ["app.log.2026-01-02"]


async def test_without_days_of_retention_a_file_goes_when_it_has_arrived(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, tmp_path: Path
) -> None:
    rotate(tmp_path, 1)
    async with monitor(retention_days=0):
        pass

    assert (len(container.blobs), names(tmp_path)) == (1, [])


async def test_a_file_that_is_written_to_after_all_is_shipped_again_and_not_removed(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, clock: StillClock, tmp_path: Path
) -> None:
    path = rotate(tmp_path, 1)

    async def write(_: str) -> None:
        container.before = None
        path.write_text("line\nand a late one\n")

    container.before = write
    one = monitor(retention_days=0)
    await scan(one)
    assert names(tmp_path) == [path.name]
    at = EPOCH.timestamp() - 10
    os.utime(path, (at, at))
    await scan(one)

    assert names(tmp_path) == []
    assert b"line\nand a late one\n" in container.blobs.values()


async def test_of_more_than_the_disk_has_room_for_the_oldest_are_dropped_and_that_is_told(
    monitor: Callable[..., LogMonitorService],
    container: MemoryContainer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    container.fail("app.log")
    for day in range(1, 5):
        rotate(tmp_path, day, "x" * 500_000, age=100 - day)
    async with monitor(most_megabytes=1):
        pass

    assert names(tmp_path) == ["app.log.2026-01-03", "app.log.2026-01-04"]
    (told,) = [line for line in caplog.records if "dropped" in line.getMessage()]
    assert (told.levelname, vars(told)["files"], vars(told)["bytes"]) == ("ERROR", 2, 1_000_000)


async def test_shipped_files_make_room_before_others(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, tmp_path: Path
) -> None:
    container.fail("01-01")
    one = monitor(most_megabytes=1)
    rotate(tmp_path, 2, "x" * 600_000)
    assert await scan(one) == ScanReport(1, 0)
    rotate(tmp_path, 1, "x" * 600_000, age=120)
    assert await scan(one) == ScanReport(0, 1)

    assert names(tmp_path) == ["app.log.2026-01-01"]


async def test_a_folder_that_cannot_be_read_ends_nothing(
    monitor: Callable[..., LogMonitorService],
    container: MemoryContainer,
    clock: StillClock,
    tmp_path: Path,
) -> None:
    ledger = tmp_path / ".app.shipped"
    ledger.mkdir()
    rotate(tmp_path, 1)
    async with monitor() as one:
        await until(lambda: len(clock.slept) >= 1)
        assert container.blobs == {}
        ledger.rmdir()
        await clock.move(60)
        await until(lambda: container.blobs)
        await one.drain(60)


async def test_a_wake_scans_at_once(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, clock: StillClock, tmp_path: Path
) -> None:
    async with monitor() as one:
        await until(lambda: clock.slept)
        rotate(tmp_path, 1)
        one.wake()
        await until(lambda: container.blobs)
        await one.drain(60)


async def test_it_can_be_started_and_stopped_again(
    monitor: Callable[..., LogMonitorService], container: MemoryContainer, tmp_path: Path
) -> None:
    one = monitor()
    await one.shutdown()
    for day in (1, 2):
        rotate(tmp_path, day, str(day))
        await one.initialize()
        await one.initialize()
        await one.shutdown()

    assert sorted(container.blobs.values()) == [b"1", b"2"]


def test_what_is_out_of_its_bounds_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        LogMonitorService(tmp_path, "account", app_name="a/b", scan_interval=0, retention_days=-1)
    assert set(refused.value.detail["fields"]) == {  # type: ignore[arg-type]  # a mapping
        "options.app_name",
        "options.scan_interval",
        "options.retention_days",
    }
    with pytest.raises(ValueError, match="an account_url or a connection_string"):
        LogMonitorService(tmp_path)
    with pytest.raises(ValidationError) as refused:
        LogMonitorService(tmp_path, "account", max_retrys=1)
    assert list(refused.value.detail["fields"]) == ["options.max_retrys"]  # type: ignore[arg-type]  # same


def test_the_methods_have_the_documents_parameters() -> None:
    document = "logs_dir account_name account_url container_name app_name retention_days scan_interval"
    found = list(inspect.signature(LogMonitorService).parameters)

    assert found[:7] == document.split()
    for method in (LogMonitorService.initialize, LogMonitorService.shutdown):
        assert list(inspect.signature(method).parameters) == ["self"]
