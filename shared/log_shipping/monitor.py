"""`LogMonitorService` of the common library document: ships rotated log files until they have arrived.

A file counts as shipped after its upload was confirmed, and only then may it be removed. Each is shipped by a
task of its own: a scan waits for none, and one that fails is tried again after a while, beside the others.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.blob.file_content import FileState
from shared.blob.uploader import AsyncBlobStorageUploader
from shared.clock import SystemClock
from shared.log_shipping.delivery import FileBusyError, WholeFiles
from shared.log_shipping.ledger import ShippingLedger
from shared.log_shipping.rotated_files import find_rotated
from shared.logging.logger import get_app_name, get_logger
from shared.resilience.pauses import pause
from shared.resilience.tasks import spawn
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from types import TracebackType

    from azure.core.credentials_async import AsyncTokenCredential

    from shared.clock import Clock
    from shared.log_shipping.delivery import FileDelivery
    from shared.log_shipping.rotated_files import RotatedFile

LONGEST_RETRY_SECONDS = 600.0
_MOST_AT_ONCE = 1_000
_MOST_DOUBLINGS = 10
_MEBIBYTE = 1024 * 1024
_logger = get_logger(__name__)


class MonitorOptions(BaseModel):
    """Options of a monitor, within their bounds.

    Attributes:
        app_name: The application, by which blobs and the ledger are named.
        retention_days: Days for which a shipped file is kept; 0 removes it at once. One that is not shipped
            is kept however old it is.
        scan_interval: Seconds between two scans.
        most_megabytes: Size, in MiB, up to which rotated files are kept on the disk; beyond it the oldest are
            dropped, shipped or not, with an error in the log.
        shutdown_seconds: Seconds that files which the final scan found have to arrive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    app_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    retention_days: float = Field(ge=0, le=3_650)
    scan_interval: float = Field(gt=0, le=86_400)
    most_megabytes: int = Field(2_048, ge=1)
    shutdown_seconds: float = Field(60.0, ge=0, le=3_600)


@dataclass(slots=True)
class _Failure:
    """A file that did not arrive: how often, and when it is tried again, on the monotonic clock."""

    count: int
    due: float


@dataclass(frozen=True, slots=True)
class ScanReport:
    """Outcome of a scan that was waited for, in files: those that arrived since, and those that did not."""

    shipped: int
    failed: int


class LogMonitorService:
    """Ships the rotated log files of a folder for as long as it runs.

    Args:
        logs_dir: The folder; files are those of `TimedRotatingFileHandler`, of its namers, and of this app.
        account_name: The storage account, in the place of its address.
        account_url: The account's address.
        container_name: The container; there must be one.
        app_name: See `MonitorOptions`, as for the next two; without it the environment's `APP_NAME`.
        retention_days: See there.
        scan_interval: See there.
        connection_string: In the place of an account and an identity, as for the local platform.
        credential: The identity; `DefaultAzureCredential` where None.
        delivery: Another way for the files, in the place of an account.
        clock: The time.
        options: Further options by name: those of `MonitorOptions`, and those of `UploaderOptions`.

    Raises:
        ValidationError: An option is out of its bounds.
        ValueError: No account is given.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # the document's signature, and what it has no need of by name
        self,
        logs_dir: str | PathLike[str],
        account_name: str | None = None,
        account_url: str | None = None,
        container_name: str = "logs",
        app_name: str | None = None,
        retention_days: float = 30,
        scan_interval: float = 60,
        *,
        connection_string: str | None = None,
        credential: AsyncTokenCredential | None = None,
        delivery: FileDelivery | None = None,
        clock: Clock | None = None,
        **options: object,
    ) -> None:
        given = {
            "app_name": app_name or get_app_name(),
            "retention_days": retention_days,
            "scan_interval": scan_interval,
        }
        own, of_the_uploader = _divide(options)
        self._options = validate_input(
            lambda: MonitorOptions.model_validate(given | own), "monitor", "options"
        )
        self._directory = Path(logs_dir)
        self._clock = clock or SystemClock()
        if account_url is None and account_name is not None:
            account_url = f"https://{account_name}.blob.core.windows.net"
        if delivery is None:
            uploader = AsyncBlobStorageUploader(
                account_url,
                container_name,
                connection_string=connection_string,
                credential=credential,
                clock=self._clock,
                **of_the_uploader,  # type: ignore[arg-type]  # it checks them itself
            )
            delivery = WholeFiles(uploader, self._options.app_name)
        self._delivery: FileDelivery = delivery
        self._ledger = ShippingLedger(self._directory / f".{self._options.app_name}.shipped")
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, _Failure] = {}
        self._shipped = self._failed = 0
        self._scanning = asyncio.Lock()
        self._woken = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def __aenter__(self) -> Self:
        """Return the monitor, which ships already."""
        await self.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut it down."""
        await self.shutdown()

    async def initialize(self) -> None:
        """Begin to scan, in a task of its own; doing it again changes nothing."""
        if self._running is None:
            self._is_stopping = False
            self._running = spawn(self._run())

    async def shutdown(self) -> None:
        """Stop; scan one last time, and wait for some time until what is there has arrived."""
        running, self._running = self._running, None
        if running is None:
            return
        self._is_stopping = True
        self._woken.set()
        await running
        self._failures.clear()  # each is tried once more
        await self._scan_and_log()
        self._delivery.hurry()
        await self.drain(self._options.shutdown_seconds)
        await self._delivery.shutdown()
        for task in (left := list(self._in_flight.values())):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def wake(self) -> None:
        """Scan now rather than when the interval is over. For other threads: through the loop."""
        self._woken.set()

    async def scan(self) -> None:
        """Look through the folder once, and begin to ship what is there.

        Raises:
            OSError: The folder cannot be read.
        """
        await self._delivery.initialize()
        async with self._scanning:
            busy = frozenset(self._in_flight)
            found, waiting = await asyncio.to_thread(self._look_through, busy)
            self._failures = {name: self._failures[name] for name in found & self._failures.keys()}
            now = self._clock.monotonic()
            for file in waiting:
                if (
                    file.name not in busy
                    and self._is_due(file.name, now)
                    and len(self._in_flight) < _MOST_AT_ONCE
                ):
                    self._in_flight[file.name] = spawn(self._ship(file))

    async def drain(self, seconds: float) -> ScanReport:
        """Wait until everything that is being shipped has arrived or failed, or the time is over."""
        before = ScanReport(self._shipped, self._failed)
        over = spawn(self._clock.sleep(seconds))
        try:
            while (left := set(self._in_flight.values())) and not over.done():
                await asyncio.wait({*left, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        return ScanReport(self._shipped - before.shipped, self._failed - before.failed)

    async def _run(self) -> None:
        while not self._is_stopping:
            self._woken.clear()
            await self._scan_and_log()
            await pause(self._clock, self._options.scan_interval, self._woken)

    async def _scan_and_log(self) -> None:
        try:
            await self.scan()
        except Exception as error:  # the edge of a task that has to go on
            _logger.warning(
                "A scan of the log files failed", extra={"error": type(error).__name__}, exc_info=error
            )

    def _look_through(self, busy: frozenset[str]) -> tuple[set[str], list[RotatedFile]]:
        """Remove what is over; return the names of the rest, and what of it waits. It runs in a thread."""
        self._delivery.set_aside(self._directory)
        found = find_rotated(self._directory, self._clock.now())
        if not found:
            return set(), []
        known = self._ledger.read()
        waiting = [file for file in found if known.get(file.name) != file.state]
        shipped = [file for file in found if known.get(file.name) == file.state]
        self._remove_old(shipped)
        lost = self._drop_beyond_limit(
            [file for file in (*shipped, *waiting) if file.name not in busy], known
        )
        names = {file.name for file in found}
        self._ledger.compact(names)
        return names, [file for file in waiting if file.name not in lost]

    def _is_due(self, name: str, now: float) -> bool:
        failure = self._failures.get(name)
        return failure is None or failure.due <= now

    def _remove_old(self, shipped: list[RotatedFile]) -> None:
        kept_since = self._clock.now() - timedelta(days=self._options.retention_days)
        for file in shipped:
            if file.state.modified_ns / 1e9 <= kept_since.timestamp():
                _remove(file)

    def _drop_beyond_limit(self, files: list[RotatedFile], known: Mapping[str, FileState]) -> set[str]:
        """Remove files until the rest fits onto the disk, shipped ones first; return those that are lost."""
        excess = sum(file.state.size for file in files) - self._options.most_megabytes * _MEBIBYTE
        lost: list[RotatedFile] = []
        for file in files:
            if excess <= 0:
                break
            _remove(file)
            excess -= file.state.size
            if known.get(file.name) != file.state:
                lost.append(file)
        if lost:
            facts = {
                "files": len(lost),
                "bytes": sum(file.state.size for file in lost),
                "oldest": lost[0].name,
            }
            _logger.error("Log files were dropped before they were shipped: too many wait", extra=facts)
        return {file.name for file in lost}

    async def _ship(self, file: RotatedFile) -> None:
        failure = self._failures.get(file.name)
        failures = 0 if failure is None else failure.count
        try:
            blob = await self._delivery.deliver(file, failures)
            await asyncio.to_thread(self._note_arrival, file, blob)
        except (FileBusyError, FileNotFoundError):
            pass  # another process ships it, or has
        except Exception as error:  # noqa: BLE001  # the edge of the file's task
            self._note_failure(file, failures + 1, error)
        else:
            self._failures.pop(file.name, None)
            self._shipped += 1
            # At DEBUG: a line per shipped file would make the next file to ship, for ever.
            _logger.debug("Log file shipped", extra={"file": file.name, "blob": blob})
        finally:
            del self._in_flight[file.name]

    def _note_arrival(self, file: RotatedFile, blob: str) -> None:
        if self._options.retention_days == 0:
            _remove(file)
            return
        with suppress(FileNotFoundError):
            if FileState.of(file.path) == file.state:  # else the next scan sees what came to it
                self._ledger.add(file, blob)

    def _note_failure(self, file: RotatedFile, count: int, error: Exception) -> None:
        self._failed += 1
        doubled = self._options.scan_interval * 2 ** min(count - 1, _MOST_DOUBLINGS)
        seconds = min(doubled, max(LONGEST_RETRY_SECONDS, self._options.scan_interval))
        self._failures[file.name] = _Failure(count, self._clock.monotonic() + seconds)
        facts = {
            "file": file.name,
            "error": type(error).__name__,
            "failures": count,
            "pause_seconds": seconds,
        }
        # Once for each file: while the store is down, its own failures would be most of what waits.
        level = logging.WARNING if count == 1 else logging.DEBUG
        _logger.log(level, "A log file was not shipped", extra=facts, exc_info=error if count == 1 else None)


def _remove(file: RotatedFile) -> None:
    """Remove a file, unless it is another one, or a longer one, by now."""
    with suppress(FileNotFoundError):
        if FileState.of(file.path) == file.state:
            file.path.unlink()


def _divide(options: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Tell options of the monitor from those of its uploader; of the time to shut down both have a part."""
    own = {name: value for name, value in options.items() if name in MonitorOptions.model_fields}
    return own, {name: value for name, value in options.items() if name not in MonitorOptions.model_fields}
