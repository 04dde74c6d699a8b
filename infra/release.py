"""`python -m infra.release`: the app, the client, the list of parts and their sums, the same each time."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.package import ROOT, build_package

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RANKS = 2
"""Files of tokenizers' ranks that the set-up puts into the package."""

_OUR_PARTS = uuid.UUID("6c8a9d5e-3f0b-5b7e-9a55-0d6f3a1c2b44")


class ReleaseError(Exception):
    """A release that would not be what it says."""


def read_version(root: Path) -> str:
    """Return the version of the app, which its parts have, too.

    Raises:
        ReleaseError: They differ.
    """
    versions = {
        file: _search(root / file, pattern)
        for file, pattern in {
            "shared/version.py": r'VERSION: Final = "([^"]+)"',
            "tenantry_client/version.py": r'VERSION: Final = "([^"]+)"',
            "pyproject.toml": r'(?m)^version = "([^"]+)"',
        }.items()
    }
    if len(set(versions.values())) != 1:
        raise ReleaseError(f"the versions differ: {versions}")
    return versions["shared/version.py"]


def _search(file: Path, pattern: str) -> str:
    found = re.search(pattern, file.read_text(encoding="utf-8"))
    if found is None:
        raise ReleaseError(f"{file.name} has no version")
    return found[1]


def check_changelog(root: Path, version: str, tag: str | None) -> None:
    """Check that the changelog has a section for the version, and a day once it is tagged.

    Raises:
        ReleaseError: It has none, or the tag is another version's.
    """
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(rf"(?m)^## \[{re.escape(version)}\](.*)$", text)
    if heading is None:
        raise ReleaseError(f"CHANGELOG.md has no section [{version}]")
    if tag is not None and tag != f"v{version}":
        raise ReleaseError(f"the tag is {tag}, and the version {version}")
    if tag is not None and not re.fullmatch(r" - 20\d\d-[01]\d-[0-3]\d", heading[1]):
        raise ReleaseError(f"CHANGELOG.md: write the day behind [{version}], as ' - 2027-01-31'")


def find_epoch(root: Path, environment: Mapping[str, str]) -> int:
    """Return the time that all files get: SOURCE_DATE_EPOCH, or the last commit's.

    Raises:
        ReleaseError: There is neither.
    """
    given = environment.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"],  # noqa: S607  # whichever git
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ReleaseError("no commit tells the time of the files: set SOURCE_DATE_EPOCH")
    return int(done.stdout)


def build_client(root: Path, out: Path, epoch: int) -> Path:
    """Build the client's wheel.

    Raises:
        ReleaseError: It cannot be built.
    """
    done = subprocess.run(  # noqa: S603  # our own script
        [root / "local" / "setup" / "client.sh", out],
        env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ReleaseError(f"the client was not built: {done.stderr.strip()}")
    return Path(done.stdout.split()[-1])


def find_uv(root: Path) -> str:
    """Return the uv that `make setup` has installed, or another one.

    Raises:
        ReleaseError: There is none.
    """
    own = root / ".tools" / "uv" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        raise ReleaseError("uv is missing, run make setup")
    return found


def list_parts(root: Path, version: str, epoch: int) -> dict[str, Any]:
    """Return the parts that the app is deployed with, in the form of CycloneDX, as the lock has them.

    Raises:
        ReleaseError: The lock cannot be read.
    """
    done = subprocess.run(  # noqa: S603  # uv, with words of our own
        [
            *(find_uv(root), "export", "--quiet", "--frozen", "--no-default-groups"),
            *("--format", "cyclonedx1.5", "--preview-features", "sbom-export"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ReleaseError(f"the parts were not listed: {done.stderr.strip()}")
    parts: dict[str, Any] = json.loads(done.stdout)
    lock = hashlib.sha256((root / "uv.lock").read_bytes()).hexdigest()
    parts["serialNumber"] = f"urn:uuid:{uuid.uuid5(_OUR_PARTS, f'{version} {lock}')}"
    parts["metadata"]["timestamp"] = datetime.fromtimestamp(epoch, UTC).isoformat()
    return parts


def build(root: Path, out: Path, tag: str | None, environment: Mapping[str, str]) -> list[Path]:
    """Build everything into a folder, with the sums of it.

    Raises:
        ReleaseError: The release would not be what it says.
    """
    version = read_version(root)
    check_changelog(root, version, tag)
    ranks = [file for file in (root / "shared" / "llm" / "ranks").iterdir() if file.suffix != ".md"]
    if len(ranks) != RANKS:
        raise ReleaseError("the tokenizers' ranks are not in shared/llm/ranks: make setup")
    if not (root / "functions" / "console" / "static" / "vendor" / "libraries.js").exists():
        raise ReleaseError("the console's libraries are not in functions/console/static/vendor: make setup")
    epoch = find_epoch(root, environment)
    out.mkdir(parents=True, exist_ok=True)
    app = out / f"tenantry-app-{version}.zip"
    build_package(root, app, epoch)
    parts = out / f"tenantry-app-{version}.cdx.json"
    parts.write_text(json.dumps(list_parts(root, version, epoch), indent=2, sort_keys=True) + "\n")
    built = [app, parts, build_client(root, out, epoch)]
    sums = out / "SHA256SUMS"
    lines = sorted(f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}" for one in built)
    sums.write_text("\n".join(lines) + "\n")
    return [*built, sums]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build a release and name its files; 1 where it would not be what it says."""
    parser = argparse.ArgumentParser(prog="python -m infra.release", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR")
    parser.add_argument("--tag", help="the tag that is being released, such as v0.1.0")
    read = parser.parse_args(arguments)
    try:
        built = build(ROOT, read.out, read.tag, os.environ)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(*(f"release: {one}" for one in built), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
