"""Manifest of a shipped blob: its lines, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime
from typing import TYPE_CHECKING

from functions.logs.chunks import read_lines
from functions.logs.lines import UNREADABLE, LogLine
from shared.cosmos.partition import StoredItem

if TYPE_CHECKING:
    from functions.logs.chunks import BlobPath


FOR_EVER = -1
"""The `ttl` of a manifest whose retention nobody told."""


class ManifestSummary(StoredItem):
    """A manifest without its details."""

    lines: int
    levels: dict[str, int]


class Manifest(ManifestSummary):
    """One shipped blob; the id is the last part of its name, the rest of which is the partition's key.

    Attributes:
        counts: Lines per level and, within it, per hour of the day.
        ttl: Seconds after which the store forgets it.
    """

    day: date
    blob: str
    bytes: int
    first_at: datetime | None
    last_at: datetime | None
    counts: dict[str, dict[str, int]]
    indexed_at: datetime
    ttl: int = FOR_EVER


def build_manifest(path: BlobPath, content: bytes, indexed_at: datetime) -> Manifest:
    """Count a blob's lines; the same content always makes the same counts.

    Raises:
        UnreadableChunkError: It is no chunk.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    first: datetime | None = None
    last: datetime | None = None
    lines = 0
    hour = "00"
    for text in read_lines(path, content):
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
