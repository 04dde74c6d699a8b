"""Manifests in Cosmos: one item per shipped blob, in the partition of its owner and day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.logs.manifest import Manifest, ManifestSummary, SearchableManifest
from shared.cosmos.paging import KeysetPage, walk_pages
from shared.cosmos.partition import Partition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import date

    from shared.cosmos.container import Container
    from shared.errors import JsonValue
    from shared.tenancy.context import TenantContext

_PAGE = 500


class ManifestRepository:
    """The manifests of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container) -> None:
        self._tenant = tenant
        self._container = container

    async def put(self, manifest: Manifest) -> None:
        """Keep a manifest over the one of the same blob."""
        await self._of(manifest.day).upsert(manifest)

    async def of_day(self, day: date) -> AsyncIterator[ManifestSummary]:
        """Go through a day's manifests, a page at a time."""
        async for manifest in _walk(self._of(day)):
            yield manifest

    async def search_day(
        self, day: date, where: str, parameters: Mapping[str, JsonValue], after: str | None, limit: int
    ) -> list[SearchableManifest]:
        """Return a page of a day's manifests that meet a condition, those with the latest lines first."""
        page = KeysetPage(limit, after, descending=True, where=where, parameters=parameters)
        return await self._of(day).read_page(SearchableManifest, page)

    def _of(self, day: date) -> Partition:
        return Partition.of(self._tenant, self._container, day.isoformat())


class PlatformManifests:
    """The manifests of lines that no tenant caused."""

    def __init__(self, container: Container) -> None:
        self._container = container

    async def put(self, manifest: Manifest) -> None:
        """Keep a manifest over the one of the same blob."""
        await self._of(manifest.day).upsert(manifest)

    async def of_day(self, day: date) -> AsyncIterator[ManifestSummary]:
        """Go through a day's manifests, a page at a time."""
        async for manifest in _walk(self._of(day)):
            yield manifest

    def _of(self, day: date) -> Partition:
        return Partition.of_platform(self._container, "logs", day.isoformat())


async def _walk(partition: Partition) -> AsyncIterator[ManifestSummary]:
    async def read(after: str | None, size: int) -> list[ManifestSummary]:
        return await partition.read_page(ManifestSummary, KeysetPage(size, after))

    async for page in walk_pages(read, lambda manifest: manifest.id, _PAGE):
        for manifest in page:
            yield manifest
