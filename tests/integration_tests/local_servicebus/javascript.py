"""Node with npm's `@azure/service-bus`, installed when a test first asks for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("node")


def find_node() -> str:
    """Give the path of Node, with the SDK beside the programs; skip the test where there is none."""
    executable, npm = shutil.which("node"), shutil.which("npm")
    if executable is None or npm is None:
        pytest.skip("Node and npm are not installed")
    if not (FOLDER / "node_modules" / "@azure" / "service-bus").is_dir():
        installed = subprocess.run(  # noqa: S603 - what which() found
            [npm, "ci", "--no-audit", "--no-fund"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        if installed.returncode != 0:
            pytest.skip(f"npm cannot install @azure/service-bus: {installed.stderr.strip()[-300:]}")
    return executable


def run_program(name: str, *arguments: str) -> str:
    """Run one of the programs; return what it prints."""
    done = subprocess.run(  # noqa: S603 - what which() found
        [find_node(), str(FOLDER / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
