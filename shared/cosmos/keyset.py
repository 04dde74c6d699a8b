"""Pages in the order of a field, through a partition or through a prefix of a hierarchical key.

A prefix may lie in several physical partitions. The SDK asks one after another, and each knows the order of
its own items only: the first results are the first partition's, and a cursor taken from them passes over
items of the others. So one query finds how far a page may reach, and another gets all that there is up to
there, whichever partition has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from shared.cosmos.container import Query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.cosmos.container import Container, Json, Key
    from shared.errors import JsonValue


@dataclass(frozen=True, slots=True)
class KeysetPage:
    """What is wanted of a page.

    Attributes:
        select: What to select, the field of the order included.
        by: The field of the order. Its values are strings, each in one of the items only.
        after: The value after which the page begins.
        limit: The most items to return; fewer are returned only where there are no more.
        where: A condition that the items meet.
        parameters: The condition's values by name, `@` included; `@after` and `@upto` are the page's own.
    """

    select: str
    by: str
    after: str
    limit: int
    where: str = "true"
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)

    def values(self, after: str, limit: int) -> Query:
        """Ask for the first values of the field after one."""
        text = (
            f"SELECT VALUE c.{self.by} FROM c WHERE ({self.where}) "  # noqa: S608  # texts of ours; callers' values are parameters
            f"AND c.{self.by} > @after ORDER BY c.{self.by}"
        )
        return Query(text, {**self.parameters, "@after": after}, limit)

    def items(self, after: str, upto: str, limit: int) -> Query:
        """Ask for the first items after a value, up to another one."""
        text = (
            f"SELECT {self.select} FROM c WHERE ({self.where}) "  # noqa: S608  # same
            f"AND c.{self.by} > @after AND c.{self.by} <= @upto ORDER BY c.{self.by}"
        )
        return Query(text, {**self.parameters, "@after": after, "@upto": upto}, limit)


async def read_page(container: Container, key: Key, page: KeysetPage) -> list[Json]:
    """Return a page: two requests where nothing is in the way, one where nothing is left."""
    found: list[Json] = []
    after = page.after
    while (missing := page.limit - len(found)) > 0:
        values = cast("list[str]", await container.query(key, page.values(after, missing)))
        if not values:
            break
        items, reached = await _items_upto(container, key, page, (after, max(values)), missing)
        found += items
        if len(values) < missing and reached == max(values):
            break  # no physical partition had more
        after = reached  # more is left, or what was counted on has been removed meanwhile
    return found[: page.limit]


async def _items_upto(
    container: Container, key: Key, page: KeysetPage, between: tuple[str, str], limit: int
) -> tuple[list[Json], str]:
    """Return all items between two values, or only up to a lesser one where they are far more than wanted."""
    after, upto = between
    while True:
        items = await container.query(key, page.items(after, upto, 2 * limit))
        items.sort(key=lambda item: str(item[page.by]))
        if len(items) < 2 * limit:
            return items, upto
        upto = str(items[limit - 1][page.by])  # less than before: at least as many are beyond it
