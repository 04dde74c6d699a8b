"""API keys in Cosmos: hashes, in the partition of their tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.cosmos.container import (
    BatchFailedError,
    ItemChangedError,
    ItemNotFoundError,
    Patch,
    PatchOperation,
)
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition
from shared.errors import ConflictError
from shared.tenancy.errors import KeyNotFoundError
from shared.tenancy.stored_keys import TenantKeyItem, key_item_id

if TYPE_CHECKING:
    from datetime import datetime

    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantId
    from shared.tenancy.keys import ApiKey
    from shared.tenancy.store import TenantStore
    from shared.tenancy.stored_keys import NewKey

_KEY_END = "key;"
"""The first text after all ids of keys."""

_NOT_REVOKED = "NOT IS_DEFINED(c.revoked_at) OR IS_NULL(c.revoked_at)"


class KeyStore:
    """The keys of all tenants, in the tenants container.

    Args:
        container: The container `tenants`.
        tenants: Tells its subscribers of changed keys, too.
    """

    def __init__(self, container: Container, tenants: TenantStore) -> None:
        self._container = container
        self._tenants = tenants

    async def create(self, key: ApiKey, described: NewKey) -> TenantKeyItem:
        """Store a new key's hash; an answer that was lost is told from another key by the random id."""
        with self._tenants.changing(key.tenant_id):
            stored, _ = await self._own(key.tenant_id).create_or_read(_build_item(key, described))
        return stored

    async def read(self, tenant_id: TenantId, key_id: str) -> TenantKeyItem:
        """Return what is kept of a key, whether or not it still works.

        Raises:
            KeyNotFoundError: The tenant has none of this id.
        """
        stored = await self._own(tenant_id).read(TenantKeyItem, key_item_id(key_id))
        if stored is None:
            raise KeyNotFoundError(key_id)
        return stored

    async def read_page(self, tenant_id: TenantId, after: str | None, limit: int) -> list[TenantKeyItem]:
        """Return a tenant's keys by their ids, after the given one."""
        page = KeysetPage(limit, key_item_id(after or ""), where="c.id < @end", parameters={"@end": _KEY_END})
        return await self._own(tenant_id).read_page(TenantKeyItem, page)

    async def revoke(self, tenant_id: TenantId, key_id: str, at: datetime) -> None:
        """End a key now; one that was revoked before stays revoked since then.

        Raises:
            KeyNotFoundError: The tenant has none of this id.
        """
        change = Patch((PatchOperation("set", "/revoked_at", at.isoformat()),), condition=_NOT_REVOKED)
        try:
            with self._tenants.changing(tenant_id):
                await self._own(tenant_id).patch(TenantKeyItem, key_item_id(key_id), change)
        except ItemNotFoundError as error:
            raise KeyNotFoundError(key_id) from error
        except ItemChangedError:
            return

    async def replace(
        self, old: TenantKeyItem, new: ApiKey, described: NewKey, *, old_expires_at: datetime
    ) -> TenantKeyItem:
        """Store a new key, and with it when the old one ends.

        Raises:
            ConflictError: The old key has changed since it was read.
        """
        own = self._own(new.tenant_id)
        item = _build_item(new, described)
        ending = Patch(
            (
                PatchOperation("set", "/expires_at", old_expires_at.isoformat()),
                PatchOperation("set", "/replaced_by", new.key_id),
            ),
            etag=old.etag,
        )
        try:
            with self._tenants.changing(new.tenant_id):
                await own.batch([own.creating(item), own.patching(old.id, ending)])
        except BatchFailedError as error:
            stored = await own.read(TenantKeyItem, item.id)
            if stored is None or stored.hash != item.hash:
                raise ConflictError(
                    f"Key '{old.key_id}' has changed meanwhile", {"key_id": old.key_id}
                ) from error
            # It was done; only the answer was lost.
        return item

    def _own(self, tenant_id: str) -> Partition:
        return Partition(self._container, (tenant_id,))


def _build_item(key: ApiKey, described: NewKey) -> TenantKeyItem:
    return TenantKeyItem(
        id=key_item_id(key.key_id),
        key_id=key.key_id,
        name=described.name,
        role=described.role,
        hash=key.hash(),
        created_at=described.created_at,
        expires_at=described.expires_at,
        user_id=described.user_id,
    )
