"""Manifests in Cosmos: one item per shipped blob, in the partition of its owner and day."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from functions.logs.call_sums import MODEL_CALL
from functions.logs.manifest import (
    CallManifest,
    Manifest,
    ManifestSummary,
    SearchableManifest,
    StoredManifest,
)
from functions.logs.tokens import ANYTHING, EVENT, token_of
from shared.cosmos.paging import KeysetPage, walk_pages
from shared.cosmos.partition import Partition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import date

    from shared.cosmos.container import Container
    from shared.errors import JsonValue
    from shared.tenancy.context import TenantContext

_PAGE = 500


class ManifestCondition(NamedTuple):
    """Condition that manifests meet, in Cosmos SQL, and its values by name, `@` included."""

    where: str
    parameters: Mapping[str, JsonValue]


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

    async def calls_of_day(self, day: date) -> AsyncIterator[CallManifest]:
        """Go through a day's manifests of chunks that record model calls, a page at a time."""
        partition = self._of(day)
        parameters: dict[str, JsonValue] = {"@call": token_of(EVENT, MODEL_CALL), "@any": ANYTHING}
        where = "ARRAY_CONTAINS(c.tokens, @call) OR ARRAY_CONTAINS(c.tokens, @any)"

        async def read(after: str | None, size: int) -> list[CallManifest]:
            page = KeysetPage(size, after, where=where, parameters=parameters)
            return await partition.read_page(CallManifest, page)

        async for page in walk_pages(read, lambda manifest: manifest.id, _PAGE):
            for manifest in page:
                yield manifest

    async def search_day(
        self, day: date, condition: ManifestCondition, after: str | None, limit: int
    ) -> list[SearchableManifest]:
        """Return a page of a day's manifests that meet a condition, those with the latest lines first."""
        where, parameters = condition
        page = KeysetPage(limit, after, descending=True, where=where, parameters=parameters)
        return await self._of(day).read_page(SearchableManifest, page)

    async def stored_since(
        self, day: date, condition: ManifestCondition, stored_at: int
    ) -> AsyncIterator[StoredManifest]:
        """Go through a day's manifests that meet a condition and were stored at a second, or later."""
        partition = self._of(day)
        where = f"{condition.where} AND c._ts >= @stored_at"
        parameters = {**condition.parameters, "@stored_at": stored_at}

        async def read(after: str | None, size: int) -> list[StoredManifest]:
            page = KeysetPage(size, after, where=where, parameters=parameters)
            return await partition.read_page(StoredManifest, page)

        async for page in walk_pages(read, lambda manifest: manifest.id, _PAGE):
            for manifest in page:
                yield manifest

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
