"""One instance: it logs lines with running numbers and ships them, until it is killed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.logs.tenant_chunks import TenantChunks
from shared.blob.sdk import SdkBlobStore, classify, open_client
from shared.clock import SystemClock
from shared.log_shipping.monitor import LogMonitorService
from shared.logging.configure import configure_logging
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from shared.settings import LoggingSettings

if TYPE_CHECKING:
    from pathlib import Path

    from azure.storage.blob.aio import BlobServiceClient

CONTAINER = "logs"
TENANTS = ("acme", "globex", None)
NUMBERS_OF_ONE = 1_000_000
"""How far apart the first numbers of two instances are."""

_POLICY = Policy(attempt_seconds=2, total_seconds=5)
_LINES_AT_ONCE = 50
_logger = get_logger("writer")


@dataclass(frozen=True)
class Orders:
    """What an instance is to do.

    Attributes:
        connection: The blob account's connection string.
        folder: Where log files are; all instances share it.
        notes: Where it notes, in a file of its own, the numbers of the lines that are flushed.
        number: Its number among all that were started.
        pause: Seconds between two handfuls of lines.
    """

    connection: str
    folder: Path
    notes: Path
    number: int
    pause: float


def run(orders: Orders) -> None:
    """Log and ship until somebody ends this process."""
    asyncio.run(_run(orders))


async def _run(orders: Orders) -> None:
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # the lines on stderr are nobody's
    configure_logging(LoggingSettings(log_dir=orders.folder))
    async with open_client(orders.connection, None, None) as client, shipper(client, orders.folder):
        notes = os.open(orders.notes / str(orders.number), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        number = orders.number * NUMBERS_OF_ONE
        while True:
            for _ in range(_LINES_AT_ONCE):
                tenant = TENANTS[number % len(TENANTS)]
                with logging_as(tenant_id=tenant):
                    _logger.info("A line", extra={"number": number})
                os.write(notes, b"%d\n" % number)
                number += 1
            await asyncio.sleep(orders.pause)


def shipper(client: BlobServiceClient, folder: Path) -> LogMonitorService:
    """Make what ships, as the app does but each half second."""
    store = Dependency("Blob Storage", classify, _POLICY)
    blobs = SdkBlobStore(client.get_container_client(CONTAINER), store)
    delivery = TenantChunks(blobs, SystemClock(), nobody_was_purged)
    return LogMonitorService(
        folder, app_name="tenantry", retention_days=0, scan_interval=0.5, delivery=delivery
    )


async def nobody_was_purged(_: str) -> bool:
    """Tell that every tenant is there."""
    return False
