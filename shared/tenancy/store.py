"""Tenants and their keys in Cosmos: the repository behind authentication and administration.

One partition per tenant holds the tenant and its keys, so that authenticating is point reads. A directory
partition of the platform's own claims ids without regard to case and lists them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from shared.concurrency import side_by_side
from shared.cosmos.container import Patch, PatchOperation, Query
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import ConflictError
from shared.tenancy.context import Role, parse_tenant_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantId
    from shared.tenancy.keys import ApiKey

_TENANT_ITEM = "tenant"
_DIRECTORY = "tenants"
_PAGE = 100


class TenantStatus(StrEnum):
    """Whether a tenant's credentials work."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Tier(StrEnum):
    """What a tenant has bought; it decides limits."""

    FREE = "free"
    STANDARD = "standard"
    PREMIUM = "premium"
    OWN = "own"


class TenantItem(StoredItem):
    """A tenant, in its own partition."""

    id: str = _TENANT_ITEM
    tenant_id: str
    name: str
    tier: Tier
    status: TenantStatus
    created_at: datetime


class TenantKeyItem(StoredItem):
    """What is kept of a key: never the key."""

    key_id: str
    name: str
    role: Role
    hash: str
    created_at: datetime
    revoked_at: datetime | None = None


class DirectoryItem(StoredItem):
    """One id in the directory: `id` is the tenant id in lower case."""

    name: str
    claimed_as: str


class TenantStore:
    """The tenants container.

    Tenant ids come from a key that was presented or from the administrator, before there is a context to
    speak of: this is what contexts are made from, so it takes ids.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._directory = Partition.of_platform(container, _DIRECTORY)

    async def create(self, item: TenantItem) -> TenantItem:
        """Claim the id, then store the tenant; a claim that a crash left alone is completed by asking again.

        Raises:
            ConflictError: The id is taken, perhaps in another spelling, or was used before.
        """
        claim = DirectoryItem(id=item.tenant_id.casefold(), name=item.name, claimed_as=item.tenant_id)
        claimed, _ = await self._directory.create_or_read(claim)
        if claimed.claimed_as == item.tenant_id:
            stored, is_new = await self._own(item.tenant_id).create_or_read(item)
            if is_new:
                return stored
        raise ConflictError(f"Tenant '{item.tenant_id}' exists already", {"tenant_id": item.tenant_id})

    async def read(self, tenant_id: TenantId) -> TenantItem | None:
        """Return a tenant, active or not."""
        return await self._own(tenant_id).read(TenantItem, _TENANT_ITEM)

    async def read_with_key(
        self, tenant_id: TenantId, key_id: str
    ) -> tuple[TenantItem | None, TenantKeyItem | None]:
        """Return a tenant and one of its keys: two point reads side by side."""
        own = self._own(tenant_id)

        async def read_key() -> TenantKeyItem | None:
            return await own.read(TenantKeyItem, _key_item_id(key_id))

        found = await side_by_side([self.read(tenant_id), read_key()])
        return cast("tuple[TenantItem | None, TenantKeyItem | None]", tuple(found))

    async def page(self, after: str | None, limit: int) -> list[TenantItem]:
        """Return tenants in order of their ids in lower case, after the given one."""
        names = await self._directory.query(
            DirectoryItem,
            Query(
                "SELECT c.id, c.name, c.claimed_as, c.schema_version, c._etag FROM c "
                "WHERE c.id > @after ORDER BY c.id",
                {"@after": after or ""},
                limit,
            ),
        )
        found = await side_by_side(self.read(parse_tenant_id(name.claimed_as)) for name in names)
        return [tenant for tenant in found if tenant is not None]

    async def active(self) -> AsyncIterator[list[TenantItem]]:
        """Go through every active tenant, a page of them at a time."""
        after: str | None = None
        while page := await self.page(after, _PAGE):
            yield [tenant for tenant in page if tenant.status is TenantStatus.ACTIVE]
            after = page[-1].tenant_id.casefold()

    async def set_status(self, tenant_id: TenantId, status: TenantStatus) -> TenantItem:
        """Suspend or reactivate a tenant.

        Raises:
            ItemNotFoundError: There is none.
        """
        change = Patch((PatchOperation("set", "/status", status),))
        return await self._own(tenant_id).patch(TenantItem, _TENANT_ITEM, change)

    async def create_key(self, key: ApiKey, *, name: str, role: Role, created_at: datetime) -> TenantKeyItem:
        """Store a new key's hash."""
        return await self._own(key.tenant_id).create(
            TenantKeyItem(
                id=_key_item_id(key.key_id),
                key_id=key.key_id,
                name=name,
                role=role,
                hash=key.hash(),
                created_at=created_at,
            )
        )

    def _own(self, tenant_id: str) -> Partition:
        return Partition(self._container, (tenant_id,))


def _key_item_id(key_id: str) -> str:
    return f"key:{key_id}"
