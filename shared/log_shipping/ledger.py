"""Ledger of the files that were shipped and are kept for some time: durable, and shared by processes."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from shared.blob.file_content import FileState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shared.log_shipping.rotated_files import RotatedFile

_SLACK_LINES = 100


class ShippingLedger:
    """One line per shipped file, appended and flushed to the disk before the file counts as shipped.

    Args:
        path: Where it is; made with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, FileState]:
        """Return the states in which files were shipped, by their names; a torn line counts for nothing."""
        states: dict[str, FileState] = {}
        with suppress(FileNotFoundError), self._path.open("rb") as lines:
            for line in lines:
                with suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    states[str(entry["file"])] = FileState(int(entry["size"]), int(entry["modified_ns"]))
        return states

    def add(self, file: RotatedFile, blob: str) -> None:
        """Note that a file was shipped as a blob."""
        entry = {
            "file": file.name,
            "size": file.state.size,
            "modified_ns": file.state.modified_ns,
            "blob": blob,
        }
        with self._locked() as lines:
            # After a line that a crash has cut: what is appended must not become a part of it.
            lines.write(b"\n" + json.dumps(entry).encode() + b"\n")
            lines.flush()
            os.fsync(lines.fileno())

    def compact(self, names: set[str]) -> None:
        """Forget the files that are gone, once there are many lines of such."""
        with suppress(FileNotFoundError):
            if self._path.stat().st_size == 0:
                return
            with self._path.open("rb") as lines:
                count = sum(1 for line in lines if line.strip())
            if count <= 2 * len(names) + _SLACK_LINES:
                return
            with self._locked() as kept:
                self._rewrite(kept, names)

    def _rewrite(self, former: IO[bytes], names: set[str]) -> None:
        former.seek(0)
        temporary = self._path.with_name(f"{self._path.name}.new")
        with temporary.open("wb") as lines:
            for line in former:
                with suppress(ValueError, KeyError, TypeError):
                    if json.loads(line)["file"] in names:
                        lines.write(line)
            lines.flush()
            os.fsync(lines.fileno())
        temporary.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        """Hold the ledger alone; the file is the one at its path, not one that was just replaced."""
        while True:
            with self._path.open("a+b") as lines:
                fcntl.flock(lines, fcntl.LOCK_EX)
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lines.fileno()), self._path.stat()):
                        yield lines
                        return
