"""Index shipped blobs and sum a tenant's own up."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from pydantic_core import to_json

from functions.logs.chunks import PLATFORM, BlobPath, UnreadableChunkError
from functions.logs.days import list_days, time_bounds
from functions.logs.lines import UNREADABLE
from functions.logs.manifest import REFUSED, build_manifest
from functions.logs.models import DaySummary, LogLineReply, LogSummaryReply
from functions.logs.repository import ManifestRepository, PlatformManifests
from functions.logs.search import LineFilter, LogSearch
from functions.logs.stream_places import STREAM_SECONDS
from shared.http.paging import ListReply
from shared.http.streaming import StreamEnd, StreamEvent
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side
from shared.tenancy.errors import TenantNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import date

    from functions.logs.manifest import Manifest
    from functions.logs.models import LogQuery, SummaryQuery
    from functions.logs.retention import LogRetention
    from functions.logs.search import FoundLine, ReadsBlobs
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import PlatformAuthenticator, TenantContext

_DAYS_AT_ONCE = 8
_STREAMED_AT_ONCE = 1_000
_LAST_PAGE_SECONDS = 15.0
_logger = get_logger(__name__)


class LogIndex:
    """Index of shipped blobs: each is the tenant's that its name says, where there is such a tenant.

    Args:
        tenants: Lets the platform's work run as a tenant.
        container: Where manifests are.
        retention: For how long they are needed.
        clock: Dates them.
    """

    def __init__(
        self, tenants: PlatformAuthenticator, container: Container, retention: LogRetention, clock: Clock
    ) -> None:
        self._tenants = tenants
        self._container = container
        self._retention = retention
        self._clock = clock

    async def add(self, blob: str, content: bytes) -> None:
        """Keep the manifest of a blob; doing it again changes nothing that counts.

        Args:
            blob: The blob's name, its container first.
            content: What is in it.

        Raises:
            DependencyUnavailableError: The store does not take it; the event must come again.
        """
        await self.add_chunk(blob.partition("/")[2], content)

    async def add_chunk(self, name: str, content: bytes) -> None:
        """Keep the manifest of a blob by its name within the container.

        Raises:
            DependencyUnavailableError: The store does not take it.
        """
        try:
            path = BlobPath.parse(name)
        except ValueError:
            _logger.warning("A blob that no shipper named was left", extra={"blob": name})
            return
        try:
            manifest = await asyncio.to_thread(build_manifest, path, content, self._clock.now())
        except UnreadableChunkError as error:
            _logger.warning("A blob that is no chunk was left", extra={"blob": name, "reason": str(error)})
            return
        _tell_of_refused(manifest, path.owner)
        if path.owner == PLATFORM:
            kept = self._limit(manifest, self._retention.platform_days)
            await PlatformManifests(self._container).put(kept)
            return
        try:
            tenant = await self._tenants.for_platform(path.owner)
        except TenantNotFoundError:
            _logger.warning("Logs of an unknown tenant were left", extra={"blob": name})
            return
        with logging_as(tenant_id=tenant.tenant_id):
            kept = self._limit(manifest, self._retention.days_of(tenant))
            await ManifestRepository(tenant, self._container).put(kept)

    def _limit(self, manifest: Manifest, days: int) -> Manifest:
        left = self._retention.seconds_left(days, manifest.day, manifest.indexed_at)
        return manifest.model_copy(update={"ttl": left})


class LogService:
    """The logs of one tenant.

    Args:
        tenant: Whose.
        container: Where manifests are.
        blobs: Where chunks are.
        clock: Tells the day.
    """

    def __init__(self, tenant: TenantContext, container: Container, blobs: ReadsBlobs, clock: Clock) -> None:
        self._tenant = tenant
        self._manifests = ManifestRepository(tenant, container)
        self._search = LogSearch(self._manifests, blobs)
        self._clock = clock

    async def list_lines(self, query: LogQuery) -> ListReply[LogLineReply]:
        """Return a page of the lines that are wanted, newest first.

        Raises:
            ValidationError: The times are out of order or too far apart.
        """
        page = await self._search.find_page(self._wanted(query), query.cursor, query.limit)
        return ListReply[LogLineReply].of(page, render_line)

    async def stream_lines(self, query: LogQuery) -> AsyncGenerator[StreamEvent | StreamEnd]:
        """Give all lines that are wanted, newest first, as long as there is time.

        Raises:
            ValidationError: The times are out of order or too far apart.
        """
        wanted, after = self._wanted(query), query.position
        ends_at = self._clock.monotonic() + STREAM_SECONDS
        while True:
            found = await self._search.find(wanted, after, _STREAMED_AT_ONCE)
            is_over = False
            for line in found.lines:  # a reader that is slow does not get them all
                yield StreamEvent("", render_line(line).model_dump_json())
                if is_over := self._clock.monotonic() >= ends_at + _LAST_PAGE_SECONDS:
                    after = line.position
                    break
            else:
                after = found.after
            if after is None:
                yield StreamEnd(b"", b"")
                return
            if is_over or self._clock.monotonic() >= ends_at:
                rest = to_json({"next_cursor": after.cursor}) + b"\n"
                yield StreamEnd(rest, rest)
                return

    def _wanted(self, query: LogQuery) -> LineFilter:
        since, until = time_bounds(query.since, query.until, self._clock.now())
        return LineFilter(
            owner=self._tenant.tenant_id,
            since=since,
            until=until,
            level=query.level,
            event=query.event,
            request_id=query.request_id,
            facts=query.facts,
            text=query.text,
        )

    async def summary(self, query: SummaryQuery) -> LogSummaryReply:
        """Sum the indexed blobs up by day.

        Raises:
            ValidationError: The days are out of order or too many.
        """
        days = list_days(query.from_, query.to, self._clock.now().date())
        summaries = await side_by_side((self._sum_day(day) for day in days), at_once=_DAYS_AT_ONCE)
        found = [summary for summary in summaries if summary.chunks]
        return LogSummaryReply(days=found, chunks=sum(summary.chunks for summary in found))

    async def _sum_day(self, day: date) -> DaySummary:
        lines = chunks = 0
        levels: Counter[str] = Counter()
        events: Counter[str] = Counter()
        async for manifest in self._manifests.of_day(day):
            lines += manifest.lines
            chunks += 1
            levels.update(manifest.levels)
            events.update(manifest.events)
        return DaySummary(
            day=day,
            lines=lines,
            chunks=chunks,
            levels=dict(sorted(levels.items())),
            events=dict(sorted(events.items())),
        )


def _tell_of_refused(manifest: Manifest, owner: str) -> None:
    """Log that a chunk has lines that are not its owner's: they stay in it, and are not shown."""
    unreadable, refused = (manifest.levels.get(level, 0) for level in (UNREADABLE, REFUSED))
    if refused or (unreadable and owner != PLATFORM):
        facts = {"blob": manifest.blob, "unreadable": unreadable, "refused": refused}
        _logger.warning("A chunk has lines that are not its owner's", extra=facts)


def render_line(found: FoundLine) -> LogLineReply:
    """Render a line for its tenant: without the stack of an error, which is the app's own."""
    line, fields = found.line, found.line.fields
    exception = fields.get("exception")
    return LogLineReply(
        time=line.at,
        level=line.level,
        logger=str(fields.get("logger", "")),
        message=str(fields.get("message", "")),
        request_id=line.request_id,
        trace_id=line.trace_id,
        span_id=line.span_id,
        event=line.event,
        error=str(exception.get("type")) if isinstance(exception, dict) else None,
        fields={name: value for name, value in line.facts.items() if name != "event"},
    )
