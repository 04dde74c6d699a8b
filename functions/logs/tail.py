"""Tail of a tenant's log: lines as their chunks arrive in the index, from whichever instance they are.

What arrived is told by the store's own time of each manifest.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from heapq import nlargest
from typing import TYPE_CHECKING

from functions.logs.models import LogTailReply, TailLineReply, TailStart
from functions.logs.search import MOST_BYTES, MOST_CHUNKS, FoundLine, LineFilter, LogSearch
from functions.logs.service import render_line
from functions.logs.shipping import SHIP_SECONDS
from functions.logs.stream_places import STREAM_SECONDS
from shared.http.streaming import StreamEvent
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from functions.logs.manifest import StoredManifest
    from functions.logs.models import LogTailQuery
    from functions.logs.repository import ManifestRepository
    from shared.clock import Clock
    from shared.tenancy.context import TenantContext

PAUSE_SECONDS = 5.0
"""Between two looks for chunks that arrived."""

DELAY_SECONDS = int(SHIP_SECONDS + PAUSE_SECONDS) + 10
"""Seconds after which a line arrives: until its file is set aside, some for upload and index, a look."""

OVERLAP_SECONDS = 5
"""How much later a manifest may be seen than its time says: partitions have clocks of their own."""

MOST_LINES = 500
"""The most lines that are told of what arrived at a time: the newest."""

_FIRST_LOOK_SECONDS = 60
_LONGEST_LOOK_SECONDS = 3_600
_LONGEST_FUTURE = timedelta(days=1)
_DAYS = (timedelta(days=-1), timedelta(), timedelta(minutes=5))
_STORED_AT = re.compile(r"[0-9]{1,12}")


class LogTail:
    """Follower of one tenant's log, from some moment on.

    Args:
        tenant: Whose.
        manifests: Where its chunks' manifests are.
        search: Reads the chunks.
        clock: Waits, and tells the day.
    """

    def __init__(
        self, tenant: TenantContext, manifests: ManifestRepository, search: LogSearch, clock: Clock
    ) -> None:
        self._tenant = tenant
        self._manifests = manifests
        self._search = search
        self._clock = clock
        self._seen: frozenset[str] = frozenset()

    async def look(self, query: LogTailQuery) -> LogTailReply:
        """Return the lines of what arrived since a moment, or in the last minute, oldest first."""
        return await self._look(query, self._begin(query.after))

    async def follow(
        self, query: LogTailQuery, last_event_id: str | None
    ) -> AsyncGenerator[StreamEvent | LogTailReply]:
        """Give each line that arrives as an event, and at the end what a later look begins with.

        The first event tells that it began, and the id to take it up again with.

        Raises:
            ValidationError: The id is no event's.
        """
        if last_event_id is not None and _STORED_AT.fullmatch(last_event_id) is None:
            raise refused_field("header.last-event-id", "is the id of no event")
        after = self._begin(query.after if last_event_id is None else int(last_event_id))
        ends_at = self._clock.monotonic() + STREAM_SECONDS
        start = TailStart(after=after, delay_seconds=DELAY_SECONDS)
        yield StreamEvent("start", start.model_dump_json(), str(after))
        is_cut = False
        while self._clock.monotonic() < ends_at:
            found = await self._look(query, after)
            is_cut = is_cut or found.is_cut
            for number, line in enumerate(found.items, 1):
                # A client that is cut off before the last of them, as who reads slowly is, gets them again.
                reached = found.after if number == len(found.items) else after
                yield StreamEvent("line", line.model_dump_json(), str(reached))
                if self._clock.monotonic() >= ends_at:
                    break
            else:
                reached = found.after
            after = reached
            await self._clock.sleep(PAUSE_SECONDS)
        yield LogTailReply(items=[], after=after, is_cut=is_cut, delay_seconds=DELAY_SECONDS)

    def _begin(self, after: int | None) -> int:
        """Return the second to begin with: not more than an hour ago, and not in the future."""
        now = int(self._clock.now().timestamp())
        asked = now - _FIRST_LOOK_SECONDS if after is None else after
        return min(max(asked, now - _LONGEST_LOOK_SECONDS), now)

    async def _look(self, query: LogTailQuery, after: int) -> LogTailReply:
        wanted = self._wanted(query)
        arrived = await self._find_arrived(wanted, after)
        read = _cut_chunks(arrived)
        newest: list[FoundLine] = []
        count = 0
        for chunk in read:
            found = await self._search.read_chunk(chunk, wanted, wanted.end, MOST_LINES)
            count += found.total
            newest = nlargest(MOST_LINES, [*newest, *found.newest])
        return LogTailReply(
            items=[_render(line) for line in reversed(newest)],
            after=max([after, *(chunk.stored_at for chunk in arrived)]),
            is_cut=len(read) < len(arrived) or len(newest) < count,
            delay_seconds=DELAY_SECONDS,
        )

    async def _find_arrived(self, wanted: LineFilter, after: int) -> Sequence[StoredManifest]:
        """Return the chunks that arrived since, and were not there at the look before."""
        condition = wanted.condition(wanted.end)
        since = after - OVERLAP_SECONDS
        found: dict[str, StoredManifest] = {}
        now = self._clock.now().astimezone(UTC)
        for day in sorted({(now + offset).date() for offset in _DAYS}):
            async for chunk in self._manifests.stored_since(day, condition, since):
                found[chunk.blob] = chunk
        arrived = [chunk for blob, chunk in found.items() if blob not in self._seen]
        self._seen = frozenset(found)
        return arrived

    def _wanted(self, query: LogTailQuery) -> LineFilter:
        """Return the filter of lines since yesterday's beginning; other clocks may be ahead of this one."""
        now = self._clock.now().astimezone(UTC)
        return LineFilter(
            owner=self._tenant.tenant_id,
            since=datetime.combine(now.date() - timedelta(days=1), time(), UTC),
            until=now + _LONGEST_FUTURE,
            level=query.level,
            event=query.event,
            request_id=query.request_id,
            facts=query.facts,
            text=query.text,
        )


def _cut_chunks(arrived: Sequence[StoredManifest]) -> list[StoredManifest]:
    """Return the newest of the chunks, as many as a look reads."""
    read: list[StoredManifest] = []
    size = 0
    for chunk in nlargest(MOST_CHUNKS, arrived, key=lambda chunk: chunk.last_us):
        size += chunk.text_bytes
        if read and size > MOST_BYTES:
            break
        read.append(chunk)
    return read


def _render(found: FoundLine) -> TailLineReply:
    return TailLineReply(id=found.position.cursor, **dict(render_line(found)))
