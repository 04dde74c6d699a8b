"""A container in memory that fails and waits as it is told."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from shared.blob.attempts import AttemptFailedError
from shared.blob.file_content import FileContent, open_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from shared.blob.attempts import FileUpload


async def until(holds: Callable[[], object]) -> None:
    """Let others go on until something holds."""
    while not holds():  # noqa: ASYNC110  # threads have a part in it
        await asyncio.sleep(0)


class MemoryContainer:
    """Blobs by name; uploads whose name contains one of `failing` fail.

    Attributes:
        failing: What they fail with, by a part of the name; the error is raised each time.
        before: Awaited before each attempt, with the blob's name.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.failing: dict[str, AttemptFailedError] = {}
        self.attempts: Counter[str] = Counter()
        self.writes: list[str] = []
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.sending = self.most_sending = 0
        self.closed = 0
        self._reader = ThreadPoolExecutor(1)

    def fail(self, part: str, *, is_final: bool = False, retry_after: float = 0.0) -> None:
        """Let uploads fail from now on."""
        self.failing[part] = AttemptFailedError("does not answer", is_final=is_final, retry_after=retry_after)

    async def put(self, upload: FileUpload) -> None:
        self.attempts[upload.name] += 1
        self.sending += 1
        self.most_sending = max(self.most_sending, self.sending)
        try:
            if self.before is not None:
                await self.before(upload.name)
            for part, error in self.failing.items():
                if part in upload.name:
                    raise error
            file, _ = await asyncio.to_thread(open_state, upload.path)
            with file:
                content = FileContent(file, upload.size, upload.compression, self._reader)
                sent = b"".join([piece async for piece in _pieces(content)])
            if upload.overwrite or upload.name not in self.blobs:
                self.writes.append(upload.name)
                self.blobs[upload.name] = gzip.decompress(sent) if upload.compression == "gzip" else sent
        finally:
            self.sending -= 1

    async def close(self) -> None:
        self.closed += 1


async def _pieces(content: FileContent) -> AsyncIterator[bytes]:
    while piece := await content.read(1_000):
        yield piece
