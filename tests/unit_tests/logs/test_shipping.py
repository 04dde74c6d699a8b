"""A process ships its own files: from its first request on, each minute, and whenever one was full."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from functions.logs.shipping import SHIP_SECONDS, START_SECONDS, open_monitor, ship_in_background
from shared.logging.configure import configure_logging, current_file, stop_logging
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.settings import LoggingSettings
from shared.tenancy.purges import Purges
from tests.support.fakes import StillClock
from tests.unit_tests.log_shipping.fakes import until
from tests.unit_tests.logs.fakes import FakeBlobs, lines_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from shared.runtime import Runtime
    from tests.support.memory_cosmos import MemoryCosmos


class Process:
    """What a worker has of the app, as far as shipping needs it."""

    def __init__(self, cosmos: MemoryCosmos, folder: Path | None) -> None:
        self.clock = StillClock()
        self.blobs = FakeBlobs()
        self.settings = SimpleNamespace(log_dir=folder, app_name="tenantry")
        self.purges = Purges(cosmos.container("tenants"), self.clock)
        self.closing: list[Callable[[], Awaitable[None]]] = []
        self.close_with = self.closing.append
        self.monitors: dict[object, Any] = {}

    def once(self, build: Any) -> Any:  # noqa: ANN401  # as the composition root does
        if build not in self.monitors:
            self.monitors[build] = build(self)
        return self.monitors[build]

    @property
    def runtime(self) -> Runtime:
        return cast("Runtime", self)


@pytest.fixture
def process(cosmos: MemoryCosmos, tmp_path: Path) -> Iterator[Process]:
    configure_logging(LoggingSettings(log_dir=tmp_path))
    yield Process(cosmos, tmp_path)
    stop_logging()


def log(message: str) -> None:
    with logging_as(tenant_id="acme"):
        get_logger("functions.x").info(message)


async def test_lines_are_shipped_each_minute_beginning_after_the_first_answers(process: Process) -> None:
    log("one")
    beginning = asyncio.create_task(ship_in_background(process.runtime))
    await until(lambda: process.clock.slept == [START_SECONDS])
    assert process.blobs.uploads == []

    await process.clock.move(START_SECONDS)
    await beginning
    await until(lambda: len(process.blobs.blobs) == 1)
    log("two")
    await until(lambda: SHIP_SECONDS in process.clock.slept)
    await process.clock.move(SHIP_SECONDS)
    await until(lambda: len(process.blobs.blobs) == 2)
    log("last words")
    (close,) = process.closing
    await close()

    (lines,) = lines_of(process.blobs.blobs).values()
    assert all(message in lines for message in ("one", "two", "last words"))


async def test_a_file_that_is_full_is_shipped_at_once(process: Process) -> None:
    beginning = asyncio.create_task(ship_in_background(process.runtime))
    await until(lambda: process.clock.slept)
    await process.clock.move(START_SECONDS)
    await beginning
    await until(lambda: SHIP_SECONDS in process.clock.slept)
    file = current_file()
    assert file is not None
    await asyncio.to_thread(log, "x" * 10_000)
    file._max_bytes = 10  # noqa: SLF001  # as if it were full
    await asyncio.to_thread(log, "y")

    await until(lambda: process.blobs.blobs)
    await process.closing[0]()


async def test_where_no_files_are_written_nothing_is_opened(cosmos: MemoryCosmos) -> None:
    process = Process(cosmos, None)
    await ship_in_background(process.runtime)

    assert open_monitor(process.runtime) is None
    assert (process.clock.slept, process.closing) == ([], [])
