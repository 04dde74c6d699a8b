"""A log line, as far as shipping, indexing and searching read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from shared.tenancy.context import parse_tenant_id

if TYPE_CHECKING:
    from collections.abc import Mapping

UNREADABLE = "UNREADABLE"
"""The level of a line that is no log line, as the last one of a writer that was killed may be."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""Levels of lines, from the least to the most serious."""

_LEVELS = frozenset(LEVELS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NOTHING: Mapping[str, Any] = {}


def microseconds_of(at: datetime) -> int:
    """Return a time as whole microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def time_of(microseconds: int) -> datetime:
    """Return the time, in UTC, of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line, with the fields that decide where it goes and how it counts.

    Attributes:
        tenant_id: A well-formed tenant id, or None.
        at: When it was written, in UTC.
        fields: All that stands in it.
    """

    tenant_id: str | None
    level: str
    at: datetime
    fields: Mapping[str, Any]

    @classmethod
    def parse(cls, text: bytes) -> LogLine | None:
        """Read a line; None where it is none of this app's."""
        try:
            fields = from_json(text)
            at = datetime.fromisoformat(fields["timestamp"]).astimezone(UTC)
            level = fields["level"]
            named = fields["tenant_id"]
            tenant_id = None if named is None else parse_tenant_id(named)
            return cls(tenant_id, level, at, fields) if level in _LEVELS else None
        except (ValueError, KeyError, TypeError, OverflowError):
            return None

    @property
    def request_id(self) -> str | None:
        """The request or message in whose work it was written."""
        return _text(self.fields, "request_id")

    @property
    def trace_id(self) -> str | None:
        """The trace that it was written in, where telemetry was exported."""
        return _text(self.fields, "trace_id")

    @property
    def span_id(self) -> str | None:
        """The span that it was written in, where telemetry was exported."""
        return _text(self.fields, "span_id")

    @property
    def event(self) -> str | None:
        """The kind of event that it records, such as `model_call`."""
        return self.fact("event")

    @property
    def facts(self) -> Mapping[str, Any]:
        """Its own fields, beside those that every line has."""
        facts = self.fields.get("extra")
        return facts if isinstance(facts, dict) else _NOTHING

    def fact(self, name: str) -> str | None:
        """Return a field of its own that is a text."""
        return _text(self.facts, name)


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None
