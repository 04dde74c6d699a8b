"""Destinations of the app's log lines: stderr, and a file where a folder for logs is set."""

from __future__ import annotations

import logging
import sys

import pydantic

from shared.logging.files import InstanceFileHandler, instance_name
from shared.logging.formatter import ColourFormatter, JsonFormatter
from shared.settings import LoggingSettings

_OURS = ("shared", "functions")
"""The app's loggers are named after their modules. What others log is left to the worker's own handlers."""

_SDKS = "azure"

_components = set(_OURS)
"""The top names of all loggers that `get_logger` was asked for."""


class StderrHandler(logging.Handler):
    """Writes to whatever stderr is at the time: for a person at a terminal, as JSON lines elsewhere."""

    def __init__(self, app: str) -> None:
        super().__init__()
        self.app = app
        self._json = JsonFormatter(app)
        self._colour = ColourFormatter(app)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            formatter = self._colour if sys.stderr.isatty() else self._json
            sys.stderr.write(formatter.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError, TypeError):
            self.handleError(record)


def configure_logging(settings: LoggingSettings) -> None:
    """Attach the handlers; doing it again with the settings in force changes nothing.

    Nothing is opened: the file is, with the first line. Lines do not go on to the root logger, whose handlers
    are the worker's and would write them a second time.
    """
    # No line has these, and to find them out for each record costs as much as to write it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]  # typeshed does not know it
    wanted = _handlers(settings)
    for name in _components:
        logger = logging.getLogger(name)
        logger.setLevel(settings.log_level)
        logger.propagate = False
    logging.getLogger(_SDKS).setLevel(logging.WARNING)
    if [_describe_destination(handler) for handler in wanted] != [
        _describe_destination(handler) for handler in _attached()
    ]:
        _attach(wanted)


def configure_from_environment() -> None:
    """Configure logging by the environment; what is wrong there is logged, with the defaults in its place."""
    invalid: list[str] = []
    try:
        settings = LoggingSettings()
    except pydantic.ValidationError as error:
        settings = LoggingSettings.model_construct()
        invalid = sorted(str(problem["loc"][0]) for problem in error.errors())
    configure_logging(settings)
    if invalid:
        logging.getLogger(__name__).error("Settings of logging are invalid", extra={"settings": invalid})


def include_component(component: str) -> None:
    """Write what a component logs as the app's own lines are written, now and after each configuration."""
    if component in _components:
        return
    _components.add(component)
    handlers = _attached()
    if handlers:
        logger = logging.getLogger(component)
        logger.setLevel(logging.getLogger(_OURS[0]).level)
        logger.propagate = False
        for handler in handlers:
            logger.addHandler(handler)


def is_configured() -> bool:
    """Tell whether handlers are attached."""
    return bool(_attached())


def current_file() -> InstanceFileHandler | None:
    """Return what writes this process's log file, or None where no folder for logs is set."""
    return next((handler for handler in _attached() if isinstance(handler, InstanceFileHandler)), None)


def stop_logging() -> None:
    """Take the handlers off and close the file."""
    _attach([])
    for name in _components:
        logging.getLogger(name).propagate = True


def _handlers(settings: LoggingSettings) -> list[StderrHandler | InstanceFileHandler]:
    handlers: list[StderrHandler | InstanceFileHandler] = [StderrHandler(settings.app_name)]
    if settings.log_dir is not None:
        file = InstanceFileHandler(settings.log_dir, settings.app_name, instance_name())
        file.setFormatter(JsonFormatter(settings.app_name))
        handlers.append(file)
    return handlers


def _attached() -> list[StderrHandler | InstanceFileHandler]:
    handlers = logging.getLogger(_OURS[0]).handlers
    return [handler for handler in handlers if isinstance(handler, StderrHandler | InstanceFileHandler)]


def _attach(wanted: list[StderrHandler | InstanceFileHandler]) -> None:
    for former in _attached():
        for name in _components:
            logging.getLogger(name).removeHandler(former)
        former.close()
    for handler in wanted:
        for name in _components:
            logging.getLogger(name).addHandler(handler)


def _describe_destination(handler: StderrHandler | InstanceFileHandler) -> str:
    return f"stderr of {handler.app}" if isinstance(handler, StderrHandler) else str(handler.path)
