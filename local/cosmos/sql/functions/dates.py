"""Date and time functions; a moment is ISO 8601 in UTC with seven digits of fraction, as in the service."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from local.cosmos.sql.functions.signature import Function, whole
from local.cosmos.values import UNDEFINED, Value

if TYPE_CHECKING:
    from collections.abc import Callable

_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?(?:Z|([+-])(\d\d):(\d\d))?)?\Z"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TICKS_PER_SECOND: Final = 10_000_000
_TICKS: Final[dict[str, int]] = {
    "day": 86_400 * TICKS_PER_SECOND,
    "dd": 86_400 * TICKS_PER_SECOND,
    "d": 86_400 * TICKS_PER_SECOND,
    "hour": 3600 * TICKS_PER_SECOND,
    "hh": 3600 * TICKS_PER_SECOND,
    "minute": 60 * TICKS_PER_SECOND,
    "mi": 60 * TICKS_PER_SECOND,
    "n": 60 * TICKS_PER_SECOND,
    "second": TICKS_PER_SECOND,
    "ss": TICKS_PER_SECOND,
    "s": TICKS_PER_SECOND,
    "millisecond": 10_000,
    "ms": 10_000,
    "microsecond": 10,
    "mcs": 10,
}
_MONTHS: Final[dict[str, int]] = {"year": 12, "yyyy": 12, "yy": 12, "month": 1, "mm": 1, "m": 1}


def parse_ticks(text: Value) -> int | None:
    """Read a moment as 100-nanosecond ticks since 1970, None where it is none."""
    found = _MOMENT.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    ticks = _whole_ticks(moment) + int((found[7] or "").ljust(7, "0"))
    if found[8]:
        shift = (int(found[9]) * 60 + int(found[10])) * 60 * TICKS_PER_SECOND
        ticks += -shift if found[8] == "+" else shift
    return ticks


def _whole_ticks(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1) * TICKS_PER_SECOND


def format_ticks(ticks: int) -> Value:
    """Write ticks since 1970 as a moment; out of the years 1 to 9999 it is undefined."""
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return UNDEFINED
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f".{fraction:07d}Z"


def _of_moment(compute: Callable[[int], Value]) -> Function:
    def evaluate(text: Value) -> Value:
        ticks = parse_ticks(text)
        return UNDEFINED if ticks is None else compute(ticks)

    return Function(evaluate, 1, 1)


def _add(part: Value, count: Value, text: Value) -> Value:
    number, ticks = whole(count), parse_ticks(text)
    if not isinstance(part, str) or number is None or ticks is None:
        return UNDEFINED
    name = part.lower()
    if name in _TICKS:
        return format_ticks(ticks + number * _TICKS[name])
    if name in {"nanosecond", "ns"}:
        return format_ticks(ticks + number // 100)
    return _add_months(ticks, number * _MONTHS[name]) if name in _MONTHS else UNDEFINED


def _add_months(ticks: int, months: int) -> Value:
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    for day in range(moment.day, 27, -1):
        try:
            return format_ticks(_whole_ticks(moment.replace(year=year, month=month + 1, day=day)) + fraction)
        except ValueError:
            continue
    try:
        return format_ticks(_whole_ticks(moment.replace(year=year, month=month + 1)) + fraction)
    except ValueError:
        return UNDEFINED


def _boundary(ticks: int, part: str) -> int | None:
    """Number the part that a moment lies in; two numbers differ by the boundaries in between."""
    if part in _TICKS:
        return ticks // _TICKS[part]
    if part in {"nanosecond", "ns"}:
        return ticks * 100
    if part in _MONTHS:
        moment = _EPOCH + timedelta(seconds=ticks // TICKS_PER_SECOND)
        return (moment.year * 12 + moment.month - 1) // _MONTHS[part]
    return None


def _diff(part: Value, start: Value, end: Value) -> Value:
    first, last = parse_ticks(start), parse_ticks(end)
    if not isinstance(part, str) or first is None or last is None:
        return UNDEFINED
    left, right = _boundary(first, part.lower()), _boundary(last, part.lower())
    return UNDEFINED if left is None or right is None else right - left


def _part(part: Value, text: Value) -> Value:
    ticks = parse_ticks(text)
    if not isinstance(part, str) or ticks is None:
        return UNDEFINED
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    values: dict[str, int] = {
        **dict.fromkeys(("year", "yyyy", "yy"), moment.year),
        **dict.fromkeys(("month", "mm", "m"), moment.month),
        **dict.fromkeys(("day", "dd", "d"), moment.day),
        **dict.fromkeys(("weekday", "dw", "w"), moment.isoweekday() % 7 + 1),
        **dict.fromkeys(("hour", "hh"), moment.hour),
        **dict.fromkeys(("minute", "mi", "n"), moment.minute),
        **dict.fromkeys(("second", "ss", "s"), moment.second),
        **dict.fromkeys(("millisecond", "ms"), fraction // 10_000),
        **dict.fromkeys(("microsecond", "mcs"), fraction // 10),
        **dict.fromkeys(("nanosecond", "ns"), fraction * 100),
    }
    return values.get(part.lower(), UNDEFINED)


def _bin(text: Value, part: Value, size: Value = 1, origin: Value = "1970-01-01T00:00:00.0000000Z") -> Value:
    ticks, width, start = parse_ticks(text), whole(size), parse_ticks(origin)
    if ticks is None or not isinstance(part, str) or width is None or width <= 0 or start is None:
        return UNDEFINED
    unit = _TICKS.get(part.lower())
    if unit is None:
        return UNDEFINED
    return format_ticks((ticks - start) // (unit * width) * unit * width + start)


def _from_parts(*parts: Value) -> Value:
    numbers = [whole(part) for part in parts]
    present = [number for number in numbers if number is not None]
    if len(present) < len(numbers):
        return UNDEFINED
    year, month, day, hour, minute, second, fraction = (*present, *(0,) * (7 - len(present)))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return UNDEFINED
    return format_ticks(_whole_ticks(moment) + fraction) if 0 <= fraction < TICKS_PER_SECOND else UNDEFINED


def _from_ticks(scale: int) -> Function:
    def evaluate(value: Value) -> Value:
        number = whole(value)
        return UNDEFINED if number is None else format_ticks(number * scale)

    return Function(evaluate, 1, 1)


DATES: Final[dict[str, Function]] = {
    "DATETIMEADD": Function(_add, 3, 3),
    "DATETIMEBIN": Function(_bin, 2, 4),
    "DATETIMEDIFF": Function(_diff, 3, 3),
    "DATETIMEFROMPARTS": Function(_from_parts, 3, 7),
    "DATETIMEPART": Function(_part, 2, 2),
    "DATETIMETOTICKS": _of_moment(lambda ticks: ticks),
    "DATETIMETOTIMESTAMP": _of_moment(lambda ticks: ticks // 10_000),
    "TICKSTODATETIME": _from_ticks(1),
    "TIMESTAMPTODATETIME": _from_ticks(10_000),
}
"""The pure ones; those that read the clock (GETCURRENT...) are bound per query, from the injected clock."""
