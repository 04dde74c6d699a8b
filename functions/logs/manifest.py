"""Manifest of a shipped blob: its lines, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime
from typing import TYPE_CHECKING

from pydantic import Field

from functions.logs.call_sums import CallSums, CallSumsOfAChunk
from functions.logs.chunks import PLATFORM, read_lines
from functions.logs.lines import UNREADABLE, LogLine, microseconds_of
from functions.logs.tokens import ANYTHING, MOST_TOKENS, token_of, values_of
from shared.cosmos.partition import StoredItem

if TYPE_CHECKING:
    from functions.logs.chunks import BlobPath


FOR_EVER = -1
"""The `ttl` of a manifest whose retention nobody told."""

REFUSED = "REFUSED"
"""The level of a line that names another owner than its blob's: it is counted, and shown to nobody."""

OTHERS = "others"
"""The events of a chunk beyond `_MOST_EVENTS` kinds."""

_MOST_EVENTS = 64
_LONGEST_EVENT = 64


class ManifestSummary(StoredItem):
    """A manifest without its details."""

    lines: int
    levels: dict[str, int]
    events: dict[str, int] = Field(default_factory=dict)


class SearchableManifest(StoredItem):
    """A manifest, as far as a search reads it.

    Attributes:
        first_us: The time of its earliest line, in microseconds since 1970.
        last_us: The time of its latest line.
        text_bytes: What it has uncompressed.
    """

    blob: str
    first_us: int
    last_us: int
    text_bytes: int


class StoredManifest(SearchableManifest):
    """A manifest with the second, since 1970 and by the store's clock, in which it was stored."""

    stored_at: int = Field(alias="_ts", exclude=True)


class CallManifest(StoredItem):
    """A manifest, as far as model calls are summed up."""

    calls: list[CallSums] = Field(default_factory=list)


class Manifest(ManifestSummary):
    """One shipped blob; the id is the last part of its name, the rest of which is the partition's key.

    Attributes:
        counts: Lines per level and, within it, per hour of the day.
        first_us: The time of its earliest line, in microseconds since 1970.
        last_us: The time of its latest line.
        text_bytes: What it has uncompressed.
        tokens: Digests of what its lines can be looked up by, in order.
        calls: Sums over the model calls that it records.
        ttl: Seconds after which the store forgets it.
    """

    day: date
    blob: str
    bytes: int
    text_bytes: int
    first_at: datetime | None
    last_at: datetime | None
    first_us: int | None
    last_us: int | None
    counts: dict[str, dict[str, int]]
    tokens: list[str]
    calls: list[CallSums]
    indexed_at: datetime
    ttl: int = FOR_EVER


class _Counted:
    """Counts of a chunk's lines, made in one walk through them."""

    def __init__(self) -> None:
        self.lines = 0
        self.text_bytes = 0
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.events: Counter[str] = Counter()
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.calls = CallSumsOfAChunk()
        self._values: set[tuple[str, str]] = set()
        self._hour = "00"

    def add(self, owner: str, text: bytes) -> None:
        """Count a line; one that is none, or not the owner's, with its time unknown."""
        self.lines += 1
        self.text_bytes += len(text)
        line = LogLine.parse(text)
        if line is None:
            self.counts[UNREADABLE][self._hour] += 1
        elif (line.tenant_id or PLATFORM) != owner:
            self.counts[REFUSED][self._hour] += 1
        else:
            self._add(line)

    def _add(self, line: LogLine) -> None:
        self._hour = f"{line.at.hour:02}"
        self.counts[line.level][self._hour] += 1
        self.first = line.at if self.first is None else min(self.first, line.at)
        self.last = line.at if self.last is None else max(self.last, line.at)
        if (event := line.event) is not None:
            known = event in self.events or (len(self.events) < _MOST_EVENTS and len(event) <= _LONGEST_EVENT)
            self.events[event if known else OTHERS] += 1
        self.calls.add(line)
        if len(self._values) <= MOST_TOKENS:
            self._values.update(values_of(line))

    def tokens(self) -> list[str]:
        """Return what the lines can be looked up by."""
        if len(self._values) > MOST_TOKENS:
            return [ANYTHING]
        return sorted({token_of(kind, value) for kind, value in self._values})


def build_manifest(path: BlobPath, content: bytes, indexed_at: datetime) -> Manifest:
    """Count a blob's lines; the same content always makes the same counts.

    Raises:
        UnreadableChunkError: It is no chunk.
    """
    found = _Counted()
    for text in read_lines(path, content):
        found.add(path.owner, text)
    return Manifest(
        id=path.name,
        day=path.day,
        blob=str(path),
        bytes=len(content),
        text_bytes=found.text_bytes,
        lines=found.lines,
        levels={level: hours.total() for level, hours in sorted(found.counts.items())},
        events=dict(sorted(found.events.items())),
        counts={level: dict(hours) for level, hours in sorted(found.counts.items())},
        first_at=found.first,
        last_at=found.last,
        first_us=None if found.first is None else microseconds_of(found.first),
        last_us=None if found.last is None else microseconds_of(found.last),
        tokens=found.tokens(),
        calls=found.calls.finish(),
        indexed_at=indexed_at,
    )
