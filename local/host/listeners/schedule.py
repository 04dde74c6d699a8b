"""When a timer is due: NCRONTAB expressions and plain intervals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from croniter import croniter

from local.host.hostjson import parse_timespan

if TYPE_CHECKING:
    from datetime import tzinfo

_FIELDS_WITH_SECONDS = 6
_FIELDS = 5
_MONITORED_AT_LEAST = timedelta(minutes=1)


class ScheduleError(ValueError):
    """A timer's schedule cannot be read."""


class Schedule(Protocol):
    """When a timer is due."""

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time after `moment`, in UTC."""
        ...

    @property
    def adjusts_for_dst(self) -> bool:
        """Whether it follows a wall clock; Azure passes it on to the function."""
        ...


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Six NCRONTAB fields, or five without the seconds, on a time zone's wall clock."""

    expression: str
    zone: tzinfo = UTC

    @property
    def adjusts_for_dst(self) -> bool:
        """Whether it follows a wall clock."""
        return True

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time after `moment`, in UTC."""
        # NCRONTAB wants the day of the month and the day of the week both to fit; Unix's cron either.
        iterator = croniter(
            self.expression,
            moment.astimezone(self.zone),
            second_at_beginning=True,
            day_or=False,
            ret_type=datetime,
        )
        following: datetime = iterator.get_next()
        return following.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class IntervalSchedule:
    """A fixed time between runs."""

    interval: timedelta

    @property
    def adjusts_for_dst(self) -> bool:
        """Whether it follows a wall clock."""
        return False

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time after `moment`, in UTC."""
        return moment.astimezone(UTC) + self.interval


def parse_schedule(text: str, zone: tzinfo = UTC) -> Schedule:
    """Read `sec min hour day month weekday`, the same without seconds, or `hh:mm:ss`.

    Raises:
        ScheduleError: It is none of these.
    """
    fields = text.split()
    if len(fields) == 1:
        try:
            interval = parse_timespan(text.strip())
        except ValueError as error:
            raise ScheduleError(f"the schedule '{text}' is no NCRONTAB expression and no hh:mm:ss") from error
        if not interval:
            raise ScheduleError(f"the schedule '{text}' has no length")
        return IntervalSchedule(interval)
    if len(fields) not in {_FIELDS, _FIELDS_WITH_SECONDS}:
        raise ScheduleError(f"the schedule '{text}' has {len(fields)} fields; NCRONTAB has six, or five")
    expression = " ".join(fields if len(fields) == _FIELDS_WITH_SECONDS else ["0", *fields])
    try:
        croniter(
            expression, datetime(2000, 1, 1, tzinfo=UTC), second_at_beginning=True, day_or=False
        ).get_next()
    except (ValueError, KeyError) as error:
        raise ScheduleError(f"the schedule '{text}' is no NCRONTAB expression: {error}") from error
    return CronSchedule(expression, zone)


def is_monitored(schedule: Schedule, moment: datetime) -> bool:
    """Whether the schedule is slow enough for Azure to remember it: runs a minute apart or more."""
    first = schedule.next_after(moment)
    second = schedule.next_after(first)
    return second - first >= _MONITORED_AT_LEAST
