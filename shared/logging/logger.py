"""`get_logger` and `get_app_name`, as the common library document calls them."""

from __future__ import annotations

import logging

from shared.logging.configure import include_component
from shared.settings import LoggingSettings


def get_app_name() -> str:
    """Return the application's name, which every log line and log file carries."""
    return LoggingSettings().app_name


def get_logger(name: str, log_level: str | None = None) -> logging.Logger:
    """Return a component's logger; its lines are like the app's: structured, redacted, with their context."""
    include_component(name.partition(".")[0])
    logger = logging.getLogger(name)
    if log_level is not None:
        logger.setLevel(log_level)
    return logger
