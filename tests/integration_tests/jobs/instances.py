"""Instances of the app on one platform: which there are, their end, and what they left in the log."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Platform

COUNT = 2


def _is_dead(pid: int) -> bool:
    """Tell whether a process has ended, its connections closed."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


@dataclass
class Instances:
    """The instances of a platform.

    Attributes:
        platform: The platform.
        log: The file that has the lines of all of them.
        killed: The processes that were killed.
    """

    platform: Platform
    log: Path
    killed: list[int] = field(default_factory=list)

    def pids(self) -> list[int]:
        """Return the processes, the oldest first."""
        supervisor = self.platform.process.pid
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        return [
            pid for pid in map(int, children) if b"local.host" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def serving(self) -> list[int]:
        """Return those that serve, as they say themselves."""
        try:
            status = self.platform.client.get("/admin/host/status").json()
        except httpx.TransportError:
            return []
        said = {int(one["instanceId"]) for one in status.get("instances", [])}
        return [pid for pid in self.pids() if pid in said]

    def await_all(self) -> list[int]:
        """Wait until all of them serve."""
        return wait_for(self.serving, lambda pids: len(pids) == COUNT)

    def kill(self, pid: int) -> None:
        """Kill -9 one of them, and see it dead; the supervisor starts another in its place.

        A message that reaches a process in the moment of its death is in its hands: it comes back when its
        lock ends, as all do that the process held.
        """
        os.kill(pid, signal.SIGKILL)
        wait_for(partial(_is_dead, pid), bool)
        self.killed.append(pid)

    def kill_oldest(self) -> None:
        """Kill -9 the one that has lived longest, once all serve."""
        self.kill(self.await_all()[0])

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give the lines of the log that are the app's; one that a kill has cut is none."""
        for line in self.log.read_text().splitlines():
            _, brace, rest = line.partition("{")
            try:
                read = json.loads(brace + rest)
            except ValueError:
                continue
            if isinstance(read, dict):
                yield read
