"""Everything that a tenant owns, wherever that is, without regard to its meaning.

`CONTAINERS` and `BLOB_CONTAINERS` say where, as infra/cosmos.json and infra/storage.json define it: what a
new capability stores is purged and exported from its first day.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from shared.cosmos.container import BatchFailedError, BatchFailure, BatchOperation, Query
from shared.cosmos.paging import KeysetPage, read_page, read_prefix_page
from shared.cosmos.partition import platform_key
from shared.cosmos.queries import WHOLE, name_fields, select
from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side
from shared.tenancy.store import TENANT_ITEM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shared.blob.store import BlobPage, BlobPart
    from shared.cosmos.container import Container, Json, Key
    from shared.tenancy.context import TenantId

_INFRA = Path(__file__).parents[2] / "infra"
"""Definition of all containers, from which Azure's and the local ones are made, too."""


def read_containers(definition: str) -> dict[str, tuple[str, ...]]:
    """Read the levels of each container's partition key below the tenant's, from the JSON that defines them.

    Raises:
        ValueError: A container's key does not begin with the tenant.
    """
    levels: dict[str, tuple[str, ...]] = {}
    for container in json.loads(definition)["containers"]:
        tenant, *below = (path.removeprefix("/") for path in container["partitionKey"]["paths"])
        if tenant != "tenant_id":
            raise ValueError(f"the partition key of '{container['id']}' does not begin with /tenant_id")
        levels[container["id"]] = tuple(below)
    return levels


CONTAINERS: Mapping[str, tuple[str, ...]] = read_containers((_INFRA / "cosmos.json").read_text())
"""The levels of each container's partition key below the tenant's."""

UNATTRIBUTED = "quarantine"
"""The platform's partition of refused messages that name no tenant that is there and active."""

BLOB_CONTAINERS: tuple[str, ...] = tuple(json.loads((_INFRA / "storage.json").read_text())["containers"])
"""Where tenants have blobs, each under a name that begins with its id and a slash."""

ITEM_LEVEL = "id"
"""Level of a key that is the item's own id: below it is one item, no partition to go through."""

_PAGE = 500
_BATCH = 100
_AT_ONCE = 8
_MOST_NAMES_LOGGED = 20
_NOT_KEPT = "c.id != @kept"
_NAMED = "c.named = @named"
_UNATTRIBUTED_KEY = platform_key(UNATTRIBUTED)
_RANGES = 1000
"""A prefix may lie in several physical partitions: an aggregate has one result for each, however merged."""

_logger = get_logger(__name__)


class Blobs(Protocol):
    """Container of blobs that can be listed and removed."""

    async def page(self, prefix: str, cursor: str | None, limit: int) -> BlobPage:
        """List blobs whose names begin so."""
        ...

    async def delete(self, name: str) -> bool:
        """Remove a blob; tell whether there was one."""
        ...


class ReadableBlobs(Blobs, Protocol):
    """Container of blobs that can be read, too."""

    async def read_part(self, name: str, offset: int, length: int) -> BlobPart | None:
        """Return some of a blob's bytes, or None where there is no such blob."""
        ...


@dataclass(frozen=True, slots=True)
class OwnedItems:
    """Items of one tenant in one container.

    It takes the tenant's id, because a tenant that is being purged has no context any more.

    Attributes:
        tenant_id: The owner.
        container: Where the items are.
        levels: The levels of the container's partition key below the tenant's.
        kept: The id of an item that is not counted as one of them.
    """

    tenant_id: TenantId
    container: Container
    levels: tuple[str, ...] = ()
    kept: str = ""

    async def count(self) -> int:
        """Count them by a query."""
        query = Query(select("VALUE COUNT(1)", where=_NOT_KEPT), {"@kept": self.kept}, _RANGES)
        return sum(cast("list[int]", await self.container.query((self.tenant_id,), query)))

    async def least(self, prefix: tuple[str, ...], level: str, after: str) -> str | None:
        """Return the least value of a level of the key after the given one, within a prefix of the key."""
        text = select(f"VALUE MIN(c.{level})", where=f"c.{level} > @after")
        found = await self.container.query((self.tenant_id, *prefix), Query(text, {"@after": after}, _RANGES))
        return min((value for value in cast("list[object]", found) if isinstance(value, str)), default=None)

    @property
    def has_item_keys(self) -> bool:
        """Tell whether each item is a partition of its own: the last level of the key is its id."""
        return self.levels[-1:] == (ITEM_LEVEL,)

    async def read_page(self, prefix: tuple[str, ...], after: str, limit: int, max_bytes: int) -> list[Json]:
        """Return items of one partition after an id, in order, whole, in one request."""
        page = KeysetPage(limit, after, max_bytes=max_bytes)
        return await read_page(self.container, (self.tenant_id, *prefix), page, WHOLE)

    async def read_ids(self, prefix: tuple[str, ...], after: str, limit: int) -> list[str]:
        """Return ids of items that are partitions of their own, after an id, in order."""
        key = (self.tenant_id, *prefix)
        found = await read_prefix_page(self.container, key, KeysetPage(limit, after), "c.id")
        return [str(item["id"]) for item in found]

    async def read_item(self, prefix: tuple[str, ...], item_id: str) -> Json | None:
        """Return an item that is a partition of its own, whole, or None where there is none any more."""
        return await self.container.read((self.tenant_id, *prefix, item_id), item_id)

    async def remove_some(self) -> int:
        """Remove a page of them; return how many there were, 0 when none is left."""
        text = select(name_fields(dict.fromkeys(("id", *self.levels))), where=_NOT_KEPT)
        found = await self.container.query((self.tenant_id,), Query(text, {"@kept": self.kept}, _PAGE))
        batches = [
            (key, ids[start : start + _BATCH])
            for key, ids in self._by_partition(found).items()
            for start in range(0, len(ids), _BATCH)
        ]
        work = (_remove(self.container, key, ids) for key, ids in batches)
        await side_by_side(work, at_once=_AT_ONCE)
        return len(found)

    def _by_partition(self, found: Sequence[Json]) -> Mapping[Key, list[str]]:
        grouped: defaultdict[Key, list[str]] = defaultdict(list)
        for item in found:
            grouped[self.tenant_id, *(str(item[level]) for level in self.levels)].append(str(item["id"]))
        return grouped


@dataclass(frozen=True, slots=True)
class UnattributedMessages:
    """Refused messages that name a tenant, and were not kept as its own: it was suspended, say.

    They are the platform's, and so in no export; but what is in them is the tenant's.
    """

    tenant_id: TenantId
    quarantine: Container

    async def count(self) -> int:
        """Count them by a query."""
        query = Query(select("VALUE COUNT(1)", where=_NAMED), {"@named": self.tenant_id}, 1)
        return sum(cast("list[int]", await self.quarantine.query(_UNATTRIBUTED_KEY, query)))

    async def remove_some(self) -> int:
        """Remove a batch of them; return how many there were, 0 when none is left."""
        query = Query(select("VALUE c.id", where=_NAMED), {"@named": self.tenant_id}, _BATCH)
        ids = cast("list[str]", await self.quarantine.query(_UNATTRIBUTED_KEY, query))
        if ids:
            await _remove(self.quarantine, _UNATTRIBUTED_KEY, ids)
        return len(ids)


@dataclass(frozen=True, slots=True)
class OwnedBlobs:
    """Blobs of one tenant in one container."""

    tenant_id: TenantId
    blobs: Blobs

    @property
    def prefix(self) -> str:
        """Prefix of its blobs' names, and of no other tenant's."""
        return f"{self.tenant_id}/"

    async def count(self) -> int:
        """Count them by listing them."""
        total, cursor = 0, None
        while True:
            page = await self.blobs.page(self.prefix, cursor, _PAGE)
            total += len(page.blobs)
            if page.cursor is None:
                return total
            cursor = page.cursor

    async def remove_some(self) -> int:
        """Remove a page of them; return how many were removed, 0 when none is left that can be now."""
        cursor = None
        while True:
            page = await self.blobs.page(self.prefix, cursor, _PAGE)
            removals = (self._remove(blob.name) for blob in page.blobs)
            refusals = [error for error in await side_by_side(removals, at_once=_AT_ONCE) if error]
            if refusals:
                _log_refusals(refusals)
            removed = len(page.blobs) - len(refusals)
            # The service may answer an empty page that is not the last; a page of bad names is one, too.
            if removed or page.cursor is None:
                return removed
            cursor = page.cursor

    async def _remove(self, name: str) -> _Refusal | None:
        """Remove a blob; one whose name the service does not take costs no other one."""
        try:
            await self.blobs.delete(name)
        except APIError as error:
            return _Refusal(name, error.message)
        return None


class _Refusal(NamedTuple):
    """A blob that was not removed, and the reason."""

    blob: str
    problem: str


def _log_refusals(refusals: Sequence[_Refusal]) -> None:
    names = [refusal.blob for refusal in refusals[:_MOST_NAMES_LOGGED]]
    facts = {"blobs": names, "count": len(refusals), "problem": refusals[0].problem}
    _logger.warning("Blobs were not removed", extra=facts)


def open_owned_data(
    open_container: Callable[[str], Container],
    open_blobs: Callable[[str], Blobs],
    tenant_id: TenantId,
    *,
    with_tenant: bool,
) -> Mapping[str, OwnedItems | OwnedBlobs | UnattributedMessages]:
    """Open all that a tenant owns, by where it is; the item that is the tenant only if asked for."""
    kept = "" if with_tenant else TENANT_ITEM
    items = {
        name: OwnedItems(tenant_id, open_container(name), levels, kept if name == "tenants" else "")
        for name, levels in CONTAINERS.items()
    }
    messages = UnattributedMessages(tenant_id, open_container("quarantine"))
    blobs_too = {f"blobs:{name}": OwnedBlobs(tenant_id, open_blobs(name)) for name in BLOB_CONTAINERS}
    return {**items, "quarantine:unattributed": messages, **blobs_too}


async def _remove(container: Container, key: Key, ids: Sequence[str]) -> None:
    try:
        await container.batch(key, [BatchOperation("delete", item_id) for item_id in ids])
    except BatchFailedError as error:
        if error.reason is not BatchFailure.MISSING:
            raise
        # Some have expired meanwhile, or the answer to the first attempt was lost.
        await side_by_side((container.delete(key, item_id, None) for item_id in ids), at_once=_AT_ONCE)
