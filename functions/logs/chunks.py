"""Chunks: the lines of one tenant and day out of one file, each a blob named by what is in it (ADR 56)."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLATFORM = "_platform"
"""The folder of lines that no tenant caused; no tenant id begins like it."""

MAX_CHUNK_BYTES = 17 * 1024 * 1024
"""The most that a chunk has uncompressed: a file of 16 MiB, and a line's length more."""

COMPRESSED = ".jsonl.gz"

_PARTS = 3
_LAST = "%H%M%S%f"
_NO_TIME = datetime.min.replace(tzinfo=UTC)
_DIGEST_CHARACTERS = 32
_MEMBER_BYTES = 256 * 1024
"""Lines that are compressed together: eight times what gzip looks back."""

_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 3


class UnreadableChunkError(Exception):
    """A blob that is no chunk: not compressed as its name says, or longer than any is."""


@dataclass(frozen=True, slots=True)
class BlobPath:
    """The name of a shipped blob within its container."""

    owner: str
    day: date
    name: str

    @classmethod
    def parse(cls, name: str) -> BlobPath:
        """Read a blob's name.

        Raises:
            ValueError: No shipper gave it.
        """
        parts = name.split("/")
        if len(parts) != _PARTS or not all(parts):
            raise ValueError(f"not a shipped blob's name: {name!r}")
        owner, day, last = parts
        parsed = date.fromisoformat(day)
        if parsed.isoformat() != day:
            raise ValueError(f"not a day: {day!r}")
        return cls(owner, parsed, last)

    def __str__(self) -> str:
        """Render the name."""
        return f"{self.owner}/{self.day.isoformat()}/{self.name}"


class ChunkWriter:
    """Chunk that is being written: its lines go to a file, its name is known when it ends.

    Args:
        path: The file; it is appended to, and open only while that is done.
        owner: The tenant's id, or `PLATFORM`.
        day: The UTC day of its lines.
        source: The name of the file that they are from.
    """

    def __init__(self, path: Path, owner: str, day: date, source: str) -> None:
        self.path = path
        self._owner = owner
        self._day = day
        self._digest = hashlib.sha256(source.encode() + b"\n")
        self._last = _NO_TIME
        self._buffer = bytearray()

    def append(self, line: bytes, at: datetime | None) -> None:
        """Add a line, which ends with a line feed, and was written at a time if it tells one."""
        if at is not None and at > self._last:
            self._last = at
        self._buffer += line
        if len(self._buffer) >= _MEMBER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered, as a member of its own; more lines may follow."""
        if self._buffer:
            self._digest.update(self._buffer)
            with self.path.open("ab") as file:
                file.write(zlib.compress(self._buffer, _LEVEL, _GZIP))
            self._buffer.clear()

    def finish(self) -> BlobPath:
        """Write what is left; return the chunk's name."""
        self.flush()
        last = "0" * 12 if self._last is _NO_TIME else self._last.strftime(_LAST)
        name = f"{last}-{self._digest.hexdigest()[:_DIGEST_CHARACTERS]}{COMPRESSED}"
        return BlobPath(self._owner, self._day, name)


def read_lines(path: BlobPath, content: bytes) -> Iterator[bytes]:
    """Go through the lines of a chunk, uncompressed by pieces.

    Raises:
        UnreadableChunkError: It is none; lines that came before may be one's.
    """
    if not path.name.endswith(COMPRESSED):
        yield from io.BytesIO(content)
        return
    left = MAX_CHUNK_BYTES
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as lines:
            while line := lines.readline(left + 1):
                left -= len(line)
                if left < 0:
                    raise UnreadableChunkError("longer than any chunk is")
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableChunkError("not what gzip wrote") from error
