"""Reports that the instances of one host leave for each other, so that each can answer for all of them."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from local.host.clock import sleep_unless

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from local.host.clock import Clock

_EVERY_SECONDS = 1.0
_STALE_SECONDS = 10.0
"""Older than this, a report is a dead instance's, and its process id somebody else's."""


class Board:
    """A folder with one small file for each instance.

    Args:
        folder: Shared by the instances.
        now: Seconds since the epoch, as the file system counts them.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._own = folder / f"{os.getpid()}.json"
        self._now = now

    def publish(self, report: Mapping[str, Any]) -> None:
        """Replace this instance's report; the file is replaced whole, so that nobody reads half of one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._own.with_suffix(".tmp")
        draft.write_text(json.dumps(report))
        draft.replace(self._own)

    def others(self) -> list[dict[str, Any]]:
        """Read the reports of the other instances that live."""
        return [
            report
            for path in sorted(self._folder.glob("*.json"))
            if path != self._own and (report := self._read(path)) is not None
        ]

    def leave(self) -> None:
        """Take this instance's report away."""
        self._own.unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            if self._now() - path.stat().st_mtime > _STALE_SECONDS or not _lives(path.stem):
                path.unlink(missing_ok=True)
                return None
            report: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:  # it left meanwhile
            return None
        return report


async def keep_publishing(
    board: Board, report: Callable[[], Mapping[str, Any]], stopped: asyncio.Event, clock: Clock
) -> None:
    """Publish this instance's report each second until `stopped` is set, and then take it away."""
    try:
        board.publish(report())
        while not await sleep_unless(stopped, clock, _EVERY_SECONDS):
            board.publish(report())
    finally:
        board.leave()


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
