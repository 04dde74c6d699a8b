"""Manifest of a shipped blob: its lines, counted."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime

from functions.logs.lines import UNREADABLE, LogLine
from shared.cosmos.partition import StoredItem

PLATFORM = "_platform"
"""The folder of lines that no tenant caused; no tenant id begins like it."""

_PARTS = 3


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


@dataclass(frozen=True, slots=True)
class BlobPath:
    """The name of a shipped blob within its container."""

    owner: str
    day: date
    name: str

    @classmethod
    def parse(cls, name: str) -> BlobPath:
        """Read a blob's name.

        Raises:
            ValueError: No shipper gave it.
        """
        parts = name.split("/")
        if len(parts) != _PARTS or not all(parts):
            raise ValueError(f"not a shipped blob's name: {name!r}")
        owner, day, last = parts
        parsed = date.fromisoformat(day)
        if parsed.isoformat() != day:
            raise ValueError(f"not a day: {day!r}")
        return cls(owner, parsed, last)

    def __str__(self) -> str:
        """Render the name."""
        return f"{self.owner}/{self.day.isoformat()}/{self.name}"


def build_manifest(path: BlobPath, content: bytes, indexed_at: datetime) -> Manifest:
    """Count a blob's lines; the same content always makes the same counts."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    first: datetime | None = None
    last: datetime | None = None
    lines = 0
    hour = "00"
    for text in io.BytesIO(content):
        lines += 1
        line = LogLine.parse(text)
        if line is None:
            counts[UNREADABLE][hour] += 1
            continue
        hour = f"{line.at.hour:02}"
        counts[line.level][hour] += 1
        first = line.at if first is None else min(first, line.at)
        last = line.at if last is None else max(last, line.at)
    return Manifest(
        id=path.name,
        day=path.day,
        blob=str(path),
        bytes=len(content),
        lines=lines,
        levels={level: hours.total() for level, hours in sorted(counts.items())},
        counts={level: dict(hours) for level, hours in sorted(counts.items())},
        first_at=first,
        last_at=last,
        indexed_at=indexed_at,
    )
