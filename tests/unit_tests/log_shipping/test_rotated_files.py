"""Which files of a folder are complete."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from logging.handlers import TimedRotatingFileHandler
from typing import TYPE_CHECKING

import pytest

from shared.log_shipping.rotated_files import find_rotated
from tests.support.fakes import EPOCH

if TYPE_CHECKING:
    from pathlib import Path

TODAY, YESTERDAY = "2026-01-31", "2026-01-30"


def put(folder: Path, name: str, age: float = 60) -> None:
    path = folder / name
    path.write_text(name)
    at = EPOCH.timestamp() - age
    os.utime(path, (at, at))


def names(folder: Path) -> list[str]:
    return [file.name for file in find_rotated(folder, EPOCH)]


@pytest.mark.parametrize(
    "name",
    [
        f"app.log.{YESTERDAY}",
        f"app.log.{TODAY}_10",
        f"app.log.{TODAY}_10-29",
        f"app.log.{TODAY}_10-29-59",
        f"app_{YESTERDAY}.log",
        f"app-{YESTERDAY}.jsonl.gz",
        "tenantry-vm-1.20260131T103000000000Z.jsonl",
    ],
)
def test_names_of_rotated_files_are_known(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)

    assert names(tmp_path) == [name]


@pytest.mark.parametrize(
    "name", ["app.log", "tenantry-vm-1.log", "app.log.1", "notes.txt", ".app.shipped", f"{TODAY}.log"]
)
def test_other_files_are_left_alone(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)

    assert names(tmp_path) == []


def test_folders_and_links_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere")
    (tmp_path / f"app.log.{YESTERDAY}").mkdir()
    (tmp_path / f"app_{YESTERDAY}.log").symlink_to(tmp_path / "elsewhere")

    assert names(tmp_path) == []


@pytest.mark.parametrize(("age", "found"), [(4.9, False), (5.0, True)])
def test_what_was_written_to_just_now_may_be_written_to_still(
    tmp_path: Path, age: float, *, found: bool
) -> None:
    put(tmp_path, f"app.log.{YESTERDAY}", age)

    assert bool(names(tmp_path)) is found


def test_todays_file_of_a_handler_with_one_per_day_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, f"app_{TODAY}.log")
    put(tmp_path, f"app.log.{TODAY}")
    assert names(tmp_path) == []

    put(tmp_path, "app.log")
    assert names(tmp_path) == [f"app.log.{TODAY}"]


def test_the_longest_unchanged_come_first(tmp_path: Path) -> None:
    for name, age in (("b", 20), ("a", 10), ("d", 30), ("c", 20)):
        put(tmp_path, f"{name}.log.{YESTERDAY}", age)

    assert [name[0] for name in names(tmp_path)] == ["d", "b", "c", "a"]


def test_there_is_nothing_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert names(tmp_path / "absent") == []


def test_what_pythons_own_handler_rotates_is_found_and_what_it_writes_to_is_not(tmp_path: Path) -> None:
    handler = TimedRotatingFileHandler(tmp_path / "app.log", when="s", encoding="utf-8")
    handler.emit(logging.makeLogRecord({"msg": "one"}))
    handler.doRollover()
    handler.emit(logging.makeLogRecord({"msg": "two"}))
    handler.close()

    (file,) = find_rotated(tmp_path, EPOCH + timedelta(days=36_500))
    assert file.path.read_text() == "one\n"
