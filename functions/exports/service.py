"""Export all that a tenant owns, page by page."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from functions.exports.cursor import ItemWalk, Position
from functions.exports.models import ExportedBlob, ExportedBlobReply, ExportedThing
from shared.blob.errors import BlobNotFoundError
from shared.http.paging import ListReply
from shared.tenancy.audit import AuditAction
from shared.tenancy.owned_data import BLOB_CONTAINERS, CONTAINERS, OwnedBlobs, OwnedItems

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions.exports.models import ExportedBlobQuery, ExportQuery
    from shared.clock import Clock
    from shared.cosmos.container import Container, Json
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import TenantContext
    from shared.tenancy.owned_data import ReadableBlobs

MAX_PAGE_BYTES = 4 * 1024 * 1024
MAX_BLOB_BYTES = 1024 * 1024
"""The most bytes of a blob in one answer."""

PAGE_SECONDS = 8.0
"""Time after which a page takes no further step: what comes next is the next page's."""

_SECRETS = frozenset({("tenants", "hash"), ("webhooks", "secrets")})
"""The stored part of a key with which a key could be told from a wrong one without asking, and what webhooks'
deliveries are signed with, encrypted though it is; each with the place where it is."""

_BLOBS = "blobs:"
_TRAIL = "audit"


class ExportService:
    """Export of all that one tenant owns, as it is stored."""

    def __init__(
        self,
        tenant: TenantContext,
        open_container: Callable[[str], Container],
        open_blobs: Callable[[str], ReadableBlobs],
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._tenant = tenant
        self._open_container = open_container
        self._open_blobs = open_blobs
        self._audit = audit
        self._clock = clock
        self._places = [*CONTAINERS, *(f"{_BLOBS}{name}" for name in BLOB_CONTAINERS)]

    async def page(self, query: ExportQuery) -> ListReply[ExportedThing]:
        """Return the next things, container by container: a page ends by number, by bytes and by time.

        Raises:
            ValidationError: The cursor is none that an export gave out.
        """
        begin = Position(place=self._places[0])
        position = Position.of_cursor(query.cursor, self._places) if query.cursor else begin
        entry = await self._audit.record(self._tenant, AuditAction.TENANT_EXPORT, self._tenant.tenant_id)
        position = position.move(until=position.until or entry)
        page = _ExportPage(query.limit)
        ends_at = self._clock.monotonic() + PAGE_SECONDS
        following = await self._take_step(position, page)
        while following is not None and not page.is_full and self._clock.monotonic() < ends_at:
            following = await self._take_step(following, page)
        return ListReply[ExportedThing](
            items=page.things, next_cursor=following.as_cursor() if following else None
        )

    async def blob(self, asked: ExportedBlobQuery) -> ExportedBlobReply:
        """Return some of a blob's bytes.

        Raises:
            BlobNotFoundError: The tenant has no such blob.
        """
        parts = asked.name.split("/")
        if parts[0] != self._tenant.tenant_id or not all(_is_plain(part) for part in parts):
            raise BlobNotFoundError(asked.name)
        await self._audit.record(self._tenant, AuditAction.TENANT_EXPORT, self._tenant.tenant_id)
        part = await self._open_blobs(asked.container).read_part(asked.name, asked.offset, MAX_BLOB_BYTES)
        if part is None:
            raise BlobNotFoundError(asked.name)
        end = asked.offset + len(part.content)
        return ExportedBlobReply(
            name=asked.name,
            size=part.size,
            offset=asked.offset,
            content=base64.b64encode(part.content).decode(),
            next_offset=end if end < part.size and part.content else None,
        )

    async def _take_step(self, position: Position, page: _ExportPage) -> Position | None:
        """Add what comes next, and return where to go on; None at the very end."""
        if position.place.startswith(_BLOBS):
            following = await self._add_blobs(position, page)
        else:
            following = await self._add_items(position, page)
        if following is not None:
            return following
        next_one = self._places.index(position.place) + 1
        if next_one == len(self._places):
            return None
        return position.move(place=self._places[next_one], levels=(), after="")

    async def _add_items(self, position: Position, page: _ExportPage) -> Position | None:
        container = self._open_container(position.place)
        owned = OwnedItems(self._tenant.tenant_id, container, CONTAINERS[position.place])
        items, end = await ItemWalk(owned).take_step(position, page.items_left, page.bytes_left)
        for item in items:
            if position.place == _TRAIL and str(item["id"]) > position.until:
                return None
            if page.is_full and end is not None:
                return end.move(after=page.last_id)
            page.add(position.place, item)
        return end

    async def _add_blobs(self, position: Position, page: _ExportPage) -> Position | None:
        blobs = self._open_blobs(position.place.removeprefix(_BLOBS))
        owned = OwnedBlobs(self._tenant.tenant_id, blobs)
        found = await blobs.page(owned.prefix, position.after or None, page.items_left)
        page.things += [
            ExportedThing(container=position.place, blob=ExportedBlob(name=blob.name, size=blob.size))
            for blob in found.blobs
            if blob.name.startswith(owned.prefix)
        ]
        return None if found.cursor is None else position.move(after=found.cursor)


class _ExportPage:
    """A page that is being filled, up to a number of things and of bytes."""

    def __init__(self, limit: int) -> None:
        self.things: list[ExportedThing] = []
        self.last_id = ""
        self._limit = limit
        self._bytes = 0

    @property
    def items_left(self) -> int:
        return max(1, self._limit - len(self.things))

    @property
    def bytes_left(self) -> int:
        return max(1, MAX_PAGE_BYTES - self._bytes)

    @property
    def is_full(self) -> bool:
        return len(self.things) >= self._limit or self._bytes >= MAX_PAGE_BYTES

    def add(self, place: str, item: Json) -> None:
        shown: dict[str, Any] = {
            name: value
            for name, value in item.items()
            if not name.startswith("_") and (place, name) not in _SECRETS
        }
        self.things.append(ExportedThing(container=place, item=shown))
        self.last_id = str(item["id"])
        self._bytes += len(json.dumps(shown))


def _is_plain(part: str) -> bool:
    """Tell whether a part of a blob's name means itself in a path: nothing that leads elsewhere."""
    return part not in {"", ".", ".."} and "\\" not in part and part.isprintable()
