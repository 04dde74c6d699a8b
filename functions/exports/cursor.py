"""The way through a tenant's estate, and cursors that say how far somebody has come on it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import ValidationError
from shared.tenancy.owned_data import CONTAINERS

if TYPE_CHECKING:
    from shared.cosmos.container import Json
    from shared.tenancy.owned_data import OwnedItems

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
_ITEM_LEVEL = "id"
"""A level of the key that is the item's own id: below it is one item, no partition to go through."""


class Position(BaseModel):
    """Position on the way through an estate: who is there has all before `place`, and in it all up to here.

    It names no tenant: whoever presents it, forged or not, goes through his own estate.

    Attributes:
        place: A container.
        levels: Values of the key's levels below the tenant's; none at the beginning.
        after: An item's id, or what the blob store calls the next page.
        until: The last entry of the audit trail that is in the export: each of its pages adds one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    place: str
    levels: tuple[Annotated[str, Field(max_length=1023)], ...] = Field((), strict=False)
    after: str = Field("", max_length=2048, pattern=_PRINTABLE)
    until: str = Field("", max_length=64, pattern=_PRINTABLE)

    def moved(self, **to: object) -> Position:
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
        problem = "is none that an export gave out"
        refused = ValidationError(f"The cursor {problem}", {"fields": {"query.cursor": problem}})
        try:
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            position = cls.model_validate_json(text)
        except (ValueError, binascii.Error, pydantic.ValidationError) as error:
            raise refused from error
        known = len(partition_levels(CONTAINERS.get(position.place, ())))
        if position.place not in places or len(position.levels) not in {0, known}:
            raise refused
        return position


def partition_levels(levels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the levels of a key whose values are gone through one by one."""
    return tuple(level for level in levels if level != _ITEM_LEVEL)


@dataclass(frozen=True, slots=True)
class ItemWalk:
    """Goes through the items of one container, partition by partition, in each by id."""

    owned: OwnedItems

    async def go_on(self, position: Position, limit: int) -> tuple[list[Json], Position | None]:
        """Return the next items, and where they end; None where nothing is left in the container."""
        levels: tuple[str, ...] | None = position.levels
        after = position.after
        if len(position.levels) < len(self._levels):
            levels, after = await self._first_below((), ""), ""
        while levels is not None:
            items = await self.owned.after(levels, after, limit)
            if items:
                return items, position.moved(levels=levels, after=str(items[-1]["id"]))
            levels, after = await self._next_to(levels), ""
        return [], None

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
