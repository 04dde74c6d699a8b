"""Files: one writer each, rotated by size and day, adopted when the writer is gone."""

from __future__ import annotations

import fcntl
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.logging.files import InstanceFileHandler, RotatedName, adopt_abandoned, instance_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
DAY_SECONDS = 86_400


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[InstanceFileHandler]:
    made = InstanceFileHandler(tmp_path / "logs", "tenantry", "vm-1", max_bytes=20)
    yield made
    made.close()


def record(message: str, at: float = 1_769_855_400.0) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, __file__, 1, message, (), None)
    made.created = at
    return made


def rotated(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("*.jsonl"))]


def test_nothing_is_opened_before_the_first_line(handler: InstanceFileHandler) -> None:
    assert not handler.path.parent.exists()
    assert handler.rotate() is None
    handler.handle(record("one"))
    assert handler.path.read_text() == "one\n"


def test_a_folder_that_takes_no_file_is_logged_once_and_seen_until_it_takes_one_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.write_text("a file where the folder should be")
    handler = InstanceFileHandler(folder, "tenantry", "vm-1")
    for _ in range(3):
        handler.handle(record("lost"))
    failures = [handler.failure]
    folder.unlink()
    handler.handle(record("kept"))
    failures.append(handler.failure)
    handler.close()

    assert failures == ["File exists", None]
    assert handler.path.read_text() == "kept\n"
    assert [line.getMessage() for line in caplog.records] == [
        "Log lines are not kept in the file",
        "Log lines are kept in the file again",
    ]


def test_a_file_is_rotated_before_it_grows_beyond_its_size(handler: InstanceFileHandler) -> None:
    for message in ("123456789", "123456789", "x", "a line longer than a file may be", "y"):
        handler.handle(record(message))

    assert rotated(handler.path.parent) == [
        "123456789\n123456789\n",
        "x\n",
        "a line longer than a file may be\n",
    ]
    assert handler.path.read_text() == "y\n"


def test_a_file_is_rotated_when_its_day_is_over(handler: InstanceFileHandler) -> None:
    handler.handle(record("one"))
    handler.handle(record("two", 1_769_855_400.0 + DAY_SECONDS))

    assert rotated(handler.path.parent) == ["one\n"]


def test_rotating_by_hand_names_the_file_after_the_time(handler: InstanceFileHandler) -> None:
    handler.handle(record("one"))
    path = handler.rotate()

    assert path is not None
    name = RotatedName.parse(path.name)
    assert name is not None
    assert name.stem == path.name.removesuffix(".jsonl")
    assert name.stem.startswith("tenantry-vm-1.")
    assert abs((datetime.now(UTC) - name.rotated_at).total_seconds()) < 60
    assert handler.rotate() is None
    assert not handler.path.exists()


@pytest.mark.parametrize(
    "name",
    ["a.log", "a.jsonl", "a.20260131T103000000000Z.jsonl.shipping-x", "a.20269931T103000000000Z.jsonl"],
)
def test_other_names_are_no_rotated_files(name: str) -> None:
    assert RotatedName.parse(name) is None


def test_a_living_writers_file_is_not_adopted(handler: InstanceFileHandler) -> None:
    handler.handle(record("one"))

    assert adopt_abandoned(handler.path.parent) == []
    handler.handle(record("two"))
    assert handler.path.read_text() == "one\ntwo\n"


def test_a_killed_writers_file_is_adopted_with_every_line(tmp_path: Path) -> None:
    program = """
import logging, os, signal, sys
from pathlib import Path
from shared.logging.files import InstanceFileHandler
handler = InstanceFileHandler(Path(sys.argv[1]), "tenantry", "vm-2")
handler.handle(logging.LogRecord("x", logging.INFO, "", 1, "last words", (), None))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(  # noqa: S603  # our own interpreter and program
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=False, timeout=60
    )

    assert done.returncode == -9
    (adopted,) = adopt_abandoned(tmp_path)
    assert adopted.read_text() == "last words\n"
    assert RotatedName.parse(adopted.name) is not None
    assert list(tmp_path.glob("*.log")) == []


def test_an_empty_abandoned_file_is_removed(tmp_path: Path) -> None:
    (tmp_path / "tenantry-vm-3.log").touch()

    assert adopt_abandoned(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_somebody_is_adopting_is_left(tmp_path: Path) -> None:
    path = tmp_path / "tenantry-vm-3.log"
    path.write_text("x\n")
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert adopt_abandoned(tmp_path) == []
    assert len(adopt_abandoned(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_loses_the_line_and_not_the_program(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    handler = InstanceFileHandler(tmp_path / "file" / "logs", "a", "b")
    handler.handle(record("one"))
    handler.close()

    assert handler.failure == "Not a directory"


def test_an_instance_is_named_by_host_and_process() -> None:
    assert RotatedName.parse(f"tenantry-{instance_name()}.20260131T103000000000Z.jsonl") is not None
