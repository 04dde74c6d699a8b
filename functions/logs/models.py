"""Requests and replies about logs."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from shared.http.models import QueryModel, ReplyModel
from shared.validation import Day


class SummaryQuery(QueryModel):
    """Days to sum up, in UTC and both included; without them, today.

    Attributes:
        from_: The first day; without it, the last one alone.
        to: The last day; without it, today.
    """

    from_: Day | None = Field(None, alias="from")
    to: Day | None = None


class DaySummary(ReplyModel):
    """Sums over a day's log lines, as far as they are indexed.

    Attributes:
        day: The day, in UTC.
        lines: Log lines of the day.
        chunks: Shipped files that they are from.
        levels: Lines by level.
    """

    day: date
    lines: int
    chunks: int
    levels: dict[str, int]


class LogSummaryReply(ReplyModel):
    """Sums over the tenant's log lines.

    Attributes:
        days: The days of which there is something, in order.
        chunks: Shipped files of all days.
    """

    days: list[DaySummary]
    chunks: int
