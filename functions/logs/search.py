"""Search of a tenant's lines, newest first: the store names the chunks that may have some, these are read.

Chunks of several processes overlap in time. A line is shown once no chunk that was not read can have a newer
one; where a page's bounds end it before, the next page begins there.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import nlargest
from itertools import batched
from typing import TYPE_CHECKING, NamedTuple, Protocol

from functions.logs.chunks import BlobPath, UnreadableChunkError, read_lines
from functions.logs.lines import LEVELS, LogLine, microseconds_of, time_of
from functions.logs.repository import ManifestCondition
from functions.logs.tokens import EVENT, REQUEST, token_of
from shared.http.paging import Page
from shared.json_values import texts_within
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping
    from datetime import datetime

    from functions.logs.manifest import SearchableManifest
    from functions.logs.repository import ManifestRepository
    from shared.errors import JsonValue

MOST_CHUNKS = 20
"""The most chunks that a page reads, beside those that lie across the place where it begins."""

MOST_BYTES = 64 * 1024 * 1024
"""The most that these have uncompressed, where they are more than one."""

_PAGE = MOST_CHUNKS + 1
_AFTER_ALL_LINES = 999_999_999
_SEPARATOR = "~"
_logger = get_logger(__name__)


class ReadsBlobs(Protocol):
    """Container of shipped logs, as far as it is read."""

    async def read(self, name: str) -> bytes | None:
        """Return a blob's content, or None where there is none of this name."""
        ...


class LinePosition(NamedTuple):
    """Place of a line in the order of all: its time, then its chunk, then its number in there.

    Attributes:
        at_us: Its time, in microseconds since 1970.
        chunk: The last part of its chunk's name.
        number: Its number in the chunk, from 0.
    """

    at_us: int
    chunk: str
    number: int

    @classmethod
    def parse(cls, cursor: str) -> LinePosition:
        """Read what `cursor` returned."""
        at_us, chunk, number = cursor.split(_SEPARATOR)
        return cls(int(at_us), chunk, int(number))

    @property
    def cursor(self) -> str:
        """The position as a text."""
        return _SEPARATOR.join((str(self.at_us), self.chunk, str(self.number)))


class ChunkLines(NamedTuple):
    """Lines of a chunk: the newest ones that are wanted, newest first, and how many there are of all."""

    newest: list[FoundLine]
    total: int


class FoundLine(NamedTuple):
    """A line that was looked for."""

    position: LinePosition
    line: LogLine


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Lines that are wanted.

    Attributes:
        owner: The tenant's id.
        since: The earliest time.
        until: The time before which they are.
        level: The least level; None for any.
        event: The kind of event.
        request_id: The request.
        facts: Values of fields of a line's own, by name: those of `tokens.FACTS`.
        text: A text that the message, or a field, has, in upper or lower case.
    """

    owner: str
    since: datetime
    until: datetime
    level: str | None = None
    event: str | None = None
    request_id: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None

    @property
    def end(self) -> LinePosition:
        """The place before which they are."""
        return LinePosition(microseconds_of(self.until), "", 0)

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that are wanted; none where any is."""
        return () if self.level is None else LEVELS[LEVELS.index(self.level) :]

    def tokens(self) -> list[str]:
        """Return the tokens that a chunk with such a line has."""
        named = {EVENT: self.event, REQUEST: self.request_id, **self.facts}
        return [token_of(kind, value) for kind, value in named.items() if value is not None]

    def condition(self, begin: LinePosition) -> ManifestCondition:
        """Return the condition that manifests of chunks with such lines before a place meet."""
        conditions = ["c.first_us <= @newest", "c.last_us >= @oldest"]
        parameters: dict[str, JsonValue] = {
            "@newest": begin.at_us,
            "@oldest": microseconds_of(self.since),
        }
        if self.levels:
            levels = (f"c.levels.{level} > 0" for level in self.levels)
            conditions.append(f"({' OR '.join(levels)})")
        for number, token in enumerate(self.tokens()):
            conditions.append(f"(ARRAY_CONTAINS(c.tokens, @t{number}) OR ARRAY_CONTAINS(c.tokens, '*'))")
            parameters[f"@t{number}"] = token
        return ManifestCondition(" AND ".join(conditions), parameters)

    def matches(self, line: LogLine) -> bool:
        """Tell whether a line is wanted, whenever it was written."""
        if line.tenant_id != self.owner or (self.level is not None and line.level not in self.levels):
            return False
        if self.event is not None and line.event != self.event:
            return False
        if self.request_id is not None and line.request_id != self.request_id:
            return False
        if any(line.fact(name) != value for name, value in self.facts.items()):
            return False
        return self.text is None or _has_text(line, self.text.casefold())


@dataclass(frozen=True, slots=True)
class FoundLines:
    """A page of lines.

    Attributes:
        lines: Newest first.
        after: The place after which the next page begins; None where there is none.
    """

    lines: list[FoundLine]
    after: LinePosition | None


class LogSearch:
    """The lines of one tenant.

    Args:
        manifests: Its chunks' manifests.
        blobs: The chunks.
    """

    def __init__(self, manifests: ManifestRepository, blobs: ReadsBlobs) -> None:
        self._manifests = manifests
        self._blobs = blobs

    async def find(self, wanted: LineFilter, after: LinePosition | None, limit: int) -> FoundLines:
        """Return a page of lines, newest first; it may have fewer than `limit`, or none, and not be the last.

        Args:
            wanted: Which lines.
            after: The place after which the page begins; None for the first page.
            limit: The most lines.
        """
        begin = wanted.end if after is None else min(after, wanted.end)
        newest: list[FoundLine] = []
        reached: LinePosition | None = None
        chunks = size = 0
        async with aclosing(self._candidates(wanted, begin)) as candidates:
            async for chunk in candidates:
                end = LinePosition(chunk.last_us, chunk.id, _AFTER_ALL_LINES)
                if len(newest) > limit and newest[-1].position > end:
                    break
                # Those that lie across the page's begin have to be read: one of each process.
                if after is None or end <= begin:
                    if chunks >= MOST_CHUNKS or (chunks and size + chunk.text_bytes > MOST_BYTES):
                        reached = min(end, begin)
                        break
                    chunks += 1
                    size += chunk.text_bytes
                found = await self.read_chunk(chunk, wanted, begin, limit + 1)
                newest = nlargest(limit + 1, [*newest, *found.newest])
        if reached is not None:
            newest = [found for found in newest if found.position > reached]
        if len(newest) > limit:
            return FoundLines(newest[:limit], newest[limit - 1].position)
        return FoundLines(newest, reached)

    async def find_page(self, wanted: LineFilter, cursor: str | None, limit: int) -> Page[FoundLine]:
        """Return the lines that `find` does as a page of a list, each with a cursor of its own."""
        found = await self.find(wanted, None if cursor is None else LinePosition.parse(cursor), limit)
        after = None if found.after is None else found.after.cursor
        return Page(found.lines, lambda line: line.position.cursor, after)

    async def _candidates(
        self, wanted: LineFilter, begin: LinePosition
    ) -> AsyncGenerator[SearchableManifest]:
        """Go through the chunks that may have such lines, by their latest lines, newest first."""
        condition = wanted.condition(begin)
        first = wanted.since.date()
        day = time_of(begin.at_us).date()
        while day >= first:
            after: str | None = None
            while True:
                page = await self._manifests.search_day(day, condition, after, _PAGE)
                for chunk in page:
                    yield chunk
                if len(page) < _PAGE:
                    break
                after = page[-1].id
            day -= timedelta(days=1)

    async def read_chunk(
        self, chunk: SearchableManifest, wanted: LineFilter, begin: LinePosition, limit: int
    ) -> ChunkLines:
        """Return the newest lines of a chunk that are wanted and before a place; none where it is gone."""
        content = await self._blobs.read(chunk.blob)
        if content is None:
            return ChunkLines([], 0)  # its retention is over
        try:
            return await asyncio.to_thread(
                _read_newest, limit, _scan(BlobPath.parse(chunk.blob), content, wanted, begin)
            )
        except UnreadableChunkError as error:
            facts = {"blob": chunk.blob, "reason": str(error)}
            _logger.warning("A chunk that was indexed cannot be read", extra=facts)
            return ChunkLines([], 0)


def _read_newest(limit: int, found: Iterator[FoundLine]) -> ChunkLines:
    newest: list[FoundLine] = []
    count = 0
    for some in batched(found, 2 * limit, strict=False):
        count += len(some)
        newest = nlargest(limit, [*newest, *some])
    return ChunkLines(newest, count)


def _scan(path: BlobPath, content: bytes, wanted: LineFilter, begin: LinePosition) -> Iterator[FoundLine]:
    """Go through the wanted lines of a chunk that are before a place."""
    needle = None if wanted.request_id is None else wanted.request_id.encode()
    for number, text in enumerate(read_lines(path, content)):
        if needle is not None and needle not in text:
            continue  # cheaper than to parse it
        line = LogLine.parse(text)
        if line is None or not wanted.since <= line.at < wanted.until:
            continue
        position = LinePosition(microseconds_of(line.at), path.name, number)
        if position < begin and wanted.matches(line):
            yield FoundLine(position, line)


def _has_text(line: LogLine, text: str) -> bool:
    message = line.fields.get("message")
    return any(text in value.casefold() for value in texts_within((message, line.facts)))
