"""Rotated log files: those that nobody writes to any more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from stat import S_ISREG
from typing import TYPE_CHECKING

from shared.blob.file_content import FileState
from shared.logging.files import RotatedName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUIET_SECONDS = 5.0
"""A file that was written to more recently may still be."""

_DATED = re.compile(
    r"(?P<base>.+)[._-](?P<day>\d{4}-\d{2}-\d{2})(?P<time>_\d{2}(?:-\d{2}){0,2})?(?P<suffix>(?:\.[A-Za-z]\w{0,7}){0,2})"
)
"""`app.log.2026-01-30`, as `TimedRotatingFileHandler` names files, and `app_2026-01-30.log`, as namers do."""


@dataclass(frozen=True, slots=True)
class RotatedFile:
    """A file that is complete."""

    path: Path
    state: FileState

    @property
    def name(self) -> str:
        """Its name in its folder."""
        return self.path.name


def find_rotated(directory: Path, now: datetime) -> list[RotatedFile]:
    """Find the rotated files of a folder, the longest unchanged first; none where there is no folder."""
    if not directory.is_dir():
        return []
    found = list(_find(directory, now))
    return sorted(found, key=lambda file: (file.state.modified_ns, file.name))


def _find(directory: Path, now: datetime) -> Iterator[RotatedFile]:
    for path in directory.iterdir():
        is_ours = RotatedName.parse(path.name) is not None
        dated = None if is_ours else _DATED.fullmatch(path.name)
        if not is_ours and dated is None:
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if not S_ISREG(status.st_mode):
            continue
        if dated is not None and _may_be_written_to(directory, dated, status.st_mtime, now):
            continue
        yield RotatedFile(path, FileState(status.st_size, status.st_mtime_ns))


def _may_be_written_to(directory: Path, dated: re.Match[str], modified: float, now: datetime) -> bool:
    """Tell whether a file that another program named may grow still.

    A handler that writes one file per day has today's open, and no file without the day beside it.
    """
    if now.timestamp() - modified < QUIET_SECONDS:
        return True
    is_rotated = not dated["suffix"] and (directory / dated["base"]).exists()
    if dated["time"] is not None or is_rotated:
        return False
    days = {now.astimezone(UTC).date().isoformat(), now.astimezone().date().isoformat()}
    return dated["day"] in days
