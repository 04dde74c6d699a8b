"""Filling of a platform that runs, as `python -m local.demo` does it for a person."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.integration_tests.platform import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration_tests.platform import Platform

_FLAGS = {"app": "--port", "cosmos": "--cosmos-port", "servicebus": "--servicebus-port", "llm": "--llm-port"}


def fill(platform: Platform, data: Path, *, tenants: int) -> str:
    """Fill it with so many tenants; return what was said."""
    ports = [
        word for part, flag in _FLAGS.items() for word in (flag, platform.addresses[part].rpartition(":")[2])
    ]
    blobs = platform.addresses["blob"].rpartition("/")[0].rpartition(":")[2]
    command = [sys.executable, "-m", "local.demo", "--tenants", str(tenants), "--data-dir", str(data)]
    done = subprocess.run(  # noqa: S603  # our own command line
        [*command, *ports, "--azurite-port", blobs],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
