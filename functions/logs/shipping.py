"""Shipping of this process's log files, beside whatever else it does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from functions.logs.tenant_chunks import TenantChunks
from shared.log_shipping.monitor import LogMonitorService
from shared.logging.configure import current_file

if TYPE_CHECKING:
    from shared.runtime import Runtime

SHIP_SECONDS = 60.0
"""The longest that a line waits for its file to be set aside."""

START_SECONDS = 5.0
"""A process's first answers come before its log files: the blob store's SDK takes a moment to load."""

RUN_SECONDS = 480.0
"""After this a run of the timer waits for nothing more: the host would end the worker, and all of its other
work (host.json, `functionTimeout`). What is left is the next run's."""

_MOST_MEGABYTES = 512


def open_monitor(runtime: Runtime) -> LogMonitorService | None:
    """Open what ships the folder of log files; None where none are written."""
    directory = runtime.settings.log_dir
    if directory is None:
        return None
    delivery = TenantChunks(runtime.blobs, runtime.clock, runtime.purges.is_taken)
    return LogMonitorService(
        directory,
        app_name=runtime.settings.app_name,
        retention_days=0,
        scan_interval=SHIP_SECONDS,
        delivery=delivery,
        clock=runtime.clock,
        most_megabytes=_MOST_MEGABYTES,
    )


async def ship_in_background(runtime: Runtime) -> None:
    """Begin to ship this process's files each minute, and whenever one was full."""
    if runtime.settings.log_dir is None:
        return
    await runtime.clock.sleep(START_SECONDS)
    monitor = runtime.once(open_monitor)
    if monitor is None:
        return
    await monitor.initialize()
    runtime.close_with(monitor.shutdown)
    loop, file = asyncio.get_running_loop(), current_file()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: this process ends
            loop.call_soon_threadsafe(monitor.wake)

    if file is not None:
        file.on_rotated = wake
