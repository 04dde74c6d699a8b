"""Reader of the headers by which a model's provider says when to come back."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESETS = ("x-ratelimit-reset-tokens", "x-ratelimit-reset-requests")
_DURATION = re.compile(
    r"(?=.)(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?",
    re.ASCII,
)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def read_retry_after(headers: Mapping[str, str], *, throttled: bool) -> float | None:
    """Return the seconds until another attempt makes sense, or None where the answer does not tell.

    Args:
        headers: The answer's, looked up without regard to case.
        throttled: Whether it is a 429, whose rate-limit headers tell where `Retry-After` is missing.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (seconds := _read_number(headers.get(name))) is not None:
            return seconds * unit
    if (seconds := _read_date(headers.get("retry-after"), headers.get("date"))) is not None:
        return seconds
    resets = [_read_duration(headers.get(name)) for name in _RESETS] if throttled else []
    return max((seconds for seconds in resets if seconds is not None), default=None)


def _read_number(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _read_date(value: str | None, sent_at: str | None) -> float | None:
    """Count from when the answer was sent by the sender's own clock, if it says that."""
    until = _parse_date(value)
    if until is None:
        return None
    now = _parse_date(sent_at) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _parse_date(value: str | None) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _read_duration(value: str | None) -> float | None:
    """Read `55`, `1.5s`, `6m0s` or `120ms`."""
    if value is None:
        return None
    if (seconds := _read_number(value)) is not None:
        return seconds
    match = _DURATION.fullmatch(value)
    if match is None:
        return None
    return sum(float(match[unit] or 0) * seconds for unit, seconds in _SECONDS.items())
