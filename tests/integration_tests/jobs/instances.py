"""Instances of the app on one platform: which there are, their end, and what they left in the log."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Platform

COUNT = 2


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
        """Kill -9 one of them, and wait until it is gone; the supervisor starts another in its place.

        While it still dies the broker may give it a message, which is then nobody's until its lock ends.
        """
        os.kill(pid, signal.SIGKILL)
        self.killed.append(pid)
        wait_for(Path(f"/proc/{pid}").exists, lambda is_there: not is_there)

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
