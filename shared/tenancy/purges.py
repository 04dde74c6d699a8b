"""Purges in Cosmos: the tombstone that keeps an id from being used again, the progress, and the proof.

They are the platform's, in a partition of their own, because nothing in the tenant's outlives its purge.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from shared.cosmos.container import Patch, PatchOperation
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition, StoredItem
from shared.tenancy.store import Tier

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantId

_UNFINISHED = "NOT IS_DEFINED(c.finished_at) OR IS_NULL(c.finished_at)"


class PurgeItem(StoredItem):
    """One tenant's purge; its id is the tenant's in lower case, so that no spelling of it is free again.

    Attributes:
        purged: The tenant's id as it was spelled; `tenant_id` is the partition's.
        tier: What it had bought.
        created_at: Since when it was a tenant.
        requested_at: When the administrator asked for the purge.
        closed_at: Since when the store says of the tenant that it is being purged.
        removed: How many items and blobs were removed so far, by where they were; what a crash kept from
            being noted is missing.
        counts: The last count of what is left, by the same names: the proof, when `finished_at` is set.
        counted_at: When that was.
        finished_at: Since when nothing is left, nor can come.
    """

    purged: str
    tier: Tier
    created_at: datetime
    requested_at: datetime
    closed_at: datetime | None = None
    removed: dict[str, int] = Field(default_factory=dict)
    counts: dict[str, int] | None = None
    counted_at: datetime | None = None
    finished_at: datetime | None = None


class Purges:
    """Every purge there was, by the ids of tenants: those that it speaks of have no context any more."""

    def __init__(self, container: Container, clock: Clock) -> None:
        self._own = Partition.of_platform(container, "purges")
        self._clock = clock

    async def request(self, tenant_id: TenantId, *, tier: Tier, created_at: datetime) -> PurgeItem:
        """Keep that a tenant is to be purged; asking again is asking once."""
        item = PurgeItem(
            id=tenant_id.casefold(),
            purged=tenant_id,
            tier=tier,
            created_at=created_at,
            requested_at=self._clock.now(),
        )
        stored, _ = await self._own.create_or_read(item)
        return stored

    async def read(self, tenant_id: str) -> PurgeItem | None:
        """Return a tenant's purge, or None where none was asked for under this id in this spelling."""
        found = await self._own.read(PurgeItem, tenant_id.casefold())
        return found if found is not None and found.purged == tenant_id else None

    async def is_taken(self, tenant_id: str) -> bool:
        """Tell whether an id, in whatever spelling, was or is being purged."""
        return await self._own.read(PurgeItem, tenant_id.casefold()) is not None

    async def list_unfinished(self, after: str | None, limit: int) -> list[PurgeItem]:
        """Return purges that are still to be worked on, by id."""
        return await self._own.read_page(PurgeItem, KeysetPage(limit, after, where=_UNFINISHED))

    async def close(self, purge: PurgeItem) -> PurgeItem:
        """Note that the store says of the tenant that it is being purged."""
        return await self._set(purge, closed_at=self._clock.now())

    async def note_removed(self, purge: PurgeItem, removed: dict[str, int]) -> PurgeItem:
        """Keep the progress."""
        return await self._set(purge, removed=removed)

    async def note_counts(self, purge: PurgeItem, counts: dict[str, int]) -> PurgeItem:
        """Keep what is left, and that the purge is over where that is nothing."""
        now = self._clock.now()
        return await self._set(
            purge, counts=counts, counted_at=now, finished_at=None if any(counts.values()) else now
        )

    async def _set(self, purge: PurgeItem, **fields: object) -> PurgeItem:
        changed = PurgeItem.model_validate(purge.model_dump() | fields).model_dump(mode="json")
        steps = tuple(PatchOperation("set", f"/{name}", changed[name]) for name in fields)
        return await self._own.patch(PurgeItem, purge.id, Patch(steps))
