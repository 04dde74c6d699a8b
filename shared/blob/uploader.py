"""`AsyncBlobStorageUploader` of the common library document: files uploaded in the background.

Every upload is a task of its own that waits for a place only while it sends: one that fails waits without
one, and those that were never tried have places that those which failed cannot take.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.blob.attempts import AttemptFailedError, BlobAccount, FileUpload
from shared.blob.file_content import SUFFIXES, Compression, FileState, digest_file
from shared.clock import SystemClock
from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from shared.logging.logger import get_logger
from shared.resilience.pauses import pause
from shared.resilience.tasks import spawn
from shared.validation import validate_input

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType

    from azure.core.credentials_async import AsyncTokenCredential

    from shared.blob.attempts import UploadAttempts
    from shared.clock import Clock

STORE = "Blob Storage"

FIRST_RETRY_SECONDS = 1.0
"""The pause after the first failure, as the document has it; the later ones double from `retry_delay` on."""

LONGEST_PAUSE_SECONDS = 300.0
_ATTEMPT_SECONDS = 60.0
_SLOWEST_BYTES_PER_SECOND = 256 * 1024
_RETRIES_AT_ONCE = 2
_logger = get_logger(__name__)


class UploaderOptions(BaseModel):
    """Options of an uploader, within their bounds.

    Attributes:
        container_name: The container that files go to.
        max_retries: Attempts after the first one.
        retry_delay: Seconds of the second pause; each further one is twice as long, up to five minutes.
        uploads_at_once: The most files that are sent at once for the first time; two more that failed are
            beside them.
        most_pending: The most files that are queued; whoever adds one more waits.
        shutdown_seconds: Seconds that pending uploads have when the uploader is shut down.
        compression: What is done to a file on its way; the blob's name tells of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    container_name: Annotated[str, Field(min_length=3, max_length=63)]
    max_retries: int = Field(ge=0, le=100)
    retry_delay: float = Field(ge=0, le=LONGEST_PAUSE_SECONDS)
    uploads_at_once: int = Field(4, ge=1, le=64)
    most_pending: int = Field(10_000, ge=1, le=100_000)
    shutdown_seconds: float = Field(60.0, ge=0, le=3_600)
    compression: Compression = "none"


class AsyncBlobStorageUploader:
    """Uploads files in the background: `upload_file` queues one and returns the task that confirms it.

    A failed upload is tried again after a second, then after `retry_delay` seconds, then after twice as long
    each time; what the store refuses for good is not. Memory does not grow with the size of files.

    Args:
        account_url: The account's address; its identity is `credential`.
        container_name: See `UploaderOptions`, as for the next two.
        max_retries: See there.
        retry_delay: See there.
        connection_string: In the place of an address and an identity, as for the local platform.
        credential: The identity; `DefaultAzureCredential` where None.
        create_container: Whether the container is made where there is none.
        attempts: The container, in the place of an account.
        clock: The time.
        options: Further options by name, see `UploaderOptions`.

    Raises:
        ValidationError: An option is out of its bounds.
        ValueError: Neither an address nor a connection string is given, or both.
    """

    def __init__(  # noqa: PLR0913  # the document's signature, and what it has no need of by name
        self,
        account_url: str | None = None,
        container_name: str = "logs",
        max_retries: int = 16,
        retry_delay: float = 2.0,
        *,
        connection_string: str | None = None,
        credential: AsyncTokenCredential | None = None,
        create_container: bool = False,
        attempts: UploadAttempts | None = None,
        clock: Clock | None = None,
        **options: object,
    ) -> None:
        given = {"container_name": container_name, "max_retries": max_retries, "retry_delay": retry_delay}
        self.options = validate_input(
            lambda: UploaderOptions.model_validate(given | options), "uploader", "options"
        )
        if attempts is None and (account_url is None) == (connection_string is None):
            raise ValueError("an account_url or a connection_string")
        self._attempts = attempts
        account = BlobAccount(account_url, connection_string, credential)
        self._open_attempts = lambda: _open(
            self.options.container_name, account, create_container=create_container
        )
        self._clock = clock or SystemClock()
        self._room = asyncio.Semaphore(self.options.most_pending)
        self._places = asyncio.Semaphore(self.options.uploads_at_once)
        self._retry_places = asyncio.Semaphore(_RETRIES_AT_ONCE)
        self._stopping = asyncio.Event()
        self._pending: set[asyncio.Task[str]] = set()
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Return the uploader, ready for files."""
        await self.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut it down."""
        await self.shutdown()

    async def initialize(self) -> None:
        """Take files from now on, connecting when there is one; doing it again changes nothing."""
        if not self._is_open:
            self._attempts = self._attempts or await asyncio.to_thread(self._open_attempts)
            self._stopping.clear()
            self._is_open = True

    async def upload_file(
        self, file_path: str | PathLike[str], blob_name: str | None = None, app_name: str | None = None
    ) -> asyncio.Task[str]:
        """Queue a file, waiting only where very many are queued.

        Args:
            file_path: The file. What is appended to it from now on is not uploaded.
            blob_name: The blob's name; a blob of this name is replaced. Without it the file's name and a
                digest of its content, so that the same file is stored once, however often it is uploaded.
            app_name: Stands before the name, with a slash.

        Returns:
            The upload: awaited, it gives the blob's name once the store has confirmed all of it, or raises
            `DependencyUnavailableError` or `OSError`. Nobody has to await it.

        Raises:
            RuntimeError: The uploader is not initialized, or shut down.
            FileNotFoundError: There is no such file.
        """
        attempts = self._attempts
        if not self._is_open or attempts is None:
            raise RuntimeError("initialize() the uploader first")
        path = Path(file_path)
        state = await asyncio.to_thread(FileState.of, path)
        await self._room.acquire()
        task = spawn(self._upload(attempts, path, state, (app_name, blob_name)))
        self._pending.add(task)
        task.add_done_callback(self._note_end)
        return task

    def hurry(self) -> None:
        """Wait for nothing any more: uploads that failed are tried once more at once, and then no more."""
        self._stopping.set()

    async def shutdown(self) -> None:
        """Wait for pending uploads for some time, trying failed ones once more; then give up the rest."""
        self._is_open = False
        self.hurry()
        if self._pending:
            over = spawn(self._clock.sleep(self.options.shutdown_seconds))
            left = set(self._pending)
            while left and not over.done():
                await asyncio.wait({*left, over}, return_when=asyncio.FIRST_COMPLETED)
                left = {task for task in left if not task.done()}
            for task in (*left, over):
                task.cancel()
            await asyncio.gather(*left, over, return_exceptions=True)
        if self._attempts is not None:
            await self._attempts.close()

    def _note_end(self, task: asyncio.Task[str]) -> None:
        self._pending.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.warning(
                "A file was not uploaded", extra={"error": type(error).__name__, "reason": str(error)}
            )

    async def _upload(
        self, attempts: UploadAttempts, path: Path, state: FileState, names: tuple[str | None, str | None]
    ) -> str:
        app_name, blob_name = names
        name = blob_name
        if name is None:
            async with self._places:
                name = f"{path.name}.{await asyncio.to_thread(digest_file, path, state.size)}"
            name += SUFFIXES[self.options.compression]
        name = name if app_name is None else f"{app_name}/{name}"
        upload = FileUpload(path, name, state.size, self.options.compression, overwrite=blob_name is not None)
        failures = 0
        while True:
            try:
                async with self._retry_places if failures else self._places:
                    async with asyncio.timeout(_ATTEMPT_SECONDS + state.size / _SLOWEST_BYTES_PER_SECOND):
                        await attempts.put(upload)
            except (AttemptFailedError, TimeoutError) as error:
                await self._wait_after(error, failures)
                failures += 1
            else:
                return name

    async def _wait_after(self, error: AttemptFailedError | TimeoutError, failures: int) -> None:
        """Wait until the next attempt.

        Raises:
            DependencyUnavailableError: There is none.
            DependencyTimeoutError: There is none, and the last one took too long.
        """
        is_final = isinstance(error, AttemptFailedError) and error.is_final
        if is_final or failures >= self.options.max_retries or self._stopping.is_set():
            if isinstance(error, TimeoutError):
                raise DependencyTimeoutError(STORE, _ATTEMPT_SECONDS) from error
            raise DependencyUnavailableError(STORE, str(error)) from error
        asked = error.retry_after if isinstance(error, AttemptFailedError) else 0.0
        seconds = max(min(asked, LONGEST_PAUSE_SECONDS), self._plan_pause(failures))
        facts = {"failures": failures + 1, "pause_seconds": seconds, "error": str(error)}
        _logger.info("An upload is tried again", extra=facts)
        await pause(self._clock, seconds, self._stopping)

    def _plan_pause(self, failures: int) -> float:
        if failures == 0:
            return FIRST_RETRY_SECONDS
        doubled: float = min(self.options.retry_delay * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS)
        return doubled * random.uniform(0.75, 1.0)  # noqa: S311  # spreads load, protects nothing


def _open(container: str, account: BlobAccount, *, create_container: bool) -> UploadAttempts:
    from shared.blob.fresh_connections import FreshConnections  # noqa: PLC0415  # the SDK loads when first used

    return FreshConnections(container, account, create_container=create_container)
