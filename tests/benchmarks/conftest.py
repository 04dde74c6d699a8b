"""Environments that peers live in: each is installed when a benchmark first compares with something in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"


def install(name: str, pins: Path) -> Path:
    """Install pins that cannot share the app's environment; return their Python."""
    subprocess.run([ROOT / "local" / "setup" / "peers.sh", name, pins], check=True)  # noqa: S603  # our own script
    return ROOT / ".tools" / name / "bin" / "python"


@pytest.fixture(scope="session")
def peer_python() -> Path:
    """Install the peers of the ledger and of prompts."""
    return install("peers", PEERS / "requirements.txt")


@pytest.fixture(scope="session")
def gateway_python() -> Path:
    """Install LiteLLM's proxy."""
    return install("gateway", PEERS / "gateway.txt")
