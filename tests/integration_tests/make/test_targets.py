"""Each target that the README names runs: here, or because it is what CI runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.client.environments import skip_where_offline
from tests.integration_tests.tour import STAYS_UP, on_terminal, options
from tests.support.soak import SOAK
from tests.support.working_copy import ROOT, contents, copy_tree, stamp

if TYPE_CHECKING:
    from pathlib import Path

BY_CI = {"check"}
"""`.ci/run` is `make check`; none of its tests can run it again."""

BY_PAGES = {"setup"}
"""A block of the README, which tests/integration_tests/docs runs."""

SHORT = {
    "bench": "-k test_a_hit_costs_about_a_microsecond",
    "compat": "-k test_every_client_that_is_there_is_tried",
    "soak": "-k test_there_are_as_many_cases_as_are_claimed --ignore=tests/integration_tests"
    " --ignore-glob='*/unit_tests/[!w]*'",
    "test": "-n 0 -k test_there_is_code_to_check --ignore=tests/integration_tests"
    " --ignore-glob='*/unit_tests/[!g]*'",
    "quick": "-n 0 -k test_there_is_code_to_check --ignore-glob='*/unit_tests/[!g]*'",
}
"""A test of each that is over soon, and soon found: what is proven is that the target runs."""

WRITING = ("contract", "format")

pytestmark = pytest.mark.skipif(SOAK, reason="`make soak` would run itself")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the tree, and let types be checked in one file: those of all take a minute, and are CI's."""
    copied = copy_tree(tmp_path_factory.mktemp("make") / "tenantry")
    project = copied / "pyproject.toml"
    text, count = re.subn(
        r'(?m)^files = \[.*"local", "tests"\]$', 'files = ["shared/clock.py"]', project.read_text()
    )
    assert count == 1
    project.write_text(text)
    stamp(copied)
    return copied


def test_no_target_that_the_readme_names_runs_nowhere() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))

    assert named >= {"run", "test", "check"}
    assert named - BY_CI - BY_PAGES - SHORT.keys() - {*WRITING, "run", "client", "release", "clean"} == set()


def test_ci_runs_check_and_check_runs_the_tests() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nmake check")
    covered, uncovered = re.findall(r"(?m)^\S+ -m pytest (\S+ .*)", dry_run("check"))
    assert covered.startswith("tests/unit_tests -n 2 ")
    assert all(part in covered for part in ('-m "not slow"', "--cov "))
    assert uncovered.startswith("tests/integration_tests tests/unit_tests ")
    assert uncovered.endswith(' -m "slow or integration"')
    assert "--cov" not in uncovered + dry_run("test")


@pytest.mark.slow(120)
def test_make_run_stays_up_until_ctrl_c_and_leaves_nothing_running(tree: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with on_terminal(["make", "run", f"ARGS={' '.join(options(data))}"], tree) as run:
        run.read_until(STAYS_UP)
        code = run.press_ctrl_c()

        assert run.has_left_nothing()
    assert code == -signal.SIGINT, "make is ended by the signal itself, once what it ran has ended"
    assert "Error" not in run.said.partition(STAYS_UP)[2], run.said
    assert "Tenantry is running" in run.said
    assert (data / "env.sh").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow(240)
@pytest.mark.parametrize("target", sorted(SHORT))
def test_a_target_that_runs_tests_takes_arguments_for_them(target: str, tree: Path) -> None:
    done = make(tree, target, f"ARGS={SHORT[target]}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b1 passed\b", done.stdout), done.stdout


@pytest.mark.slow(60)
@pytest.mark.parametrize("target", WRITING)
def test_a_target_that_writes_files_changes_nothing_that_is_in_order(target: str, tree: Path) -> None:
    before = contents(tree)

    done = make(tree, target)

    assert done.returncode == 0, done.stdout + done.stderr
    after = contents(tree)
    assert [name for name in before | after if before.get(name) != after.get(name)] == []


def test_make_client_builds_the_wheel(tree: Path) -> None:
    done = make(tree, "client")

    skip_where_offline(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tree / "dist").glob("*.whl"))) == 1


def test_make_clean_leaves_a_fresh_clone_and_what_the_platform_stored(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tenantry")
    fresh = contents(tree)
    (tree / "shared" / "__pycache__").mkdir()
    (tree / ".local").mkdir()

    done = make(tree, "clean")

    assert done.returncode == 0, done.stdout + done.stderr
    left = {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}
    left = {name for name in left if not name.startswith(".git/")}
    assert left == fresh.keys()
    assert (tree / ".local").is_dir()
    assert (ROOT / "local" / "azurite" / "node_modules").is_dir(), "a link was followed"


def make(tree: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a target as a developer's shell does, not as a part of the one that runs these tests."""
    own = ("MAKE", "MFLAGS", "COV_", "PYTEST_", "TENANTRY_")
    return subprocess.run(  # noqa: S603  # our own Makefile
        ["make", "--no-print-directory", *words],  # noqa: S607  # whichever make
        cwd=tree,
        env={name: value for name, value in os.environ.items() if not name.startswith(own)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def dry_run(target: str) -> str:
    """Say what a target would run."""
    done = subprocess.run(  # noqa: S603  # our own Makefile
        ["make", "--no-print-directory", "--dry-run", target],  # noqa: S607  # whichever make
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
