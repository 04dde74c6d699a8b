"""Logs: files through `LogMonitorService` beside the SDK's own upload, the splitter, and one log call."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import multiprocessing
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from azure.storage.blob.aio import BlobServiceClient

from functions.logs.splitter import split_file
from shared.log_shipping.monitor import LogMonitorService
from shared.logging.context import logging_as
from shared.logging.files import InstanceFileHandler
from shared.logging.formatter import JsonFormatter
from tests.integration_tests.local_host.parts import blob_connection, running_part

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MEBIBYTE = 1024 * 1024
FILE_BYTES, FILES = 20 * MEBIBYTE, 25
FILES_AT_ONCE = 4
CALLS = 20_000
ROUNDS = 3


@dataclass(frozen=True)
class Figures:
    """One way's figures: seconds, and MiB above what the process had before."""

    seconds: float
    memory: float


def lines(count: int, tenants: int) -> list[str]:
    """Write lines as the app does, of the usual length."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("tenantry"))
    for number in range(count):
        with logging_as(tenant_id=f"tenant-{number % tenants}", request_id=f"{number:032x}"):
            handler.emit(record(number))
    return stream.getvalue().splitlines(keepends=True)


def record(number: int) -> logging.LogRecord:
    made = logging.LogRecord("shared.http.pipeline", logging.INFO, "", 0, "Request", (), None)
    made.__dict__ |= {
        "method": "POST",
        "route": "v1/bots/{bot_id}/chat",
        "status": 200,
        "milliseconds": number,
    }
    return made


def fill(folder: Path) -> None:
    """Put files there that are no two the same, as rotated a day ago."""
    block = os.urandom(MEBIBYTE)
    for number in range(FILES):
        path = folder / f"app.log.2026-01-30_{number:02}"
        with path.open("wb") as file:
            file.write(number.to_bytes(8))
            for _ in range(FILE_BYTES // MEBIBYTE):
                file.write(block)
        os.utime(path, (path.stat().st_mtime - 60,) * 2)


async def by_the_monitor(connection: str, folder: Path) -> None:
    monitor = LogMonitorService(
        folder, container_name="monitor", app_name="app", connection_string=connection
    )
    await monitor.scan()
    report = await monitor.drain(600)
    await monitor.shutdown()
    assert report.shipped == FILES


async def by_the_sdk(connection: str, folder: Path) -> None:
    """As many at once, by one client, as it comes."""
    places = asyncio.Semaphore(FILES_AT_ONCE)
    async with BlobServiceClient.from_connection_string(connection) as client:
        container = client.get_container_client("sdk")

        async def upload(path: Path) -> None:
            async with places:
                with path.open("rb") as file:
                    await container.upload_blob(path.name, file, overwrite=True)

        paths = await asyncio.to_thread(lambda: sorted(folder.glob("app.log.*")))
        await asyncio.gather(*[upload(path) for path in paths])


WAYS: dict[str, Callable[[str, Path], Coroutine[None, None, None]]] = {
    "azure-storage-blob": by_the_sdk,
    "LogMonitorService": by_the_monitor,
}


def memory(kind: str) -> float:
    """Return this process's resident memory in MiB: `VmRSS` now, `VmHWM` at its most."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(kind))


def measure(way: str, connection: str, folder: Path) -> Figures:
    """Run one way in this process."""
    asyncio.run(_warm_up(connection))
    idle = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    asyncio.run(WAYS[way](connection, folder))
    return Figures(time.perf_counter() - began, memory("VmHWM") - idle)


async def _warm_up(connection: str) -> None:
    async with BlobServiceClient.from_connection_string(connection) as client:
        await client.get_container_client("sdk").upload_blob("warm", b"x" * 1000, overwrite=True)


def test_files_through_the_monitor_beside_the_sdks_own_upload(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    fill(folder)
    found: dict[str, list[Figures]] = {way: [] for way in WAYS}
    with running_part("azurite", tmp_path / "azurite") as port:
        connection = blob_connection(port)
        asyncio.run(_make_containers(connection))
        for _ in range(ROUNDS):
            for way, figures in found.items():
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    figures.append(pool.apply(measure, (way, connection, folder)))
                (folder / ".app.shipped").unlink(missing_ok=True)
                asyncio.run(_empty_containers(connection))

    size = FILES * FILE_BYTES / MEBIBYTE
    base = min(one.seconds for one in found["azure-storage-blob"])
    print(f"\n{size:.0f} MiB in {FILES} files, best of {ROUNDS}")
    for way, figures in found.items():
        seconds, most = min(one.seconds for one in figures), max(one.memory for one in figures)
        print(f"{way:24}{size / seconds:8.0f} MiB/s{base / seconds:8.0%}{most:8.1f} MiB above idle")


async def _make_containers(connection: str) -> None:
    async with BlobServiceClient.from_connection_string(connection) as client:
        for name in ("sdk", "monitor"):
            await client.create_container(name)


async def _empty_containers(connection: str) -> None:
    async with BlobServiceClient.from_connection_string(connection) as client:
        for name in ("sdk", "monitor"):
            container = client.get_container_client(name)
            async for blob in container.list_blobs():
                await container.delete_blob(blob.name)


def test_the_splitter(tmp_path: Path) -> None:
    print()
    for tenants in (1, 32, 1_000):
        source = tmp_path / f"{tenants}.jsonl"
        source.write_text("".join(lines(50_000, tenants)))
        size = source.stat().st_size
        best = float("inf")
        for number in range(ROUNDS):
            began = time.process_time()
            chunks = split_file(source, datetime.now(UTC).date(), tmp_path / f"{tenants}-{number}")
            best = min(best, time.process_time() - began)
        packed = sum(chunk.path.stat().st_size for chunk in chunks)
        print(
            f"{tenants:5} tenants{size / best / MEBIBYTE:8.0f} MiB/s{best / 50_000 * 1e6:8.1f} us a line"
            f"{packed / size:8.1%} of the bytes"
        )


class PlainJson(logging.Formatter):
    """The JSON formatter that anybody would write."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "status": record.__dict__.get("status"),
            "route": record.__dict__.get("route"),
        }
        return json.dumps(fields)


def test_one_log_call_beside_the_standard_librarys(tmp_path: Path) -> None:
    plain: logging.Handler = logging.FileHandler(tmp_path / "plain.log")
    plain.setFormatter(PlainJson())
    own = InstanceFileHandler(tmp_path, "tenantry", "vm-1", max_bytes=1 << 40)
    own.setFormatter(JsonFormatter("tenantry"))
    found: dict[str, float] = {}
    for name, handler in (("stdlib with JSON", plain), ("the app's", own)):
        logger = logging.getLogger(f"benchmark.{name.partition(' ')[0]}")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        best = float("inf")
        with logging_as(tenant_id="acme", request_id="a" * 32):
            for _ in range(ROUNDS):
                began = time.process_time()
                for number in range(CALLS):
                    logger.info(
                        "Request", extra={"status": 200, "route": "v1/bots/{bot_id}/chat", "ms": number}
                    )
                best = min(best, (time.process_time() - began) / CALLS)
        logger.removeHandler(handler)
        handler.close()
        found[name] = best

    print()
    for name, seconds in found.items():
        print(f"{name:24}{seconds * 1e6:8.1f} us{seconds / found['stdlib with JSON']:8.1f} x")
