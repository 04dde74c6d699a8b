"""The host's output on stderr: its own lines with a time, and the functions' as they log them."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("azure.functions.host")

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}

# .NET's enumeration may be written by its numbers.
_LEVELS |= {str(number): level for number, level in enumerate(list(_LEVELS.values()))}


class LogLevels:
    """host.json's `logging.logLevel`: the longest prefix of a category decides."""

    def __init__(self, levels: Mapping[str, str]) -> None:
        self._levels = {
            category.lower(): _LEVELS.get(str(level).lower(), logging.INFO)
            for category, level in levels.items()
        }

    def level(self, category: str) -> int:
        """Return the lowest level that a category writes."""
        lowered = category.lower()
        fitting = [name for name in self._levels if lowered == name or lowered.startswith(f"{name}.")]
        if fitting:
            return self._levels[max(fitting, key=len)]
        return self._levels.get("default", logging.INFO)


class _HostFormatter(logging.Formatter):
    """`[2026-01-31T10:30:00.123Z] message`, as the Core Tools print it."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = f"[{stamp}.{int(record.msecs):03d}Z] {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure_logging(levels: LogLevels) -> None:
    """Send the host's lines and the functions' own to stderr.

    Functions log through the root logger at Information, as under the real worker. The SDKs' chatter is kept
    out: the host uses them in the same process, and its requests are none of the app's.
    """
    host_handler = logging.StreamHandler(sys.stderr)
    host_handler.setFormatter(_HostFormatter())
    log.handlers = [host_handler]
    log.propagate = False
    log.setLevel(levels.level("Host"))

    user_handler = logging.StreamHandler(sys.stderr)
    user_handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger()
    root.handlers = [user_handler]
    debug = os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").lower() in {"1", "true"}
    root.setLevel(logging.DEBUG if debug else max(logging.INFO, levels.level("Function")))
    for chatty in ("azure", "uvicorn", "httpx", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.DEBUG if debug else logging.WARNING)
    # What logs under the worker's names is the worker's, which is told apart from the app's.
    for system in ("azure_functions_worker", "azure_functions_runtime"):
        logging.getLogger(system).setLevel(logging.WARNING)
    # A request that a client breaks off is told by the host in its own words.
    logging.getLogger("azure.functions").setLevel(logging.WARNING)
