"""Requests and replies about logs."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from functions.logs.search import LinePosition
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


class LineQuery(QueryModel):
    """Log lines that are wanted, whenever they were written.

    Attributes:
        level: The least level.
        event: The kind of event that they record, such as `model_call`.
        request_id: The request or message in whose work they were written.
        conversation_id: The conversation that they are about.
        text: A text that the message or a field has, in upper or lower case.
    """

    level: LogLevel | None = None
    event: str | None = Field(None, pattern=_EVENT_PATTERN)
    request_id: str | None = Field(None, pattern=ID_PATTERN)
    conversation_id: str | None = Field(None, pattern=ID_PATTERN)
    text: str | None = Field(None, min_length=1, max_length=200)

    @property
    def facts(self) -> dict[str, str]:
        """Return the fields of a line's own that are asked for."""
        return {} if self.conversation_id is None else {"conversation_id": self.conversation_id}


class LogQuery(LineQuery):
    """Log lines that are wanted.

    Attributes:
        since: The earliest time; without it, the beginning of the day before `to`, in UTC. At most 31 days
            before `to`.
        until: The time before which they were written; without it, now.
        limit: The most lines of a page; a stream of JSON lines has all of them.
        cursor: The `next_cursor` of the page before; without it, the first page.
    """

    since: Time | None = Field(None, alias="from")
    until: Time | None = Field(None, alias="to")
    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, pattern=CURSOR_PATTERN)

    @property
    def position(self) -> LinePosition | None:
        """Return the place after which the page begins; None for the first page."""
        return None if self.cursor is None else LinePosition.parse(self.cursor)


class LogTailQuery(LineQuery):
    """Log lines that are wanted as they arrive.

    Attributes:
        after: The `after` of the look before; without it, what arrived in the last minute comes first.
    """

    after: int | None = Field(None, ge=0, le=999_999_999_999)


class LogLineReply(ReplyModel):
    """A log line.

    Attributes:
        time: When it was written, in UTC.
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL.
        logger: The part of the app that wrote it.
        message: The sentence.
        request_id: The request or message in whose work it was written.
        trace_id: The trace that it was written in, where telemetry is exported.
        span_id: The span of that.
        event: The kind of event that it records; null where it records none.
        error: The kind of error that it tells of; null where of none.
        fields: Further fields, which depend on the sentence.
    """

    time: datetime
    level: str
    logger: str
    message: str
    request_id: str | None
    trace_id: str | None
    span_id: str | None
    event: str | None
    error: str | None
    fields: dict[str, Any]


class TailLineReply(LogLineReply):
    """A log line that arrived.

    Attributes:
        id: The line's id; what comes again, after a stream was taken up again, has the same.
    """

    id: str


class TailStart(ReplyModel):
    """Beginning of a stream of lines that arrive.

    Attributes:
        after: The second, since 1970, since which lines arrived that come.
        delay_seconds: Seconds after which a line that is written now has arrived, while nothing is down.
    """

    after: int
    delay_seconds: int


class LogTailReply(ReplyModel):
    """Lines of the tenant's log that arrived.

    Attributes:
        items: The newest 500 lines of it, oldest first; in a stream they are its events.
        after: Sent as `after`, it asks for what arrives later; lines of the five seconds before come again,
            with the same ids.
        is_cut: Whether older lines of it are left out: more than 500, or those of more than 20 shipped files
            that arrived at a time. `GET /logs` has them.
        delay_seconds: Seconds after which a line that is written now has arrived, while nothing is down.
    """

    items: list[TailLineReply]
    after: int
    is_cut: bool
    delay_seconds: int
