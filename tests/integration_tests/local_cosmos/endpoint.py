"""Starts the endpoint as the process that it is in use, and kills it when asked to."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFINITION = Path("infra/cosmos.json")
STOP_S = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint."""

    port: int
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def kill(self) -> None:
        """End it without a chance to clean up."""
        self.process.kill()
        self.process.wait(STOP_S)


@contextlib.contextmanager
def running_endpoint(
    data_dir: Path, *options: str, definition: Path | None = DEFINITION
) -> Iterator[Endpoint]:
    """Run the endpoint while the block runs; it stops because its stdin ends."""
    command = [sys.executable, "-m", "local.cosmos", "--port", "0", "--data-dir", str(data_dir), *options]
    if definition is not None:
        command += ["--definition", str(definition)]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            word, _, details = process.stdout.readline().partition(" ")
            assert word == "listening", f"the endpoint did not start: exit code {process.wait(STOP_S)}"
            yield Endpoint(json.loads(details)["port"], process)
        finally:
            process.stdin.close()
            process.wait(STOP_S)
