"""Requests and replies about logs."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from shared.http.models import QueryModel, ReplyModel
from shared.validation import Day


class SummaryQuery(QueryModel):
    """`GET /logs/summary`: whole days in UTC, both included; without them, today."""

    from_: Day | None = Field(None, alias="from")
    to: Day | None = None


class DaySummary(ReplyModel):
    """Sums over what was indexed of one day."""

    day: date
    lines: int
    chunks: int
    levels: dict[str, int]


class LogSummaryReply(ReplyModel):
    """The days of which there is something, in order; `chunks` is their sum."""

    days: list[DaySummary]
    chunks: int
