"""Requests and replies about logs."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field, JsonValue

from shared.http.models import QueryModel, ReplyModel
from shared.validation import Day, Time, text_pattern

_EVENT_PATTERN = text_pattern(r"^[A-Za-z0-9._-]{1,64}$", "1 to 64 letters, digits and . _ -")
ID_PATTERN = text_pattern(r"^[A-Za-z0-9._:-]{1,128}$", "1 to 128 letters, digits and . _ : -")
CURSOR_PATTERN = text_pattern(
    r"^[0-9]{1,16}~[A-Za-z0-9._-]{0,80}~[0-9]{1,9}$", "the `next_cursor` of the page before"
)
type LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


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
        levels: Lines by level; `UNREADABLE` are no log lines, `REFUSED` name somebody else than the tenant.
        events: Lines by the kind of event that they record.
    """

    day: date
    lines: int
    chunks: int
    levels: dict[str, int]
    events: dict[str, int]


class LogSummaryReply(ReplyModel):
    """Sums over the tenant's log lines.

    Attributes:
        days: The days of which there is something, in order.
        chunks: Shipped files of all days.
    """

    days: list[DaySummary]
    chunks: int


class LogQuery(QueryModel):
    """Log lines that are wanted.

    Attributes:
        since: The earliest time; without it, the beginning of the day before `to`, in UTC. At most 31 days
            before `to`.
        until: The time before which they were written; without it, now.
        level: The least level.
        event: The kind of event that they record, such as `model_call`.
        request_id: The request or message in whose work they were written.
        conversation_id: The conversation that they are about.
        text: A text that the message or a field has, in upper or lower case.
        limit: The most lines of a page.
        cursor: The `next_cursor` of the page before; without it, the first page.
    """

    since: Time | None = Field(None, alias="from")
    until: Time | None = Field(None, alias="to")
    level: LogLevel | None = None
    event: str | None = Field(None, pattern=_EVENT_PATTERN)
    request_id: str | None = Field(None, pattern=ID_PATTERN)
    conversation_id: str | None = Field(None, pattern=ID_PATTERN)
    text: str | None = Field(None, min_length=1, max_length=200)
    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, pattern=CURSOR_PATTERN)


class LogLineReply(ReplyModel):
    """A log line.

    Attributes:
        time: When it was written, in UTC.
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL.
        logger: The part of the app that wrote it.
        message: The sentence.
        request_id: The request or message in whose work it was written.
        event: The kind of event that it records; null where it records none.
        error: The kind of error that it tells of; null where of none.
        fields: Further fields, which depend on the sentence.
    """

    time: datetime
    level: str
    logger: str
    message: str
    request_id: str | None
    event: str | None
    error: str | None
    fields: dict[str, JsonValue]
