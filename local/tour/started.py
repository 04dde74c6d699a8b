"""A platform that a command starts for itself, and stops with itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from local.supervisor.lock import is_locked
from local.supervisor.options import ROOT
from local.tour.log_file import rotate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import FrameType

LOG_FILE = "platform.log"

_READY = "ready "
_NOTICE = "local: "
_LAST_LINES = 4
"""A reason why the app does not start, two lines of Azurite's stopping, and the platform's own last one."""


@dataclass(frozen=True, slots=True)
class StartedPlatform:
    """`python -m local` as a child of this process.

    Attributes:
        process: The child.
        log_file: Where it and the app say what they say.
        began: Where in that file this run begins.
        stopping: Set when somebody has asked for its end.
    """

    process: subprocess.Popen[str]
    log_file: Path
    began: int
    stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def start(cls, arguments: Sequence[str], data_dir: Path) -> Self:
        """Start it with its options; signals to stop are passed on to it from here on.

        Raises:
            DataFolderError: The folder cannot be worked on.
            OSError: Its log cannot be written.
        """
        log_file = data_dir / LOG_FILE
        if not is_locked(data_dir):
            rotate(log_file)
        with log_file.open("a") as log:
            began = log.tell()
            process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-m", "local", *arguments, "--until-stdin-ends"],
                cwd=ROOT,
                stdin=subprocess.PIPE,  # it ends with this process, however that ends
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        started = cls(process, log_file, began)
        started._pass_signals_on()
        return started

    def wait_until_ready(self) -> Mapping[str, str] | None:
        """Return the addresses of its parts; None where it ended before it was ready."""
        for line in self.process.stdout or ():
            if line.startswith(_READY):
                addresses: dict[str, str] = json.loads(line.removeprefix(_READY))
                return addresses
        return None

    def notices(self) -> list[str]:
        """Return what it said about settings that somebody made."""
        lines = self._read_log().splitlines()
        return [line.removeprefix(_NOTICE) for line in lines if line.startswith(_NOTICE)]

    def wait_for_end(self) -> int:
        """Wait for its end, say why it was where nobody has asked for it, and return its exit code."""
        code = self.process.wait()
        if not self.stopping.is_set():
            sys.stderr.writelines(self._read_log().splitlines(keepends=True)[-_LAST_LINES:])
            print(f"All that was said before is in {self.log_file}", file=sys.stderr)
        return code

    def stop(self) -> None:
        """Ask it to end."""
        self.stopping.set()
        self.process.send_signal(signal.SIGTERM)

    def _read_log(self) -> str:
        return self.log_file.read_bytes()[self.began :].decode(errors="replace")

    def _pass_signals_on(self) -> None:
        def pass_on(number: int, _: FrameType | None) -> None:
            # A terminal's Ctrl-C has reached it by itself, and a second signal would mean: at once.
            if not self.stopping.is_set() and not (number == signal.SIGINT and sys.stdin.isatty()):
                self.process.send_signal(number)
            self.stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, pass_on)
