"""Copy of the tree in another folder, set up as this one is: what runs there changes nothing here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARIES = "functions/console/static/vendor"
"""Where the set-up puts what the console is built on."""

JUDGE = "tests/integration_tests/console/axe/node_modules"
"""Where the set-up puts what judges the console's pages."""

_STAMPS = {
    "packages": ("uv.lock", "pyproject.toml", ".python-version"),
    "azurite": ("local/azurite/package-lock.json",),
    "axe": ("tests/integration_tests/console/axe/package-lock.json",),
    "console": ("local/setup/console/SHA256SUMS",),
}
"""What `local/setup/prepare.sh` has done, by the files that it was done for."""


def copy_tree(target: Path) -> Path:
    """Copy what git knows or would add, and link what the set-up has installed."""
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in listed:
        source = ROOT / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)
    _link_installed(target)
    subprocess.run(["git", "init", "--quiet", "."], cwd=target, check=True)  # noqa: S607  # whichever git
    return target


def contents(folder: Path) -> dict[str, bytes]:
    """Read each file that was copied, by its path."""
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return {name: (folder / name).read_bytes() for name in listed if (folder / name).is_file()}


def _link_installed(target: Path) -> None:
    environment = Path(sys.prefix)
    _link(target / ".venv", environment)
    _link(target / "local" / "azurite" / "node_modules", ROOT / "local" / "azurite" / "node_modules")
    link_ranks(target)
    link_libraries(target)
    _link(target / JUDGE, ROOT / JUDGE)
    (target / ".tools").mkdir()
    _link(target / ".tools" / "uv", environment.resolve().parent / ".tools" / "uv")
    stamp(target)


def link_ranks(target: Path) -> None:
    """Link the tokenizers' ranks, which the set-up has put beside the code."""
    for ranks in (ROOT / "shared" / "llm" / "ranks").iterdir():
        _link(target / "shared" / "llm" / "ranks" / ranks.name, ranks)


def link_libraries(target: Path) -> None:
    """Link the console's libraries, file by file: what is released is files."""
    (target / LIBRARIES).mkdir(parents=True, exist_ok=True)
    for library in (ROOT / LIBRARIES).iterdir():
        _link(target / LIBRARIES / library.name, library)


def stamp(target: Path) -> None:
    """Say that the set-up has been done for the files as they are now."""
    stamps = target / ".tools" / "stamps"
    stamps.mkdir(exist_ok=True)
    for name, files in _STAMPS.items():
        text = b"".join((target / file).read_bytes() for file in files)
        (stamps / name).write_bytes(subprocess.check_output(["cksum"], input=text))  # noqa: S607  # any cksum
    (stamps / "ranks").touch()


def _link(path: Path, to: Path) -> None:
    if to.exists() and not path.exists():
        path.symlink_to(to)


def _run(*command: str) -> str:
    return subprocess.check_output(command, cwd=ROOT, text=True)  # noqa: S603  # git, with words of our own
