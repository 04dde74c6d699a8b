"""The package that .funcignore leaves runs on its own, is small, and is the same each time it is built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

import pytest

from infra.package import build_package, copy_files, list_files
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = 1_800_000_000
MOST_BYTES = 60_000_000
PROGRAM = """
import importlib.abc, json, sys

class OnlyRequired(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not in requirements.txt", name=name)

hidden = frozenset(json.loads(sys.argv[1]))
sys.meta_path.insert(0, OnlyRequired())
sys.path = [folder for folder in sys.path if folder != sys.argv[2]]
sys.path.insert(0, "")
import function_app
print(json.dumps(sorted(one.get_function_name() for one in function_app.app.get_functions())))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what .funcignore leaves into an empty folder."""
    folder = tmp_path_factory.mktemp("package")
    copy_files(ROOT, list_files(ROOT), folder)
    return folder


def not_required() -> list[str]:
    """Name the modules that are installed here and that requirements.txt does not bring."""
    text = (ROOT / "requirements.txt").read_text()
    required = {squeeze(name) for name in re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==", text)}
    assert len(required) > 30
    return sorted(
        module
        for module, owners in packages_distributions().items()
        if required.isdisjoint(squeeze(owner) for owner in owners)
    )


def run_program(folder: Path, hidden: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own interpreter and program
        [sys.executable, "-B", "-c", PROGRAM, json.dumps(hidden), str(ROOT)],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )


def squeeze(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.slow
def test_it_holds_the_app_and_nothing_of_its_making(package: Path) -> None:
    tops = {path.relative_to(package).parts[0] for path in package.rglob("*") if path.is_file()}

    assert tops == {
        "function_app.py",
        "functions",
        "host.json",
        "infra",
        "requirements.txt",
        "shared",
        "tenantry_client",
    }, ".funcignore leaves more, or less, than what the app reads"
    infra = {path.name for path in (package / "infra").iterdir()}
    assert infra == {"cosmos.json", "storage.json"}


def test_it_has_at_most_60_megabytes_of_its_own(package: Path) -> None:
    assert sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) <= MOST_BYTES


@pytest.mark.slow(60)
def test_it_imports_and_indexes_with_what_requirements_txt_brings_alone(package: Path) -> None:
    hidden = not_required()
    assert {"pytest", "rich", "schemathesis"} <= set(hidden)

    done = run_program(package, hidden)

    assert done.returncode == 0, done.stderr
    assert {"chat", "run_job", "ship_logs", "health_ready"} <= set(json.loads(done.stdout))
    assert len(json.loads(done.stdout)) > 50


def test_the_program_would_notice_what_is_not_required(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("import rich\n")

    done = run_program(tmp_path, ["rich"])

    assert "rich is not in requirements.txt" in done.stderr


def test_two_builds_are_byte_for_byte_the_same_and_run_from_their_bytecode(tmp_path: Path) -> None:
    """Of a small tree; tests/integration_tests/make does it with the whole one."""
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    root = tmp_path / "root"
    copy_files(ROOT, ["function_app.py", ".funcignore", "shared/errors.py", "shared/clock.py"], root)

    build_package(root, first, EPOCH)
    (root / "function_app.py").touch()
    build_package(root, second, EPOCH)

    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as opened:
        names = opened.namelist()
        assert names == sorted(names)
        assert {entry.external_attr >> 16 for entry in opened.infolist()} == {0o100644}
        assert {entry.date_time for entry in opened.infolist()} == {(2027, 1, 15, 8, 0, 0)}
        code = opened.read(f"__pycache__/function_app.cpython-3{sys.version_info.minor}.pyc")
    assert code[4:8] == (1).to_bytes(4, "little"), "taken as it is, whatever the source's time"
    assert b"/home/site/wwwroot/function_app.py" in code
    assert str(tmp_path).encode() not in code


def test_what_requirements_txt_names_is_locked_by_hash() -> None:
    text = (ROOT / "requirements.txt").read_text()
    pinned = re.findall(r"(?m)^[A-Za-z0-9][^\n]*==[^\n]*(?:\n    --hash=\S+ ?\\?)+", text)
    named = re.findall(r"(?m)^[A-Za-z0-9][^\n]*==", text)

    assert len(pinned) == len(named) > 30


def test_an_image_is_built_from_the_same_files(package: Path) -> None:
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")  # noqa: S607  # whichever git
    left = {name for name in listed if name and not is_left_out(name, patterns)}
    own = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}

    installed = ("shared/llm/ranks/", "functions/console/static/vendor/")
    assert {name for name in own if not name.startswith(installed)} == left, (
        ".dockerignore and .funcignore differ"
    )


def is_left_out(name: str, patterns: list[str]) -> bool:
    """Say what Docker would of a file: the last pattern that matches it, or a folder of it, decides."""
    parts = name.split("/")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    decided = False
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        anywhere = bare.removeprefix("**/")
        if any(
            fnmatch(path, bare) or (bare != anywhere and fnmatch(path.rpartition("/")[2], anywhere))
            for path in paths
            if "/" in bare or "/" not in path or bare != "*"
        ):
            decided = not pattern.startswith("!")
    return decided
