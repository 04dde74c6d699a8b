"""Lines of the app's log, as they are written while a test runs."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.logging.formatter import describe

if TYPE_CHECKING:
    from collections.abc import Iterator


class LineHandler(logging.Handler):
    """Keeps each line with the context in which it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(describe(record, "app"))


@contextmanager
def kept_lines(logger_name: str) -> Iterator[list[dict[str, Any]]]:
    """Keep what one logger writes within the block."""
    handler, logger = LineHandler(), logging.getLogger(logger_name)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
