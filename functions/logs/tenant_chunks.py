"""Delivery of this app's log files: each split by tenant and day, uploaded, and only then removed."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from functions.logs.chunks import PLATFORM
from functions.logs.splitter import split_file
from shared.errors import APIError
from shared.log_shipping.delivery import FileBusyError
from shared.logging.configure import current_file
from shared.logging.files import FileLockedError, RotatedName, adopt_abandoned, lock_alone
from shared.resilience.background import background_work
from shared.resilience.concurrency import side_by_side
from shared.resilience.deadlines import deadline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import date
    from pathlib import Path

    from functions.logs.splitter import Chunk
    from shared.blob.store import BlobStore
    from shared.clock import Clock
    from shared.log_shipping.rotated_files import RotatedFile

FILE_SECONDS = 240.0
"""After this a delivery asks nothing more of the blob store, however slow that is: the next scan goes on."""

_FILES_AT_ONCE = 4
_RETRIES_AT_ONCE = 2
_UPLOADS_AT_ONCE = 4


class TenantChunks:
    """Delivery of a folder that several workers may share: a lock of the file tells who has it.

    Args:
        blobs: Where chunks go.
        clock: Bounds a delivery.
        is_purged: Tells of whose lines nothing may be kept.
    """

    def __init__(self, blobs: BlobStore, clock: Clock, is_purged: Callable[[str], Awaitable[bool]]) -> None:
        self._blobs = blobs
        self._clock = clock
        self._is_purged = is_purged
        self._places = asyncio.Semaphore(_FILES_AT_ONCE)
        self._retry_places = asyncio.Semaphore(_RETRIES_AT_ONCE)

    async def initialize(self) -> None:
        """Open nothing: the store is the app's."""

    def hurry(self) -> None:
        """Do nothing: no upload waits for long."""

    async def shutdown(self) -> None:
        """Close nothing."""

    def set_aside(self, directory: Path) -> None:
        """Rotate this process's own file, and those that dead ones left."""
        own = current_file()
        if own is not None:
            own.rotate()
        adopt_abandoned(directory)

    async def deliver(self, file: RotatedFile, failures: int) -> str:
        """Upload a file's chunks and remove it; return how many they are.

        Raises:
            FileBusyError: Another process delivers it.
            FileNotFoundError: Another process has delivered it.
            DependencyUnavailableError: The store does not take a chunk; the others are there.
        """
        async with self._retry_places if failures else self._places:
            try:
                lock = await asyncio.to_thread(lock_alone, file.path)
            except FileLockedError as error:
                raise FileBusyError(file.name) from error
            with lock, background_work(), deadline(FILE_SECONDS, self._clock):
                count = await self._upload(file)
                await asyncio.to_thread(file.path.unlink)
            return f"{count} chunks"

    async def _upload(self, file: RotatedFile) -> int:
        folder = file.path.with_name(f"{file.name}.chunks")
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # of one who was killed
        try:
            chunks = await asyncio.to_thread(split_file, file.path, _day_of(file), folder)
            failures = await side_by_side(
                (self._upload_chunk(one) for one in chunks), at_once=_UPLOADS_AT_ONCE
            )
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        for failure in failures:
            if failure is not None:
                raise failure
        return len(chunks)

    async def _upload_chunk(self, chunk: Chunk) -> APIError | None:
        """Upload a chunk, even after one that failed; return why it was not."""
        owner = chunk.blob.owner
        try:
            if owner == PLATFORM or not await self._is_purged(owner):
                await self._blobs.upload(str(chunk.blob), chunk.path)
        except APIError as error:
            return error
        return None


def _day_of(file: RotatedFile) -> date:
    """Return the day of lines that tell none, and have none before them."""
    name = RotatedName.parse(file.name)
    at = datetime.fromtimestamp(file.state.modified_ns / 1e9, UTC) if name is None else name.rotated_at
    return at.date()
