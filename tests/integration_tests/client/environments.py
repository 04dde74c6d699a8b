"""Empty environments with the wheel in them, one for each Python that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration_tests.platform import ROOT

VERSIONS = ("3.12", "3.13", "3.14")
_ALWAYS_THERE = "3.13"
"""The app's own Python: where CI has not even that, something is wrong with CI."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that knows nothing of this checkout."""

    folder: Path

    def run(self, *command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the environment's programs before all others."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(  # noqa: S603  # our own commands
            command,
            cwd=cwd,
            env={"PATH": path, "HOME": os.environ.get("HOME", str(cwd))} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def find_uv() -> str:
    """Return the uv that `make setup` has installed, or another one."""
    own = ROOT / ".tools" / "uv" / "bin" / "uv"
    found = str(own) if own.is_file() else shutil.which("uv")
    if found is None and not os.environ.get("CI"):
        pytest.skip("uv is not here: make setup installs it")
    assert found is not None, "CI has to have uv: make setup installs it"
    return found


def find_python(version: str) -> Path:
    """Return an interpreter of a version: uv's, one on the path, or pyenv's; skip where there is none."""
    asked = subprocess.run(  # noqa: S603  # uv, with fixed arguments
        [find_uv(), "python", "find", "--no-python-downloads", "--no-project", version],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0:
        return Path(asked.stdout.strip())
    roots = (os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv"))
    for root in roots:
        for python in sorted(Path(root).glob(f"versions/{version}.*/bin/python")) if root else ():
            return python
    if version == _ALWAYS_THERE and os.environ.get("CI"):
        pytest.fail(f"Python {version} is not here, and CI has to have it")
    pytest.skip(f"Python {version} is not here: uv python install {version}")


def build_wheel(folder: Path) -> Path:
    """Build the wheel as `make client` does; return it."""
    built = subprocess.run(  # noqa: S603  # our own script
        [ROOT / "local" / "setup" / "client.sh", folder],
        env=os.environ | {"PATH": f"{Path(find_uv()).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    skip_where_offline(built.stderr)
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip())


def new_environment(folder: Path, python: Path) -> Environment:
    """Make an environment with pip and nothing else."""
    made = subprocess.run(  # noqa: S603  # uv, with our own arguments
        [find_uv(), "venv", "--quiet", "--seed", "--no-project", "--python", python, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return Environment(folder)


def resolve(requirement: str, version: str, nowhere: Path) -> subprocess.CompletedProcess[str]:
    """Find what a requirement would install for a Python that need not be here; wheels alone count."""
    return subprocess.run(  # noqa: S603  # uv, with our own arguments
        [
            *(find_uv(), "pip", "install", "--dry-run", "--no-config", "--only-binary", ":all:"),
            *("--target", nowhere, "--python-version", version, requirement),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def skip_where_offline(said: str) -> None:
    """Skip where no package index answers, but in CI, which has one."""
    offline = (
        "Failed to establish a new connection",
        "name resolution",
        "error sending request",
        "dns error",
    )
    if not os.environ.get("CI") and any(words in said for words in offline):
        pytest.skip("no package index answers: installing needs one")
