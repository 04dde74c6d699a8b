"""The stand-in model as a part of the platform."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.platform import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def run_part(tmp_path: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # our own command line
        [sys.executable, "-m", "local.llm", "--port", str(port), "--data-dir", str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_taken_port_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with run_part(tmp_path, taken.getsockname()[1]) as process:
            _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert len(said.splitlines()) == 1
    assert "already in use" in said


@pytest.mark.parametrize("how", ["told", "orphaned"])
def test_it_stops_when_told_and_when_its_supervisor_is_gone(tmp_path: Path, how: str) -> None:
    with run_part(tmp_path, 0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening ")
        if how == "told":
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
        assert process.wait(30) == 0
