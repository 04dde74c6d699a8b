"""Where lines go."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest

from shared.logging.configure import (
    configure_from_environment,
    configure_logging,
    current_file,
    stop_logging,
)
from shared.logging.logger import get_app_name, get_logger
from shared.settings import LoggingSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _undone() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in ("shared", "functions", "azure")}
    yield
    stop_logging()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_is_written_once_to_stderr_and_once_to_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = LoggingSettings(log_dir=tmp_path / "logs")
    configure_logging(settings)
    configure_logging(settings)
    get_logger("functions.orders").info("Hello", extra={"count": 1})
    get_logger("functions.orders").debug("not at this level")

    file = current_file()
    assert file is not None
    (line,) = capsys.readouterr().err.splitlines()
    assert file.path.read_text() == line + "\n"
    assert json.loads(line)["extra"] == {"count": 1}
    assert caplog.records == []


def test_configuring_opens_nothing(tmp_path: Path) -> None:
    configure_logging(LoggingSettings(log_dir=tmp_path / "logs"))

    assert list(tmp_path.iterdir()) == []


def test_other_settings_replace_the_handlers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LoggingSettings(log_dir=tmp_path))
    get_logger("shared.x").info("one")
    configure_logging(LoggingSettings(app_name="other", log_level="WARNING"))
    get_logger("shared.x").info("two")
    get_logger("shared.x").warning("three")

    assert current_file() is None
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["app"], line["message"]) for line in lines] == [("tenantry", "one"), ("other", "three")]


def test_a_person_at_a_terminal_gets_colours() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    configure_logging(LoggingSettings())
    before, sys.stderr = sys.stderr, Terminal()
    try:
        get_logger("shared.x").error("Red")
        shown = sys.stderr.getvalue()
    finally:
        sys.stderr = before

    assert "\x1b[31mERROR" in shown


def test_a_closed_stderr_does_not_end_the_caller() -> None:
    configure_logging(LoggingSettings())
    closed = io.StringIO()
    closed.close()
    before, sys.stderr, raising = sys.stderr, closed, logging.raiseExceptions
    logging.raiseExceptions = False
    try:
        get_logger("shared.x").error("Nobody reads this")
    finally:
        sys.stderr, logging.raiseExceptions = before, raising


def test_the_sdks_chatter_is_kept_out() -> None:
    configure_logging(LoggingSettings())

    assert not logging.getLogger("azure.core.pipeline").isEnabledFor(logging.INFO)
    assert logging.getLogger("azure.core.pipeline").isEnabledFor(logging.WARNING)


def test_broken_settings_are_logged_by_name_with_the_defaults_in_force(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "tk.acme.secret")
    monkeypatch.delenv("LOG_DIR", raising=False)
    configure_from_environment()

    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["extra"], line["app"]) == ("ERROR", {"settings": ["LOG_LEVEL"]}, "tenantry")


def test_the_environment_names_the_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APP_NAME", "counter")
    monkeypatch.setenv("LOG_DIR", str(tmp_path))
    configure_from_environment()

    file = current_file()
    assert get_app_name() == "counter"
    assert file is not None
    assert file.path.name.startswith("counter-")


def test_a_logger_can_have_a_level_of_its_own() -> None:
    logger = get_logger("shared.loud", "DEBUG")

    assert logger.isEnabledFor(logging.DEBUG)


def test_the_documents_own_component_is_written_like_the_app(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its example, but for the import line; the component is asked for before and after the set-up."""
    early = get_logger("early_component.part")
    configure_logging(LoggingSettings(log_dir=tmp_path))

    logger = get_logger("my_component")
    logger.info("Operation successful")
    logger.error("Error occurred: %s", "of ann@mail.example")
    early.info("Hello")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("my_component", "Operation successful"),
        ("my_component", "Error occurred: of [email]"),
        ("early_component.part", "Hello"),
    ]
    file = current_file()
    assert file is not None
    assert len(file.path.read_text().splitlines()) == 3
