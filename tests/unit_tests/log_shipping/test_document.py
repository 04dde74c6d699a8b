"""The common library document's examples of logger, uploader and monitor, changed in their imports alone."""

from __future__ import annotations

import ast
import inspect
import json
import logging
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compat.blob_storage import AsyncBlobStorageUploader
from compat.log_monitor import LogMonitorService
from compat.logger import get_app_name, get_logger
from shared.log_shipping.delivery import WholeFiles
from shared.logging.configure import current_file, stop_logging
from tests.support.fakes import EPOCH, StillClock
from tests.unit_tests.log_shipping.fakes import MemoryContainer

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parent / "document_examples"
IMPORT = re.compile(r"^from common\.\w+ import \w+\n", re.MULTILINE)


async def run(example: str, names: dict[str, Any], folder: str = "", own: Path | None = None) -> None:
    """Run an example without its import, its folder being a test's own."""
    program, imports = IMPORT.subn("", (EXAMPLES / f"{example}.py.txt").read_text())
    assert imports == 1
    if own is not None:
        program = program.replace(folder, str(own))
    code = compile(program, example, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, names)  # noqa: S307  # the document's own lines
    if inspect.isawaitable(outcome):
        await outcome


async def test_the_uploaders_example_uploads_the_file(tmp_path: Path) -> None:
    container = MemoryContainer()
    (tmp_path / "file.txt").write_text("content")
    names: dict[str, Any] = {
        "AsyncBlobStorageUploader": partial(AsyncBlobStorageUploader, attempts=container)
    }
    await run("uploader", names, "/path/to", tmp_path)
    await names["uploader"].shutdown()

    assert container.blobs == {"uploaded-file.txt": b"content"}


async def test_the_monitors_example_ships_rotated_files(tmp_path: Path) -> None:
    container, clock = MemoryContainer(), StillClock()
    path = tmp_path / "my.log.2026-01-30"
    path.write_text("line\n")
    os.utime(path, (EPOCH.timestamp() - 60,) * 2)
    delivery = WholeFiles(AsyncBlobStorageUploader(attempts=container), "my-application")
    names: dict[str, Any] = {"LogMonitorService": partial(LogMonitorService, delivery=delivery, clock=clock)}
    await run("monitor", names, "/app/logs", tmp_path)
    await names["monitor"].shutdown()

    ((name, content),) = container.blobs.items()
    assert name.startswith("my-application/my.log.2026-01-30.")
    assert content == b"line\n"


@pytest.fixture
def _logging_undone() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in ("shared", "functions", "azure")}
    stop_logging()
    yield
    stop_logging()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("_logging_undone")
async def test_the_loggers_example_writes_by_the_environment_without_any_setting_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APP_NAME", "my-application")
    monkeypatch.setenv("LOG_DIR", str(tmp_path))
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    await run("logger", {"get_logger": get_logger, "error_message": "of ann@mail.example"})

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["message"], line["app"]) for line in lines] == [
        ("INFO", "Operation successful", "my-application"),
        ("ERROR", "Error occurred: of [email]", "my-application"),
    ]
    file = current_file()
    assert file is not None
    assert len(file.path.read_text().splitlines()) == 2
    assert get_app_name() == "my-application"
    assert get_logger("my_component", "DEBUG").isEnabledFor(logging.DEBUG)
    assert list(inspect.signature(get_logger).parameters) == ["name", "log_level"]
