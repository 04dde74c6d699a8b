"""The catalogue's entries that the administrator stored: one item each, in a partition of the platform's."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import Field

from shared.cosmos.container import (
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
    Patch,
    PatchOperation,
)
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import ConflictError, PreconditionFailedError
from shared.llm.deployments import CatalogueEntry
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.clock import Clock
    from shared.cosmos.container import Container

MOST_ENTRIES = 500
NOT_STORED_ETAG = '"unset"'
"""ETag of a name that nothing is stored under: two who store it first do not overwrite each other."""

_ATTEMPTS = 3
_logger = get_logger(__name__)


class CatalogueItem(StoredItem):
    """One stored entry.

    Attributes:
        entry: The entry as JSON; what a newer release wrote into it is tolerated.
    """

    name: str
    entry: dict[str, Any] = Field(default_factory=dict)
    updated_at: datetime
    updated_by: str

    def parse_entry(self) -> CatalogueEntry | None:
        """Read the entry; None where this release does not accept it."""
        try:
            return CatalogueEntry.model_validate(self.entry)
        except pydantic.ValidationError:
            _logger.warning("A stored model is not accepted", extra={"model": self.name})
            return None


class CatalogueStore:
    """The stored entries."""

    def __init__(self, container: Container, clock: Clock) -> None:
        self._items = Partition.of_platform(container, "models")
        self._clock = clock

    async def read(self) -> Mapping[str, CatalogueItem]:
        """Return the entries by name."""
        items = await self._items.read_page(CatalogueItem, KeysetPage(MOST_ENTRIES))
        return {item.name: item for item in items}

    async def put(self, name: str, entry: CatalogueEntry, by: str, if_match: str | None) -> CatalogueItem:
        """Store an entry over the one of its name.

        Raises:
            PreconditionFailedError: It is in another state than `if_match`.
            ConflictError: Others kept changing it meanwhile, or the catalogue is full.
        """
        item = CatalogueItem(
            id=_id_of(name),
            name=name,
            entry=entry.model_dump(mode="json", exclude_defaults=True),
            updated_at=self._clock.now(),
            updated_by=by,
        )
        fields = item.model_dump(mode="json", include={"entry", "updated_at", "updated_by"})
        steps = tuple(PatchOperation("set", f"/{field}", value) for field, value in fields.items())
        etag = None if if_match in {None, "*"} else if_match
        for _ in range(_ATTEMPTS):
            if etag != NOT_STORED_ETAG:
                try:
                    return await self._items.patch(CatalogueItem, item.id, Patch(steps, etag=etag))
                except ItemNotFoundError:
                    if if_match is not None:
                        raise _changed(name) from None
                except ItemChangedError as error:
                    raise _changed(name) from error
            await self._require_room()
            try:
                return await self._items.create(item)
            except ItemExistsError as error:
                if etag == NOT_STORED_ETAG:
                    raise _changed(name) from error
        raise ConflictError(f"Model '{name}' is being changed by others", {"model": name}, retry_after=1.0)

    async def remove(self, name: str, if_match: str | None) -> bool:
        """Remove an entry; tell whether there was one.

        Raises:
            PreconditionFailedError: It is in another state than `if_match`.
        """
        etag = None if if_match in {None, "*"} else if_match
        try:
            removed = await self._items.delete(_id_of(name), etag)
        except ItemChangedError as error:
            raise _changed(name) from error
        if not removed and if_match not in {None, NOT_STORED_ETAG}:
            raise _changed(name)
        return removed

    async def _require_room(self) -> None:
        if len(await self.read()) >= MOST_ENTRIES:
            raise ConflictError(f"The catalogue has {MOST_ENTRIES} stored models, and room for no more")


def _id_of(name: str) -> str:
    # The store takes no slash in an id, and a name has no bar.
    return name.replace("/", "|")


def _changed(name: str) -> PreconditionFailedError:
    return PreconditionFailedError(f"Model '{name}' has changed meanwhile", {"model": name})
