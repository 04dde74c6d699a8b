"""Splitting of a rotated file by tenant and day, a line at a time: memory does not grow with the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.logs.chunks import PLATFORM, ChunkWriter
from functions.logs.lines import LogLine

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from functions.logs.chunks import BlobPath

_LONGEST_LINE = 1024 * 1024
_MOST_BUFFERED = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that waits to be uploaded."""

    blob: BlobPath
    path: Path


class _Chunks:
    """All chunks of a file; together they buffer no more than `_MOST_BUFFERED`."""

    def __init__(self, directory: Path, source: str) -> None:
        self._directory = directory
        self._source = source
        self._writers: dict[tuple[str, date], ChunkWriter] = {}
        self._buffered = 0

    def append(self, owner: str, day: date, text: bytes, line: LogLine | None) -> None:
        key = (owner, day)
        writer = self._writers.get(key)
        if writer is None:
            path = self._directory / f"{len(self._writers)}.chunk"
            writer = self._writers[key] = ChunkWriter(path, owner, day, self._source)
        writer.append(text, None if line is None else line.at)
        self._buffered += len(text)
        if self._buffered >= _MOST_BUFFERED:
            self._buffered = 0
            for each in self._writers.values():
                each.flush()

    def finish(self) -> list[Chunk]:
        return [Chunk(writer.finish(), writer.path) for writer in self._writers.values()]


def split_file(source: Path, day: date, directory: Path) -> list[Chunk]:
    """Write the chunks of a file into `directory`, which is made.

    The same file always makes the same chunks, whoever splits it. What is no line of this app goes to the
    platform, with the day of the line before it, or the given one.
    """
    directory.mkdir()
    chunks = _Chunks(directory, source.name)
    with source.open("rb") as file:
        while text := file.readline(_LONGEST_LINE):
            line = LogLine.parse(text)
            owner = PLATFORM
            if line is not None:
                day = line.at.date()
                owner = line.tenant_id or PLATFORM
            chunks.append(owner, day, text if text.endswith(b"\n") else text + b"\n", line)
    return chunks.finish()
