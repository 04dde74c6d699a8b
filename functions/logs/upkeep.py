"""Upkeep of shipped logs: chunks that are kept no longer go, those that nobody indexed are indexed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Protocol

from functions.logs.chunks import PLATFORM, BlobPath
from functions.logs.repository import ManifestRepository, PlatformManifests
from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side
from shared.resilience.deadlines import deadline
from shared.resilience.tasks import spawn
from shared.tenancy.rounds import TenantRounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from functions.logs.contents import ContentRetention
    from functions.logs.retention import LogRetention
    from functions.logs.service import LogIndex
    from shared.blob.store import BlobPage
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from shared.tenancy.rounds import KnowsActiveTenants, ListsTenants

RUN_SECONDS = 480.0
"""After this a run asks nothing more of the stores (host.json, `functionTimeout`); the next one goes on."""

_TENANTS_AT_ONCE = 4
_REMOVALS_AT_ONCE = 8
_PAGE = 500
_MOST_INDEXED = 500
"""The most chunks of an owner that one run indexes."""

_DAYS_TO_RECONCILE = 2
_NOT_KEPT_UP = "Shipped logs were not kept up"
_logger = get_logger(__name__)


class ShippedBlobs(Protocol):
    """Container of shipped logs, as far as it is kept up."""

    async def page(self, prefix: str, cursor: str | None, limit: int) -> BlobPage:
        """List blobs whose names begin so, in order."""
        ...

    async def read(self, name: str) -> bytes | None:
        """Return a blob's content, or None where there is none of this name."""
        ...

    async def delete(self, name: str) -> bool:
        """Remove a blob; tell whether there was one."""
        ...


@dataclass(frozen=True, slots=True)
class LogStores:
    """Where shipped logs are.

    Attributes:
        blobs: The chunks.
        manifests: The container of their manifests.
        index: Makes manifests.
        contents: What model calls said, where tenants have it kept.
    """

    blobs: ShippedBlobs
    manifests: Container
    index: LogIndex
    contents: ShippedBlobs


@dataclass(frozen=True, slots=True)
class UpkeepRetention:
    """For how long things are kept.

    Attributes:
        logs: Shipped logs.
        contents: What model calls said.
    """

    logs: LogRetention
    contents: ContentRetention


class LogUpkeep:
    """Goes through the owners of shipped logs.

    Args:
        directory: Lists the tenants.
        authenticator: Lets the platform's work run as one of them.
        stores: Where the logs are.
        retention: For how long they are kept.
        clock: Tells the day, and bounds a run.
    """

    def __init__(
        self,
        directory: ListsTenants,
        authenticator: KnowsActiveTenants,
        stores: LogStores,
        retention: UpkeepRetention,
        clock: Clock,
    ) -> None:
        self._rounds = TenantRounds(
            directory,
            authenticator,
            failure=_NOT_KEPT_UP,
            defects="Logs that could not be kept up",
            at_once=_TENANTS_AT_ONCE,
        )
        self._stores = stores
        self._retention = retention
        self._clock = clock

    async def run(self) -> None:
        """Keep everything up once; what fails for one owner keeps no other waiting.

        Raises:
            ExceptionGroup: Defects met on the way; every other owner was served all the same.
            DependencyUnavailableError: The tenants cannot be listed.
            DeadlineExceededError: Not all of them could be in the time of a run.
        """
        with deadline(RUN_SECONDS, self._clock):
            both = (spawn(self._keep_up_platform()), spawn(self._rounds.run(self._keep_up)))
            outcomes = await asyncio.gather(*both, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _keep_up_platform(self) -> None:
        """Keep up the platform's own, beside the tenants'."""
        try:
            await self._remove_old(self._stores.blobs, PLATFORM, self._retention.logs.platform_days)
            await self._index_missing(PLATFORM, PlatformManifests(self._stores.manifests))
        except APIError as error:
            _logger.warning(_NOT_KEPT_UP, extra={"owner": PLATFORM, "error": type(error).__name__})

    async def _keep_up(self, tenant: TenantContext) -> int:
        owner, days = tenant.tenant_id, self._retention.logs.days_of(tenant)
        removed = await self._remove_old(self._stores.blobs, owner, days)
        days = await self._retention.contents.days_of(tenant)
        removed += await self._remove_old(self._stores.contents, owner, days)
        manifests = ManifestRepository(tenant, self._stores.manifests)
        return removed + await self._index_missing(tenant.tenant_id, manifests)

    async def _remove_old(self, blobs: ShippedBlobs, owner: str, days: int) -> int:
        """Remove the blobs of days that are over for longer, and count them; names are in order of days."""
        oldest = self._clock.now().date() - timedelta(days=days)
        removed = 0
        cursor = None
        while True:
            page = await blobs.page(f"{owner}/", cursor, _PAGE)
            paths = [path for blob in page.blobs if (path := _parse(blob.name)) is not None]
            over = [path for path in paths if path.day < oldest]
            removals = (blobs.delete(str(path)) for path in over)
            removed += sum(await side_by_side(removals, at_once=_REMOVALS_AT_ONCE))
            cursor = page.cursor
            if len(over) < len(paths) or cursor is None:
                break
        if removed:
            _logger.info(
                "Blobs of the log were removed after their retention",
                extra={"owner": owner, "count": removed},
            )
        return removed

    async def _index_missing(self, owner: str, manifests: ManifestRepository | PlatformManifests) -> int:
        """Index the chunks of the last days whose events were lost, or are late, and count them.

        Twice changes nothing.
        """
        today = self._clock.now().date()
        missing: list[str] = []
        for day in (today - timedelta(days=back) for back in range(_DAYS_TO_RECONCILE)):
            known = {manifest.id async for manifest in manifests.of_day(day)}
            missing += [str(path) async for path in self._chunks_of(owner, day) if path.name not in known]
        for name in missing[:_MOST_INDEXED]:
            content = await self._stores.blobs.read(name)
            if content is not None:
                await self._stores.index.add_chunk(name, content)
        if missing:
            _logger.info(
                "Log chunks were indexed without their event", extra={"owner": owner, "count": len(missing)}
            )
        return len(missing)

    async def _chunks_of(self, owner: str, day: date) -> AsyncIterator[BlobPath]:
        cursor = None
        while True:
            page = await self._stores.blobs.page(f"{owner}/{day.isoformat()}/", cursor, _PAGE)
            for blob in page.blobs:
                if (path := _parse(blob.name)) is not None:
                    yield path
            if page.cursor is None:
                return
            cursor = page.cursor


def _parse(name: str) -> BlobPath | None:
    try:
        return BlobPath.parse(name)
    except ValueError:
        return None
