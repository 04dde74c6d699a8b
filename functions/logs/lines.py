"""A log line, as far as shipping and indexing read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_core import from_json

from shared.tenancy.context import parse_tenant_id

UNREADABLE = "UNREADABLE"
"""The level of a line that is no log line, as the last one of a writer that was killed may be."""

_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


@dataclass(frozen=True, slots=True)
class LogLine:
    """The fields of a line that decide where it goes and how it counts.

    Attributes:
        tenant_id: A well-formed tenant id, or None.
        at: When it was written, in UTC.
    """

    tenant_id: str | None
    level: str
    at: datetime

    @classmethod
    def parse(cls, text: bytes) -> LogLine | None:
        """Read a line; None where it is none of this app's."""
        try:
            fields = from_json(text)
            at = datetime.fromisoformat(fields["timestamp"]).astimezone(UTC)
            level = fields["level"]
            named = fields["tenant_id"]
            tenant_id = None if named is None else parse_tenant_id(named)
            return cls(tenant_id, level, at) if level in _LEVELS else None
        except (ValueError, KeyError, TypeError, OverflowError):
            return None
