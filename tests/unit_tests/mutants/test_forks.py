"""Children: a fault is seen by the tests of one child, and a child that does not end is ended."""

from __future__ import annotations

import importlib
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.mutants.children import FaultyModule
from tests.mutants.forks import TIMED_OUT, Job, run_forked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run_one(work: Callable[[], int], output: Path, seconds: float = 60.0) -> int:
    (outcome,) = run_forked([Job("one", work, output, seconds, seconds)], 2)
    return outcome.status


def test_a_child_ends_with_what_its_work_returns(tmp_path: Path) -> None:
    assert run_one(lambda: 5, tmp_path / "out.txt") == 5


def test_a_child_that_breaks_leaves_its_trace(tmp_path: Path) -> None:
    def break_off() -> int:
        raise LookupError("missing")

    assert run_one(break_off, tmp_path / "out.txt") == 70
    assert "LookupError: missing" in (tmp_path / "out.txt").read_text()


@pytest.mark.slow
def test_a_child_that_does_not_end_is_ended(tmp_path: Path) -> None:
    def wait_for_ever() -> int:
        threading.Event().wait()
        return 0

    assert run_one(wait_for_ever, tmp_path / "out.txt", seconds=0.1) == TIMED_OUT


@pytest.mark.slow
def test_every_job_has_an_outcome_and_no_more_run_at_once(tmp_path: Path) -> None:
    jobs = [Job(str(at), partial(abs, at), tmp_path / f"{at}.txt", 60, 60) for at in range(5)]

    assert {outcome.job.name: outcome.status for outcome in run_forked(jobs, 2)} == {
        str(at): at for at in range(5)
    }


def test_a_faulty_module_is_imported_instead_of_the_file(tmp_path: Path) -> None:
    def read_version() -> int:
        sys.modules.pop("shared.version", None)
        sys.meta_path.insert(0, FaultyModule("shared/version.py", "VERSION = 7\n"))
        return int(importlib.import_module("shared.version").VERSION)

    assert run_one(read_version, tmp_path / "out.txt") == 7
