"""Log files: one per process, locked while it lives, renamed when it is full or its day is over.

The lock tells a living writer from a dead one exactly, where a process id may have been given to another.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
"""A file is rotated when it would grow beyond this, and when its day (UTC) is over."""

_logger = logging.getLogger(__name__)
_DAY_SECONDS = 86_400
_STAMP = "%Y%m%dT%H%M%S%fZ"
_ROTATED = re.compile(r"(?P<stem>[a-z0-9][a-z0-9-]*\.(?P<stamp>\d{8}T\d{12}Z))\.jsonl")


def instance_name() -> str:
    """Name this process among those that may share a folder: its host and its process id."""
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-") or "host"
    return f"{host}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class RotatedName:
    """The name of a rotated file.

    Attributes:
        stem: The name without its suffix: application, instance and time of rotation.
        rotated_at: When it was rotated.
    """

    stem: str
    rotated_at: datetime

    @classmethod
    def parse(cls, name: str) -> RotatedName | None:
        """Read a file's name; None where it is no rotated file's."""
        match = _ROTATED.fullmatch(name)
        if match is None:
            return None
        try:
            rotated_at = datetime.strptime(match["stamp"], _STAMP).replace(tzinfo=UTC)
        except ValueError:
            return None
        return cls(match["stem"], rotated_at)


class InstanceFileHandler(logging.Handler):
    """Writes lines to this process's file, which is opened with the first line.

    Args:
        directory: Where log files are; made when it is needed.
        app: The application's name.
        instance: This process's name.
        max_bytes: The size that a file does not exceed.
    """

    def __init__(self, directory: Path, app: str, instance: str, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self.path = directory / f"{app}-{instance}.log"
        self._max_bytes = max_bytes
        self._stream: IO[bytes] | None = None
        self._written = 0
        self._day = 0
        self.on_rotated: Callable[[], None] | None = None
        """Told, in whatever thread writes, that a file was set aside because it was full or its day over."""

        self.failure: str | None = None
        """Error that keeps lines out of the file, as the last line met it; None while they are written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, rotating first where that is due."""
        try:
            line = (self.format(record) + "\n").encode()
            day = int(record.created // _DAY_SECONDS)
            self._rotate_if_due(day, len(line))
            if self._stream is None:
                self._stream = self._open()
                self._written = 0
                self._day = day
            self._stream.write(line)
            self._stream.flush()
            self._written += len(line)
        except OSError as error:
            self._note_failure(error)
        except (ValueError, TypeError):
            self.handleError(record)
        else:
            self._note_success()

    def rotate(self) -> Path | None:
        """Set the current file aside if it has lines; return its new name."""
        with self._guard():
            return self._rotate()

    def close(self) -> None:
        """Close the file, which also gives up its lock."""
        with self._guard():
            self._release()
        super().close()

    def _note_failure(self, error: OSError) -> None:
        """Log once that lines are lost: a traceback for each would flood the other handlers."""
        with suppress(OSError):
            self._release()  # the next line tries to open the file anew
        is_new, self.failure = self.failure is None, error.strerror or type(error).__name__
        if is_new:
            facts = {"file": self.path.name, "error": type(error).__name__, "reason": self.failure}
            _logger.error("Log lines are not kept in the file", extra=facts)

    def _note_success(self) -> None:
        if self.failure is not None:
            self.failure = None
            _logger.warning("Log lines are kept in the file again", extra={"file": self.path.name})

    def _guard(self) -> _HandlerLock:
        return _HandlerLock(self)

    def _rotate_if_due(self, day: int, size: int) -> None:
        if self._stream is None or not self._written:
            return
        if day != self._day or self._written + size > self._max_bytes:
            self._rotate()
            if self.on_rotated is not None:
                self.on_rotated()

    def _rotate(self) -> Path | None:
        if self._stream is None or not self._written:
            return None
        rotated = _set_aside(self.path)
        self._release()
        return rotated

    def _release(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self) -> IO[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            stream = self.path.open("ab")
            fcntl.flock(stream, fcntl.LOCK_EX)
            # Between opening and locking somebody may have taken the file for abandoned. One with lines
            # in it is that of a dead process with this one's id, whose last line may be cut.
            if _is_at(stream, self.path):
                if os.fstat(stream.fileno()).st_size == 0:
                    return stream
                _set_aside(self.path)
            stream.close()


class _HandlerLock:
    """The handler's own lock as a block."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler

    def __enter__(self) -> None:
        self._handler.acquire()

    def __exit__(self, *_: object) -> None:
        self._handler.release()


class FileLockedError(Exception):
    """Another process has the file."""


def lock_alone(path: Path) -> IO[bytes]:
    """Have a file alone until what is returned is closed, or this process ends in whatever way.

    Raises:
        FileLockedError: Another process has it.
        FileNotFoundError: It is not there any more.
    """
    stream = path.open("r+b")  # network file systems lock only what may be written to
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        raise FileLockedError(path.name) from error
    if _is_at(stream, path):
        return stream
    stream.close()
    raise FileNotFoundError(path)


def adopt_abandoned(directory: Path) -> list[Path]:
    """Set aside the files whose writers are gone; return their new names. Empty ones are removed."""
    adopted: list[Path] = []
    for path in sorted(directory.glob("*.log")):
        try:
            rotated = _adopt(path)
        except FileNotFoundError:
            continue  # another process adopted it
        if rotated is not None:
            adopted.append(rotated)
    return adopted


def _adopt(path: Path) -> Path | None:
    with path.open("a", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None  # its writer lives
        if not _is_at(stream, path):
            return None  # another process adopted it
        if os.fstat(stream.fileno()).st_size == 0:
            path.unlink()
            return None
        return _set_aside(path)


def _is_at(stream: IO[Any], path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(stream.fileno()), found)


def _set_aside(path: Path) -> Path:
    at = datetime.now(UTC)
    while (rotated := path.with_name(f"{path.stem}.{at.strftime(_STAMP)}.jsonl")).exists():
        at += timedelta(microseconds=1)  # the clock was set back: a rename would replace the file
    return path.rename(rotated)
