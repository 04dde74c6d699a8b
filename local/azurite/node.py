"""Finds what Azurite runs on: Node, and the packages that npm installed beside this file."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

OLDEST_NODE = 20
PACKAGE_FOLDER = Path(__file__).parent


class NotInstalledError(Exception):
    """Something that Azurite needs is not on this machine; the message says how to get it."""


def find_node(search_path: str | None = None) -> str:
    """Find a Node that is new enough; `search_path` stands for PATH.

    Raises:
        NotInstalledError: There is none, or it is too old.
    """
    how = f"Azurite needs Node {OLDEST_NODE} or newer: `apt install nodejs npm`, `brew install node` or https://nodejs.org"
    node = shutil.which("node", path=search_path)
    if node is None:
        raise NotInstalledError(f"Node is not on PATH. {how}")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - found on PATH, no shell
    version = re.match(r"v(\d+)\.", said.stdout)
    if version is None:
        raise NotInstalledError(f"{node} does not say its version ({said.stderr.strip()}). {how}")
    if int(version[1]) < OLDEST_NODE:
        raise NotInstalledError(f"{node} is Node {said.stdout.strip().lstrip('v')}, which is too old. {how}")
    return node


def find_launcher(folder: Path = PACKAGE_FOLDER) -> Path:
    """Find the script that runs Azurite, once npm has installed what it requires.

    Raises:
        NotInstalledError: `npm ci` was not run there.
    """
    if not (folder / "node_modules" / "azurite" / "package.json").is_file():
        raise NotInstalledError(f"Azurite is not installed: `make setup`, or `npm ci --prefix {folder}`")
    return folder / "launch.cjs"
