"""Start a host on one of the apps and stop it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

APPS = Path(__file__).parent / "apps"
_ROOT = Path(__file__).parents[3]


@dataclass
class RunningHost:
    """A host process that answers."""

    process: subprocess.Popen[str]
    port: int
    stderr: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def wait_for_line(self, part: str) -> str:
        """Return the first line on stderr that holds `part`."""
        return wait_for(lambda: next((line for line in list(self.stderr) if part in line), None))


def wait_for[T](condition: Callable[[], T | None], seconds: float = 30) -> T:
    """Return what `condition` gives as soon as it is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError("the condition was not met")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what would lead an app elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("AZUREWEBJOBS")}
    return {**kept, "PYTHONPATH": str(_ROOT), **settings}


def command(app: str, data_dir: Path, *flags: str) -> list[str]:
    """Return the command line of a host."""
    return [
        *(sys.executable, "-m", "local.host", "--port", "0"),
        *("--data-dir", str(data_dir), "--app-root", str(APPS / app), *flags),
    ]


@contextmanager
def running_host(
    app: str, data_dir: Path, *flags: str, settings: Mapping[str, str] | None = None
) -> Iterator[RunningHost]:
    """Run a host until the block ends, and check that it stops cleanly."""
    process = subprocess.Popen(  # noqa: S603 -- our own command line
        command(app, data_dir, *flags),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(settings or {}),
        cwd=_ROOT,
    )
    host = RunningHost(process, 0)
    reader = threading.Thread(target=_collect, args=(process, host.stderr), daemon=True)
    reader.start()
    try:
        if process.stdout is None:
            raise RuntimeError("no stdout")
        line = process.stdout.readline()
        if not line.startswith("listening "):
            process.wait(30)
            raise RuntimeError(f"the host did not start: {''.join(host.stderr)}")
        host.port = int(json.loads(line.removeprefix("listening "))["port"])
        yield host
    finally:
        if process.poll() is None:
            process.terminate()
        code = process.wait(40)
        reader.join(10)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if code not in {0, -9}:  # a test may kill it
        raise RuntimeError(f"the host ended with {code}: {''.join(host.stderr)}")


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    if process.stderr is not None:
        lines.extend(process.stderr)
