"""What callers send and get about logs, and what is kept of a shipped file."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from shared.cosmos.partition import StoredItem
from shared.http.models import ParameterModel, ReplyModel
from shared.validation import Day

PLATFORM = "_platform"
"""The folder of lines that no tenant caused; no tenant id begins like it."""


class SummaryQuery(ParameterModel):
    """`GET /logs/summary`: whole days in UTC, both included; without them, today."""

    from_: Day | None = Field(None, alias="from")
    to: Day | None = None


class DaySummary(ReplyModel):
    """What was indexed of one day."""

    day: date
    lines: int
    chunks: int
    levels: dict[str, int]


class LogSummaryReply(ReplyModel):
    """The days of which there is something, in order; `chunks` is their sum."""

    days: list[DaySummary]
    chunks: int


class ManifestSummary(StoredItem):
    """A manifest without its details."""

    lines: int
    levels: dict[str, int]


class Manifest(ManifestSummary):
    """One shipped blob; the id is the last part of its name, the rest of which is the partition's key.

    Attributes:
        counts: Lines per level and, within it, per hour of the day.
    """

    day: date
    blob: str
    bytes: int
    first_at: datetime | None
    last_at: datetime | None
    counts: dict[str, dict[str, int]]
    indexed_at: datetime
