"""Formatters of log records: one JSON object per line, or a coloured line for a person."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared.logging.context import log_context, span_ids
from shared.logging.fields import UNLISTED, is_listed
from shared.logging.redaction import is_sensitive, redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_TEXT = 16_384
_DEEPEST = 6
_LONGEST_KNOWN = 64
"""Longer names of fields are read each time: somebody else's data may have them."""

_LINE = "json_line"
"""Attribute of a record: the line that a formatter made of it, for the next handler."""

_OF_THE_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", _LINE}
_LONGEST_PLAIN = 1_000_000
"""A number below this is too short to be a card's or a telephone's."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def describe(record: logging.LogRecord, app: str) -> dict[str, Any]:
    """Return the fields of a record, redacted; `request_id` and `tenant_id` are always among them.

    Where telemetry is exported, `trace_id` and `span_id` are, too.
    """
    context = log_context()
    fields: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": _text(record.getMessage()),
        "app": app,
        "request_id": None
        if context.request_id is None
        else _text(context.request_id),  # the caller may name it
        "tenant_id": context.tenant_id,
    }
    if (span := span_ids()) is not None:
        fields |= span._asdict()
    if extra := _extra(record):
        fields["extra"] = extra
    if record.exc_info and record.exc_info[1] is not None:
        fields["exception"] = _exception(record.exc_info[1])
    if record.stack_info:
        fields["stack"] = _text(record.stack_info)
    return fields


class JsonFormatter(logging.Formatter):
    """Writes JSON lines; a line break within a text is escaped, so no text can forge a line."""

    def __init__(self, app: str) -> None:
        super().__init__()
        self._app = app

    def format(self, record: logging.LogRecord) -> str:
        """Render one line; a second handler gets the first one's."""
        known: tuple[str, str] | None = getattr(record, _LINE, None)
        if known is not None and known[0] == self._app:
            return known[1]
        line = _ENCODER.encode(describe(record, self._app))
        setattr(record, _LINE, (self._app, line))
        return line


class ColourFormatter(logging.Formatter):
    """Writes for a terminal; control characters in texts are shown, not obeyed."""

    def __init__(self, app: str) -> None:
        super().__init__()
        self._app = app

    def format(self, record: logging.LogRecord) -> str:
        """Render one line, and the stack below it."""
        fields = describe(record, self._app)
        facts = {name: fields[name] for name in ("tenant_id", "request_id") if fields[name]}
        facts |= fields.get("extra", {})
        facts_text = " ".join(f"{name}={value}" for name, value in facts.items())
        head = (
            f"\x1b[2m{fields['timestamp'][11:23]}\x1b[0m \x1b[{_COLOURS.get(record.levelname, '0')}m"
            f"{record.levelname:<8}\x1b[0m {_visible(fields['message'])}"
        )
        tail = f" \x1b[2m{_visible(facts_text)} {record.name}\x1b[0m"
        stack = fields.get("exception", {}).get("stack", "") + fields.get("stack", "")
        return head + tail + (f"\n{_visible(stack, keep='\n')}".rstrip() if stack else "")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    given: dict[str, object] = {
        name: value if is_listed(record.name, name) else UNLISTED
        for name, value in vars(record).items()
        if name not in _OF_THE_RECORD
    }
    return _mapping(given, 0)


def _exception(error: BaseException) -> dict[str, str]:
    return {
        "type": type(error).__name__,
        "message": _text(str(error)),
        "stack": _text("".join(traceback.format_exception(error))),
    }


def _mapping(values: Mapping[Any, object], depth: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in values.items():
        text = str(name)
        clean, sensitive = _read_known_name(text) if len(text) <= _LONGEST_KNOWN else _read_name(text)
        fields[clean] = "[secret]" if sensitive else _value(value, depth + 1)
    return fields


def _read_name(name: str) -> tuple[str, bool]:
    """Return a field's name as it is written, and whether its value is a secret."""
    return _text(name), is_sensitive(name)


_read_known_name = lru_cache(maxsize=1_024)(_read_name)


def _value(value: object, depth: int) -> object:
    match value:
        case None | bool():
            return value
        case int() | float():
            return value if -_LONGEST_PLAIN < value < _LONGEST_PLAIN else _long_number(value)
        case datetime():
            return value.isoformat()
        case dict() if depth < _DEEPEST:
            return _mapping(value, depth)
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [_value(part, depth + 1) for part in value]
        case _:
            return _text(str(value))


def _long_number(value: float) -> float | str:
    # A card or phone number may come as a number; JSON knows neither NaN nor infinity.
    text = str(value)
    return value if redact(text) == text and text.lstrip("-") not in {"nan", "inf"} else _text(text)


def _text(text: str) -> str:
    # Redacted before it is cut: a cut could leave the half of a secret that no pattern knows. A lone
    # surrogate can be in a string but not in UTF-8.
    clean = redact(text)
    if not clean.isascii():
        clean = clean.encode("utf-8", "backslashreplace").decode()
    return clean if len(clean) <= _LONGEST_TEXT else clean[:_LONGEST_TEXT] + "…"


def _visible(text: str, keep: str = "") -> str:
    return "".join(
        character if character.isprintable() or character in keep else repr(character)[1:-1]
        for character in text
    )
