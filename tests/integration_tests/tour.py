"""`make run` and what it starts, on a terminal of its own, as a person has it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.integration_tests.platform import FREE_PORTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

STAYS_UP = "Ctrl-C stops everything."
_CTRL_C = b"\x03"
_SECONDS = 90.0
_ON_TERMINAL = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def options(data_dir: Path) -> list[str]:
    """Choose free ports and a folder that nobody else has."""
    return [*(word for option in FREE_PORTS for word in (option, "0")), "--data-dir", str(data_dir)]


@dataclass
class Terminal:
    """One command with the terminal that it runs on."""

    process: subprocess.Popen[bytes]
    master: int
    said: str = field(default="")

    def read_until(self, words: str) -> None:
        """Read what is shown until the words have come."""
        until = time.monotonic() + _SECONDS
        while words not in self.said:
            assert self._read(until), (
                f"it ended, or was silent for too long, before it said {words!r}:\n{self.said}"
            )

    def press_ctrl_c(self) -> int:
        """Interrupt it as a person does, and wait for its end."""
        os.write(self.master, _CTRL_C)
        until = time.monotonic() + _SECONDS
        while self._read(until):
            continue
        return self.process.wait(max(until - time.monotonic(), 1))

    def has_left_nothing(self) -> bool:
        """Tell whether no process of its session is there any more."""
        listed = subprocess.check_output(["ps", "-A", "-o", "pid=,sess=,stat="], text=True)  # noqa: S607  # any ps
        fields = [line.split() for line in listed.splitlines()]
        return not [
            pid for pid, session, state in fields if session == str(self.process.pid) and "Z" not in state
        ]

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(until - time.monotonic(), 0))
        try:
            read = os.read(self.master, 65_536) if ready else b""
        except OSError:  # Linux says so when nobody is left on the other side
            return False
        self.said += _ESCAPES.sub("", read.decode(errors="replace"))
        return bool(read)


@contextmanager
def on_terminal(command: Sequence[str], folder: Path) -> Iterator[Terminal]:
    """Run a command in a folder, as the leader of its session; what is left of it at the end is killed."""
    master, slave = os.openpty()
    process = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-c", _ON_TERMINAL, *command],
        cwd=folder,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=_environment(),
    )
    os.close(slave)
    terminal = Terminal(process, master)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        os.close(master)


def _environment() -> dict[str, str]:
    """Leave out a developer's own model and settings, and what make and coverage say to their children."""
    own = ("AZURE_OPENAI_", "TENANTRY_", "ADMIN_API_KEY", "MAKE", "MFLAGS", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)} | {
        "COLUMNS": "200"
    }
