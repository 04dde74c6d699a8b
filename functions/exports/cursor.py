"""Walk through all that a tenant owns, and the cursor of a position on it."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import ValidationError
from shared.resilience.concurrency import side_by_side
from shared.tenancy.owned_data import CONTAINERS, ITEM_LEVEL

if TYPE_CHECKING:
    from shared.cosmos.container import Json
    from shared.tenancy.owned_data import OwnedItems

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
_READ_AT_ONCE = 8


class Position(BaseModel):
    """Position of an export: all before `place` was given out, and in it all up to here.

    It names no tenant: whoever presents it, forged or not, goes through what its own tenant owns.

    Attributes:
        place: A container.
        levels: Values of the key's levels below the tenant's; none at the beginning.
        after: An item's id, or the blob store's cursor of the next page.
        until: The last entry of the audit trail that is in the export: each of its pages adds one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    place: str
    levels: tuple[Annotated[str, Field(max_length=1023)], ...] = Field((), strict=False)
    after: str = Field("", max_length=2048, pattern=_PRINTABLE)
    until: str = Field("", max_length=64, pattern=_PRINTABLE)

    def move(self, **to: object) -> Position:
        """Return the position somewhere else in the same export."""
        return self.model_copy(update=to)

    def as_cursor(self) -> str:
        """Render it for a query."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def of_cursor(cls, cursor: str, places: list[str]) -> Position:
        """Read what `as_cursor` rendered.

        Raises:
            ValidationError: It is none that an export gave out.
        """
        position: Position | None = None
        with contextlib.suppress(ValueError):  # of base64, and of pydantic
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            position = cls.model_validate_json(text)
        if position is not None and position.place in places:
            known = len(partition_levels(CONTAINERS.get(position.place, ())))
            if len(position.levels) in {0, known}:
                return position
        problem = "is none that an export gave out"
        raise ValidationError(f"The cursor {problem}", {"fields": {"query.cursor": problem}})


def partition_levels(levels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the levels of a key whose values are gone through one by one."""
    return tuple(level for level in levels if level != ITEM_LEVEL)


@dataclass(frozen=True, slots=True)
class ItemWalk:
    """Walk through the items of one container, partition by partition, in each by id.

    A step costs the same wherever it begins: one query for a part of a partition. Where each item is a
    partition of its own, it is a query for the next ids, and a point read for each of them.
    """

    owned: OwnedItems

    async def take_step(
        self, position: Position, limit: int, max_bytes: int
    ) -> tuple[list[Json], Position | None]:
        """Return the next items and their end; None where nothing is left in the container.

        Args:
            position: The end of the step before.
            limit: The most items.
            max_bytes: Bytes after which no more items are read.
        """
        levels: tuple[str, ...] | None = position.levels
        after = position.after
        if len(position.levels) < len(self._levels):
            levels, after = await self._first_below((), ""), ""
        while levels is not None:
            items, last = await self._read(levels, after, limit, max_bytes)
            if last is not None:
                return items, position.move(levels=levels, after=last)
            levels, after = await self._next_to(levels), ""
        return [], None

    async def _read(
        self, levels: tuple[str, ...], after: str, limit: int, max_bytes: int
    ) -> tuple[list[Json], str | None]:
        """Return items and the id that was read last; None where there is none after `after`."""
        if not self.owned.has_item_keys:
            items = await self.owned.read_page(levels, after, limit, max_bytes)
            return items, str(items[-1]["id"]) if items else None
        ids = await self.owned.read_ids(levels, after, limit)
        found: list[Json] = []
        last = None
        for start in range(0, len(ids), _READ_AT_ONCE):
            part = ids[start : start + _READ_AT_ONCE]
            read: list[Json | None] = await side_by_side(
                [self.owned.read_item(levels, item_id) for item_id in part]
            )
            items = [item for item in read if item is not None]  # the others were removed meanwhile
            found += items
            last = part[-1]
            max_bytes -= sum(len(json.dumps(item)) for item in items)
            if max_bytes <= 0:
                break
        return found, last

    @property
    def _levels(self) -> tuple[str, ...]:
        return partition_levels(self.owned.levels)

    async def _next_to(self, levels: tuple[str, ...]) -> tuple[str, ...] | None:
        """Find the partition after one: beside it, or beside what it is in."""
        for depth in reversed(range(len(levels))):
            found = await self._first_below(levels[:depth], levels[depth])
            if found is not None:
                return found
        return None

    async def _first_below(self, prefix: tuple[str, ...], after: str) -> tuple[str, ...] | None:
        """Find the first partition with a prefix, whose next level is after a value."""
        if len(prefix) == len(self._levels):
            return prefix
        level = self._levels[len(prefix)]
        value = await self.owned.least(prefix, level, after)
        while value is not None:
            found = await self._first_below((*prefix, value), "")
            if found is not None:
                return found
            value = await self.owned.least(prefix, level, value)  # it was removed meanwhile
        return None
