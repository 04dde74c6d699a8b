"""The app's package: the files that .funcignore leaves, with bytecode, as a zip that is always the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
HOME = "/home/site/wwwroot"
"""Where Azure unpacks it: tracebacks name files there."""

_FILE_MODE = 0o100644 << 16
_EARLIEST = 315_532_800
"""1980, the earliest time that a zip can hold, in seconds since 1970."""


def list_files(root: Path) -> list[str]:
    """Name the files of a checkout that .funcignore leaves, sorted; what git ignores is not asked.

    Raises:
        subprocess.CalledProcessError: Git refuses.
    """
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", f"--git-dir={folder}/git", f"--work-tree={root}"]
        subprocess.run([*git, "init", "--quiet"], check=True)  # noqa: S603  # git, with words of our own
        listed = subprocess.run(  # noqa: S603  # same
            [*git, "ls-files", "-z", "--others", f"--exclude-from={root / '.funcignore'}"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        )
    return sorted(name for name in listed.stdout.split("\0") if name)


def copy_files(root: Path, names: Sequence[str], target: Path) -> None:
    """Copy files into a folder that gets nothing else."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target / name)


def compile_files(folder: Path) -> None:
    """Write bytecode beside each module, which is taken as it is: Azure's folder cannot be written to.

    Raises:
        subprocess.CalledProcessError: A module does not compile.
    """
    options = ["-q", "-s", str(folder), "-p", HOME, "--invalidation-mode", "unchecked-hash"]
    subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-m", "compileall", *options, str(folder)],
        check=True,
        env={"PYTHONHASHSEED": "0", "PATH": os.defpath},
    )


def write_zip(folder: Path, target: Path, epoch: int) -> None:
    """Write a folder's files as a zip: sorted, of one time and one mode.

    Args:
        folder: The files.
        target: The zip.
        epoch: The time of each of them, in seconds since 1970.
    """
    stamp = time.gmtime(max(epoch, _EARLIEST))[:6]
    with zipfile.ZipFile(target, "w") as written:
        for path in sorted(folder.rglob("*"), key=lambda one: one.relative_to(folder).as_posix()):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), stamp)
                entry.external_attr = _FILE_MODE
                entry.create_system = 3  # what a mode is for
                written.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def build_package(root: Path, target: Path, epoch: int) -> None:
    """Write the app's package."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_files(root, list_files(root), folder)
        compile_files(folder)
        write_zip(folder, target, epoch)
