"""Pages in the order of a field, through a partition or through a prefix of a hierarchical key.

A prefix may lie in several physical partitions. The SDK asks one after another, and each knows the order of
its own items only: the first results are the first partition's, and a cursor taken from them passes over
items of the others. So there one query finds how far a page may reach, and another gets all that there is up
to there, whichever partition has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from shared.cosmos.container import Query
from shared.cosmos.queries import select

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from shared.cosmos.container import Container, Json, Key
    from shared.errors import JsonValue


@dataclass(frozen=True, slots=True)
class KeysetPage:
    """One page's bounds.

    Attributes:
        limit: The most items to return; fewer are returned only where there are no more.
        after: The value of the order's field after which the page begins; None for the first page.
        by: The field of the order. Each of its values is in one item only; over a prefix they are texts.
        descending: Whether the order is from the last to the first; within one partition only.
        where: A condition that the items meet, or nothing.
        parameters: The condition's values by name, `@` included; `@after` and `@upto` are the page's own.
        max_bytes: Bytes with which a page of one partition ends, too.
    """

    limit: int
    after: str | int | None = None
    by: str = "id"
    descending: bool = False
    where: str = ""
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    max_bytes: int | None = None

    def query(
        self, fields: str, limit: int, *, after: str | int | None = None, upto: str | None = None
    ) -> Query:
        """Ask for the first items after a value, and up to another one where that is given."""
        conditions = [f"({self.where})"] if self.where else []
        parameters = dict(self.parameters)
        if after is not None:
            conditions.append(f"c.{self.by} {'<' if self.descending else '>'} @after")
            parameters["@after"] = after
        if upto is not None:
            conditions.append(f"c.{self.by} <= @upto")
            parameters["@upto"] = upto
        order = f"c.{self.by} DESC" if self.descending else f"c.{self.by}"
        return Query(select(fields, where=" AND ".join(conditions), order_by=order), parameters, limit)


async def read_page(container: Container, key: Key, page: KeysetPage, fields: str) -> list[Json]:
    """Return a page of one partition, in one request."""
    query = page.query(fields, page.limit, after=page.after)
    return await container.query(key, replace(query, max_bytes=page.max_bytes))


async def read_prefix_page(container: Container, prefix: Key, page: KeysetPage, fields: str) -> list[Json]:
    """Return a page of a prefix: two requests where nothing is in the way, one where nothing is left.

    Args:
        container: Where the items are.
        prefix: The first levels of their partition keys.
        page: What is wanted of them, in ascending order.
        fields: What to select, the field of the order included.
    """
    found: list[Json] = []
    after = page.after
    while (missing := page.limit - len(found)) > 0:
        reach = page.query(f"VALUE c.{page.by}", missing, after=after)
        values = cast("list[str]", await container.query(prefix, reach))
        if not values:
            break
        items, reached = await _read_upto(
            container, prefix, page, fields, _Range(after, max(values), missing)
        )
        found += items
        if len(values) < missing and reached == max(values):
            break  # no physical partition had more
        after = reached  # more is left, or what was counted on has been removed meanwhile
    return found[: page.limit]


async def walk_pages[T](
    read: Callable[[str | None, int], Awaitable[Sequence[T]]],
    last: Callable[[T], str],
    size: int,
    after: str | None = None,
) -> AsyncIterator[Sequence[T]]:
    """Go through all pages, from after a value to the end; none of them is empty.

    Args:
        read: Returns the page after a value, of at most so many items.
        last: The value of an item after which the next page begins.
        size: The most items of a page.
        after: The value to begin after.
    """
    page: Sequence[T] = ()
    while not page or len(page) == size:
        page = await read(after, size)
        if not page:
            return
        yield page
        after = last(page[-1])


@dataclass(frozen=True, slots=True)
class _Range:
    """Values of the order's field between two, and how many items of them are wanted."""

    after: str | int | None
    upto: str
    limit: int


async def _read_upto(
    container: Container, prefix: Key, page: KeysetPage, fields: str, wanted: _Range
) -> tuple[list[Json], str]:
    """Return all items between two values, or only up to a lesser one where they are far more than wanted."""
    upto, limit = wanted.upto, wanted.limit
    while True:
        query = page.query(fields, 2 * limit, after=wanted.after, upto=upto)
        items = await container.query(prefix, query)
        items.sort(key=lambda item: str(item[page.by]))
        if len(items) < 2 * limit:
            return items, upto
        upto = str(items[limit - 1][page.by])  # less than before: at least as many are beyond it
