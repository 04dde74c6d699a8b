"""`get_logger` and `get_app_name` of the common library document, for programs of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.logging.configure import configure_from_environment, is_configured
from shared.logging.logger import get_app_name
from shared.logging.logger import get_logger as get_component_logger

if TYPE_CHECKING:
    import logging

__all__ = ["get_app_name", "get_logger"]


def get_logger(name: str, log_level: str | None = None) -> logging.Logger:
    """Return a component's logger, after setting logging up by the environment where that was not done.

    Lines go to stderr, coloured for a person, as JSON elsewhere; with `LOG_DIR` to a file of this process,
    too, which is rotated by day and by size. `APP_NAME` and `LOG_LEVEL` are the other settings.
    """
    if not is_configured():
        configure_from_environment()
    return get_component_logger(name, log_level)
