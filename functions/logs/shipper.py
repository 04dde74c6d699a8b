"""Shipping of rotated log files: claim, split, upload, and only then remove.

A claim is a rename, which only one of two shippers can do. A claim whose shipper died is taken over; should
it live after all, both write the same blobs with the same content.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.logs.manifest import PLATFORM
from functions.logs.splitter import split_file
from shared.errors import APIError
from shared.logging.files import RotatedName, adopt_abandoned
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side
from shared.resilience.deadlines import deadline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from shared.blob.store import BlobStore
    from shared.clock import Clock

CLAIM_SECONDS = 600
"""How long a claim stands after its shipper's last sign of life, one per blob; an upload gives up before."""

RUN_SECONDS = 480.0
"""After this a run asks nothing more of the blob store, however slow that is: the host would end the worker,
and all of its other work (host.json, `functionTimeout`). What is left is the next run's."""

_FILES_AT_ONCE = 4
_CLAIMED = re.compile(r"(?P<rotated>[^/]+\.jsonl)\.shipping-[a-z0-9-]+")
_logger = get_logger(__name__)


class ClaimLostError(Exception):
    """Another shipper took the file over."""


@dataclass(frozen=True, slots=True)
class ShippingReport:
    """Outcome of one run, in files."""

    shipped: int
    failed: int


class LogShipper:
    """Shipper of the files of one folder.

    Args:
        directory: Where the log files are; several workers may share it.
        blobs: Where they go.
        clock: Dates claims.
        instance: This worker's name.
        is_purged: Tells of whose lines nothing may be kept.
    """

    def __init__(
        self,
        directory: Path,
        blobs: BlobStore,
        clock: Clock,
        instance: str,
        is_purged: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._is_purged = is_purged
        self._directory = directory
        self._blobs = blobs
        self._clock = clock
        self._instance = instance

    async def ship(self) -> ShippingReport:
        """Ship every rotated file, and what dead writers left; a file that fails stays for the next run."""
        await asyncio.to_thread(adopt_abandoned, self._directory)
        with deadline(RUN_SECONDS, self._clock):
            outcomes = await side_by_side(
                (self._ship(path, name) for path, name in self._find_waiting()), at_once=_FILES_AT_ONCE
            )
        return ShippingReport(outcomes.count(True), outcomes.count(False))

    def _find_waiting(self) -> list[tuple[Path, RotatedName]]:
        """Find rotated files and abandoned claims, the oldest first."""
        found: list[tuple[Path, RotatedName]] = []
        for path in self._directory.iterdir() if self._directory.is_dir() else ():
            claimed = _CLAIMED.fullmatch(path.name)
            name = RotatedName.parse(claimed["rotated"] if claimed else path.name)
            if name is not None and (claimed is None or self._is_stale(path)):
                found.append((path, name))
        return sorted(found, key=lambda each: (each[1].rotated_at, each[0].name))

    async def _ship(self, path: Path, name: RotatedName) -> bool | None:
        """Ship one file; tell whether that succeeded, or None where another shipper has it."""
        try:
            async with self._hold_claim(path, name) as claim:
                await self._upload(claim, name)
                claim.unlink()
        except (ClaimLostError, FileNotFoundError):
            return None
        except (APIError, OSError) as error:
            facts = {"file": name.stem, "error": type(error).__name__}
            _logger.warning("A log file stays for the next run", extra=facts, exc_info=error)
            return False
        # At DEBUG: a line per shipped file would make the next file to ship, for ever.
        _logger.debug("Log file shipped", extra={"file": name.stem})
        return True

    @asynccontextmanager
    async def _hold_claim(self, path: Path, name: RotatedName) -> AsyncIterator[Path]:
        """Hold a file's claim; one that was not shipped is given back."""
        claim = self._claim(path, name)
        try:
            yield claim
        finally:
            self._give_back(claim, name)

    def _claim(self, path: Path, name: RotatedName) -> Path:
        self._touch(path)  # before the rename: a new claim must never look like an old one
        token = secrets.token_hex(4)
        return path.rename(self._directory / f"{name.stem}.jsonl.shipping-{self._instance}-{token}")

    def _give_back(self, claim: Path, name: RotatedName) -> None:
        shutil.rmtree(_parts_folder(claim), ignore_errors=True)
        with suppress(FileNotFoundError):  # shipped and removed, or taken over
            claim.rename(self._directory / f"{name.stem}.jsonl")

    async def _upload(self, claim: Path, name: RotatedName) -> None:
        """Upload every part, even after one that failed, which is then raised."""
        for left in self._directory.glob(f"{name.stem}.jsonl.shipping-*.parts"):
            await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
        parts = await asyncio.to_thread(split_file, claim, name, _parts_folder(claim))
        failure: APIError | None = None
        for blob, part in parts.items():
            try:
                self._touch(claim)
            except FileNotFoundError as error:
                raise ClaimLostError(name.stem) from error
            try:
                owner = blob.partition("/")[0]
                if owner == PLATFORM or not await self._is_purged(owner):
                    await self._blobs.upload(blob, part)
            except APIError as error:
                failure = error
        if failure is not None:
            raise failure

    def _touch(self, path: Path) -> None:
        now = self._clock.now().timestamp()
        os.utime(path, (now, now))

    def _is_stale(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            return self._clock.now().timestamp() - path.stat().st_mtime > CLAIM_SECONDS
        return False


def _parts_folder(claim: Path) -> Path:
    return claim.with_name(claim.name + ".parts")
