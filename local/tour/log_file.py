"""The platform's log: a file for each run, and those of the last runs beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KEPT = 5


def rotate(path: Path) -> None:
    """Put the last run's file aside: `platform.log` becomes `platform.log.1`, and so on; five are kept."""
    if not path.exists() or path.stat().st_size == 0:
        return
    for number in range(_KEPT - 1, 0, -1):
        older = _numbered(path, number)
        if older.exists():
            older.replace(_numbered(path, number + 1))
    path.replace(_numbered(path, 1))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
