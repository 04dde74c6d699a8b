"""Days and times that a question about logs may span."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from shared.errors import ValidationError

MOST_DAYS = 31
"""The most days that one question is about."""


def list_days(first: date | None, last: date | None, today: date) -> list[date]:
    """Return the days from the first to the last one; without a last one to today, without a first one that.

    Raises:
        ValidationError: They are out of order or too many.
    """
    end = last or (today if first is None else max(first, today))
    begin = first or end
    count = (end - begin).days + 1
    if count < 1:
        raise _refuse("must not be after to")
    if count > MOST_DAYS:
        raise _refuse(f"must be at most {MOST_DAYS} days before to")
    return [begin + timedelta(days=offset) for offset in range(count)]


def time_bounds(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return two times in UTC: without a second one now, without a first one the beginning of the day before.

    Raises:
        ValidationError: They are out of order or too far apart.
    """
    end = (now if until is None else until).astimezone(UTC)
    if since is None:
        begin = datetime.combine(end.date() - timedelta(days=1), time(), UTC)
    else:
        begin = since.astimezone(UTC)
    if begin > end:
        raise _refuse("must not be after to")
    if end - begin > timedelta(days=MOST_DAYS):
        raise _refuse(f"must be at most {MOST_DAYS} days before to")
    return begin, end


def _refuse(reason: str) -> ValidationError:
    return ValidationError(f"Invalid request: from {reason}", {"fields": {"query.from": reason}})
