"""Tenants in Cosmos: the repository behind authentication and administration.

One partition per tenant holds the tenant and its keys, so that authenticating is point reads. A directory
partition of the platform's own claims ids without regard to case and lists them.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.cosmos.container import (
    ItemChangedError,
    ItemNotFoundError,
    Patch,
    PatchOperation,
    Query,
)
from shared.cosmos.paging import KeysetPage, walk_pages
from shared.cosmos.partition import Partition, StoredItem
from shared.cosmos.queries import fields_of, select
from shared.errors import ConflictError, PreconditionFailedError
from shared.resilience.concurrency import side_by_side
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.errors import TenantNotFoundError
from shared.tenancy.stored_keys import TenantKeyItem, key_item_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantId

TENANT_ITEM = "tenant"
"""The id of the item that is the tenant."""

_DIRECTORY = "tenants"
_PAGE = 100
_AT_ONCE = 16


class TenantStatus(StrEnum):
    """Whether a tenant's credentials work: only while it is active."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    PURGING = "purging"
    PURGED = "purged"


_NOT_PURGING = f"c.status != '{TenantStatus.PURGING}'"


class Tier(StrEnum):
    """Tier that a tenant has bought; it decides limits."""

    FREE = "free"
    STANDARD = "standard"
    PREMIUM = "premium"
    OWN = "own"


class TenantItem(StoredItem):
    """A tenant, in its own partition."""

    id: str = TENANT_ITEM
    tenant_id: str
    name: str
    tier: Tier
    status: TenantStatus
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TenantChange:
    """Change of a tenant; None leaves a field as it is."""

    name: str | None = None
    tier: Tier | None = None
    status: TenantStatus | None = None


_CREDENTIAL = select(fields_of(TenantItem, TenantKeyItem), where="c.id IN (@tenant, @key)")


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
        self._subscribers: list[Callable[[TenantId], None]] = []

    def subscribe(self, changed: Callable[[TenantId], None]) -> None:
        """Call back after each change of a tenant or its keys that is made here."""
        self._subscribers.append(changed)

    @contextmanager
    def changing(self, tenant_id: TenantId) -> Iterator[None]:
        """Tell of a change, even of one that failed: it may have been made."""
        try:
            yield
        finally:
            for changed in self._subscribers:
                changed(tenant_id)

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
        return await self._own(tenant_id).read(TenantItem, TENANT_ITEM)

    async def read_with_key(
        self, tenant_id: TenantId, key_id: str
    ) -> tuple[TenantItem | None, TenantKeyItem | None]:
        """Return a tenant and one of its keys, in one request: while the store fails, no more than three."""
        names = {"@tenant": TENANT_ITEM, "@key": key_item_id(key_id)}
        bodies = await self._container.query((tenant_id,), Query(_CREDENTIAL, names, len(names)))
        found = {body["id"]: body for body in bodies}
        tenant, key = (found.get(name) for name in names.values())
        return (
            None if tenant is None else TenantItem.from_json(tenant),
            None if key is None else TenantKeyItem.from_json(key),
        )

    async def page(self, after: str | None, limit: int, prefix: str | None = None) -> list[TenantItem]:
        """Return tenants by their ids in lower case, after the given one; fewer than `limit` are the last.

        Args:
            after: The id after which the page begins; None for the first page.
            limit: The most tenants of the page.
            prefix: The beginning of their ids or names, without regard to case; None for all tenants.
        """
        found: list[TenantItem] = []
        async for tenants in self._in_order(after, limit, prefix):
            found += tenants
            if len(found) >= limit:
                break
        return found[:limit]

    async def ids(self) -> AsyncIterator[list[TenantId]]:
        """Go through the ids that are taken, some at a time; some have no tenant, by a crash or a purge."""
        async for names in self._names(None, _PAGE, None):
            yield [parse_tenant_id(name.claimed_as) for name in names]

    async def _in_order(
        self, after: str | None, size: int, prefix: str | None
    ) -> AsyncIterator[list[TenantItem]]:
        """Go through the tenants; an id that nobody has (a crash, a purge) is passed over."""
        async for names in self._names(after, size, prefix):
            read = (self.read(parse_tenant_id(name.claimed_as)) for name in names)
            yield [tenant for tenant in await side_by_side(read, at_once=_AT_ONCE) if tenant is not None]

    def _names(
        self, after: str | None, size: int, prefix: str | None
    ) -> AsyncIterator[Sequence[DirectoryItem]]:
        where = (
            "" if prefix is None else "STARTSWITH(c.id, @prefix, true) OR STARTSWITH(c.name, @prefix, true)"
        )
        parameters = {} if prefix is None else {"@prefix": prefix}

        async def read_page(after: str | None, limit: int) -> list[DirectoryItem]:
            page = KeysetPage(limit, after, where=where, parameters=parameters)
            return await self._directory.read_page(DirectoryItem, page)

        return walk_pages(read_page, lambda name: name.id, size, after)

    async def update(self, tenant_id: TenantId, change: TenantChange, if_match: str | None) -> TenantItem:
        """Change what is known of a tenant.

        Raises:
            TenantNotFoundError: There is none.
            PreconditionFailedError: It is in another state than `if_match`.
            ConflictError: It is being purged.
        """
        wanted = {name: value for name, value in asdict(change).items() if value is not None}
        steps = tuple(PatchOperation("set", f"/{name}", value) for name, value in wanted.items())
        try:
            with self.changing(tenant_id):
                stored = await self._own(tenant_id).patch(
                    TenantItem, TENANT_ITEM, Patch(steps, _NOT_PURGING, etag=if_match)
                )
        except ItemNotFoundError as error:
            raise TenantNotFoundError(tenant_id) from error
        except ItemChangedError as error:
            stored = await self._unless_changed(tenant_id, wanted, error)
        if change.name is not None:
            await self._name_in_directory(tenant_id, change.name)
        return stored

    async def close(self, tenant_id: TenantId) -> None:
        """Say of a tenant that it is being purged; there is no way back from that."""
        change = Patch((PatchOperation("set", "/status", TenantStatus.PURGING),))
        with suppress(ItemNotFoundError), self.changing(tenant_id):
            await self._own(tenant_id).patch(TenantItem, TENANT_ITEM, change)

    async def forget_name(self, tenant_id: TenantId) -> None:
        """Remove what a tenant was called from the directory; its id stays taken."""
        await self._name_in_directory(tenant_id, "")

    async def _name_in_directory(self, tenant_id: TenantId, name: str) -> None:
        change = Patch((PatchOperation("set", "/name", name),))
        await self._directory.patch(DirectoryItem, tenant_id.casefold(), change)

    async def _unless_changed(
        self, tenant_id: TenantId, wanted: Mapping[str, str], error: ItemChangedError
    ) -> TenantItem:
        """Return a tenant that is as it was wanted: then only the answer was lost."""
        stored = await self.read(tenant_id)
        if stored is None:
            raise TenantNotFoundError(tenant_id) from error
        if stored.status is TenantStatus.PURGING:
            problem = f"Tenant '{tenant_id}' is being purged"
            raise ConflictError(problem, {"tenant_id": tenant_id}) from error
        if any(getattr(stored, name) != value for name, value in wanted.items()):
            problem = f"Tenant '{tenant_id}' has changed meanwhile"
            raise PreconditionFailedError(problem, {"tenant_id": tenant_id}) from error
        return stored

    def _own(self, tenant_id: str) -> Partition:
        return Partition(self._container, (tenant_id,))
