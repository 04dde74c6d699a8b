"""The environment that peers live in: installed when a benchmark first compares with one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def peer_python() -> Path:
    """Install the peers, whose pins cannot share the app's environment; return their Python."""
    subprocess.run([ROOT / "local" / "setup" / "peers.sh"], check=True)  # noqa: S603  # our own script
    return ROOT / ".tools" / "peers" / "bin" / "python"
