"""One local platform per data folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_POLL_SECONDS = 0.1
_PRIVATE = 0o700


class DataFolderError(Exception):
    """The data folder cannot be worked on."""


class DataFolderInUseError(DataFolderError):
    """Another local platform works on the data folder."""


@asynccontextmanager
async def locked(data_dir: Path, patience_seconds: float = 20.0) -> AsyncIterator[int]:
    """Hold the data folder and give the lock's descriptor.

    The parts inherit it, so that it is free only when the last of them has ended. When a supervisor was
    killed, its parts are still on their way out: this waits for them, but not for a supervisor that lives.

    Raises:
        DataFolderInUseError: It stays in use.
        DataFolderError: It cannot be written to.
    """
    descriptor = _opened(data_dir)
    try:
        deadline = asyncio.get_running_loop().time() + patience_seconds
        while not _taken(descriptor):
            holder = os.pread(descriptor, 32, 0).decode().strip()
            if _alive(holder) or asyncio.get_running_loop().time() > deadline:
                raise DataFolderInUseError(
                    f"{data_dir} is in use by another local platform (process {holder or 'unknown'})"
                )
            await asyncio.sleep(_POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(data_dir: Path) -> bool:
    """Tell whether a platform, or what is left of one, holds the data folder."""
    descriptor = _opened(data_dir)
    try:
        return not _taken(descriptor)
    finally:
        os.close(descriptor)


def _opened(data_dir: Path) -> int:
    try:
        make_private(data_dir)
        return os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataFolderError(
            f"{data_dir} cannot be written to ({error.strerror}): choose another one (--data-dir)"
        ) from error


def make_private(data_dir: Path) -> None:
    """Make a data folder that nobody else can read; one that was made for everybody becomes so, too."""
    data_dir.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    # A folder of somebody's own that holds other things is theirs to open and close.
    is_ours = (data_dir / "lock").exists() or not any(data_dir.iterdir())
    found = data_dir.stat()
    if is_ours and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) != _PRIVATE:
        data_dir.chmod(_PRIVATE)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
