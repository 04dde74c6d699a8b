"""Typed access to what belongs to one owner: the store stamps the tenant, a payload cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.cosmos.container import (
    BatchOperation,
    Container,
    ItemExistsError,
    Json,
    Key,
    Patch,
    Query,
)
from shared.cosmos.paging import KeysetPage, read_page, read_prefix_page
from shared.cosmos.queries import fields_of, select
from shared.tenancy.context import TenantContext, require_tenant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ETAG = "_etag"
_OWNER = "tenant_id"
_READ_AT_ONCE = 100


class StoredItem(BaseModel):
    """One stored item; what a newer version added to it is tolerated, and kept when it is patched."""

    # What cannot be read is a defect, and logged: without what people wrote.
    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    id: str
    schema_version: int = 1
    etag: str | None = Field(None, alias=_ETAG, exclude=True)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        """Read an item as the store returned it."""
        return cls.model_validate(body)


def platform_key(name: str, *levels: str) -> Key:
    """Return the key of one of the platform's own partitions; no tenant id can collide with it."""
    return (f"global:{name}", *levels)


class Partition:
    """The items of one owner in one container.

    Args:
        container: Where they are.
        key: The partition key, or for queries a prefix of a hierarchical one; its first level is the owner.
    """

    def __init__(self, container: Container, key: Key) -> None:
        self._container = container
        self._key = key

    @classmethod
    def of(cls, tenant: TenantContext, container: Container, *levels: str) -> Partition:
        """Open a tenant's own items, narrowed by further levels of a hierarchical key.

        Raises:
            ValueError: There is no tenant.
        """
        return cls(container, (require_tenant(tenant).tenant_id, *levels))

    @classmethod
    def of_platform(cls, container: Container, name: str, *levels: str) -> Partition:
        """Open one of the platform's own partitions; no tenant id can collide with its `global:` key."""
        return cls(container, platform_key(name, *levels))

    async def read[M: StoredItem](self, model: type[M], item_id: str) -> M | None:
        """Return the item, or None where this owner has none of this id."""
        body = await self._container.read(self._key, item_id)
        return None if body is None else model.from_json(body)

    async def create[M: StoredItem](self, item: M) -> M:
        """Store a new item and return it with its ETag.

        Raises:
            ItemExistsError: This owner has one of this id.
        """
        return type(item).from_json(await self._container.create(self._key, self._stamp_owner(item)))

    async def upsert[M: StoredItem](self, item: M) -> M:
        """Store an item over whatever had its id, and return it with its ETag."""
        return type(item).from_json(await self._container.upsert(self._key, self._stamp_owner(item)))

    async def patch[M: StoredItem](self, model: type[M], item_id: str, patch: Patch) -> M:
        """Change an item where it stands and return it.

        Raises:
            ItemNotFoundError: This owner has none of this id.
            ItemChangedError: The condition or the ETag does not hold.
        """
        return model.from_json(await self._container.patch(self._key, item_id, patch))

    async def delete(self, item_id: str, etag: str | None = None) -> bool:
        """Remove an item; tell whether this owner had one of this id.

        Raises:
            ItemChangedError: Its ETag is another one.
        """
        return await self._container.delete(self._key, item_id, etag)

    async def read_many[M: StoredItem](self, model: type[M], ids: Iterable[str]) -> list[M]:
        """Return those of the items that are there, in no order: one request for each 100."""
        wanted = list(dict.fromkeys(ids))
        found: list[M] = []
        for start in range(0, len(wanted), _READ_AT_ONCE):
            part = wanted[start : start + _READ_AT_ONCE]
            parameters = {f"@id{number}": item_id for number, item_id in enumerate(part)}
            text = select(model, where=f"c.id IN ({', '.join(parameters)})")
            found += await self.query(model, Query(text, parameters, len(part)))
        return found

    async def query[M: StoredItem](self, model: type[M], query: Query) -> list[M]:
        """Return what this owner has, at most `query.limit` of it; for an order use a page."""
        return [model.from_json(body) for body in await self._container.query(self._key, query)]

    async def read_page[M: StoredItem](self, model: type[M], page: KeysetPage) -> list[M]:
        """Return a page of this partition in the order of a field."""
        found = await read_page(self._container, self._key, page, fields_of(model))
        return [model.from_json(body) for body in found]

    async def read_prefix_page[M: StoredItem](self, model: type[M], page: KeysetPage) -> list[M]:
        """Return a page in the order of a field where the key is only a prefix."""
        found = await read_prefix_page(self._container, self._key, page, fields_of(model))
        return [model.from_json(body) for body in found]

    async def batch(self, operations: Sequence[BatchOperation], *, minimal: bool = False) -> list[Json]:
        """Do all of the operations or none; build them with `creating`, `upserting`, `patching`, `reading`.

        Returns:
            Each item as it is stored now, or, where `minimal`, only its `_etag`.

        Raises:
            BatchFailedError: One of them cannot be done.
        """
        return await self._container.batch(self._key, operations, minimal=minimal)

    def creating(self, item: StoredItem | Json) -> BatchOperation:
        """Describe `create` for a batch."""
        body = self._stamp_owner(item)
        return BatchOperation("create", str(body["id"]), body=body)

    def upserting(self, item: StoredItem | Json) -> BatchOperation:
        """Describe `upsert` for a batch."""
        body = self._stamp_owner(item)
        return BatchOperation("upsert", str(body["id"]), body=body)

    def reading(self, item_id: str) -> BatchOperation:
        """Describe for a batch that an item is read; where it is missing, the batch fails."""
        return BatchOperation("read", item_id)

    def patching(self, item_id: str, patch: Patch) -> BatchOperation:
        """Describe `patch` for a batch."""
        return BatchOperation("patch", item_id, patch=patch)

    async def create_or_read[M: StoredItem](self, item: M) -> tuple[M, bool]:
        """Store the item unless one of its id is there; return what is stored, and whether it is new."""
        try:
            return await self.create(item), True
        except ItemExistsError:
            stored = await self.read(type(item), item.id)
            if stored is None:  # deleted between the two requests: the id is free again
                return await self.create(item), True
            return stored, False

    def _stamp_owner(self, item: StoredItem | Json) -> Json:
        body = item.model_dump(mode="json", by_alias=True) if isinstance(item, StoredItem) else item
        return body | {_OWNER: self._key[0]}
