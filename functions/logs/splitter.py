"""Splitting of a rotated file by tenant and day, a line at a time: memory does not grow with the file."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from cachetools import LRUCache

from functions.logs.lines import LogLine
from functions.logs.manifest import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shared.logging.files import RotatedName

_LONGEST_LINE = 1024 * 1024
_MOST_OPEN = 32


class _OpenFiles(LRUCache[str, IO[bytes]]):
    """Open files by blob name; the least recently used is closed to make room."""

    def popitem(self) -> tuple[str, IO[bytes]]:
        blob, file = super().popitem()
        file.close()
        return blob, file


class _PartFiles:
    """Files that are appended to by blob name; of many, only the last used are open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open = _OpenFiles(_MOST_OPEN)
        self.paths: dict[str, Path] = {}

    def append(self, blob: str, text: bytes) -> None:
        file = self._open.get(blob)
        if file is None:
            path = self.paths.setdefault(blob, self._directory / f"{len(self.paths)}.part")
            file = self._open[blob] = path.open("ab")
        file.write(text)

    def close(self) -> None:
        while self._open:
            self._open.popitem()


def split_file(source: Path, name: RotatedName, directory: Path) -> Mapping[str, Path]:
    """Write the parts of a file into `directory`; return them by the names of their blobs.

    The same file always makes the same parts, whoever splits it. What is no line of this app goes to the
    platform, with the day of the line before it.
    """
    directory.mkdir()
    parts = _PartFiles(directory)
    day = name.rotated_at.date().isoformat()
    try:
        with source.open("rb") as file:
            while text := file.readline(_LONGEST_LINE):
                line = LogLine.parse(text)
                owner = PLATFORM
                if line is not None:
                    day = line.at.date().isoformat()
                    owner = line.tenant_id or PLATFORM
                ended = text if text.endswith(b"\n") else text + b"\n"
                parts.append(f"{owner}/{day}/{name.stem}.jsonl", ended)
    finally:
        parts.close()
    return parts.paths
