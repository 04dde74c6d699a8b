"""Content of a file on its way to a blob: read in pieces, compressed where that is asked for."""

from __future__ import annotations

import asyncio
import hashlib
import os
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Executor
    from pathlib import Path

type Compression = Literal["none", "gzip"]

SUFFIXES: dict[Compression, str] = {"none": "", "gzip": ".gz"}
"""What compression adds to a blob's name."""

_PIECE_BYTES = 256 * 1024
_STREAMED_PIECE_BYTES = 1024 * 1024
_DIGEST_CHARACTERS = 32
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was at one moment: whatever is written to it later makes another state.

    Attributes:
        size: Its length in bytes.
        modified_ns: When it was last written to, in nanoseconds since 1970.
    """

    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Look at a file.

        Raises:
            FileNotFoundError: It is not there.
        """
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns)


class FileContent:
    """The first bytes of a file as a stream, which the blob SDK reads block by block.

    Args:
        file: Opened for reading, at its beginning.
        size: How many bytes of it are the content: what is appended meanwhile is not.
        compression: How it is compressed on the way.
        reader: The thread that waits for the disk, and compresses.
    """

    def __init__(self, file: IO[bytes], size: int, compression: Compression, reader: Executor) -> None:
        self._file = file
        self._reader = reader
        self._left = size
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP) if compression == "gzip" else None
        self._ready = bytearray()
        self._is_flushed = False
        self.length = None if self._deflate is not None else size
        """How many bytes the stream will give; None where only its end tells."""

    async def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, size)

    async def pieces(self, length: int) -> AsyncIterator[bytes]:
        """Go through the next bytes.

        Raises:
            OSError: The file has become shorter.
        """
        while length:
            piece = await self.read(min(length, _STREAMED_PIECE_BYTES))
            if not piece:
                raise OSError("the file has become shorter")
            length -= len(piece)
            yield piece

    def _read(self, size: int) -> bytes:
        if self._deflate is None:
            return self._take(size)
        while len(self._ready) < size and not self._is_flushed:
            piece = self._take(_PIECE_BYTES)
            self._ready += self._deflate.compress(piece) if piece else self._deflate.flush()
            self._is_flushed = not piece
        given = bytes(self._ready[:size])
        del self._ready[:size]
        return given

    def _take(self, size: int) -> bytes:
        piece = self._file.read(min(size, self._left))
        self._left = self._left - len(piece) if piece else 0
        return piece


def open_state(path: Path) -> tuple[IO[bytes], FileState]:
    """Open a file for reading, and look at it.

    Raises:
        FileNotFoundError: It is not there.
    """
    file = path.open("rb")
    found = os.fstat(file.fileno())
    return file, FileState(found.st_size, found.st_mtime_ns)


def digest_file(path: Path, size: int) -> str:
    """Return the SHA-256 of a file's first bytes, 128 bits of it in hexadecimal."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(size, _PIECE_BYTES) or 1))
    with path.open("rb", buffering=0) as file:
        left = size
        while left and (count := file.readinto(buffer[: min(len(buffer), left)])):
            digest.update(buffer[:count])
            left -= count
    return digest.hexdigest()[:_DIGEST_CHARACTERS]
