"""Paging of lists: one query, one reply, one way to cut a page.

    async def list(self, query: PageQuery) -> ListReply[BotReply]:
        found = await self._bots.after(query.cursor, query.fetch_limit)
        page = cut_page(found, query.limit, lambda bot: bot.id)
        return ListReply[BotReply].of(page, _reply)

The cursor of a page is the key of its last item, so that a page begins after what the one before has shown,
whatever was added or removed meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, override

from pydantic import BaseModel, Field, PrivateAttr
from pydantic_core import to_json

from shared.http.models import QueryModel, ReplyModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


PAGE_BYTES = 4 * 1024 * 1024
"""A page ends before it has more; one item alone may."""


class PageQuery(QueryModel):
    """Query of a list.

    Attributes:
        limit: The most items of a page.
        cursor: The `next_cursor` of the page before; without it, the first page.
    """

    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, max_length=200)

    @property
    def fetch_limit(self) -> int:
        """Number of items to fetch: one more than the page has tells that there is a next one."""
        return self.limit + 1


@dataclass(frozen=True, slots=True)
class Page[T]:
    """One page of what was found.

    Attributes:
        cursor_of: Tells after what the next page begins, from the last item that is shown.
        next_cursor: The cursor of the next page where all items are shown; None where there is none.
    """

    items: Sequence[T]
    cursor_of: Callable[[T], str]
    next_cursor: str | None

    def render[M: BaseModel](self, render: Callable[[T], M]) -> RenderedPage[M]:
        """Render the items up to `PAGE_BYTES`, one at least."""
        items: list[M] = []
        encoded: list[bytes] = []
        size = 0
        for number, item in enumerate(self.items):
            shown = render(item)
            content = shown.model_dump_json(by_alias=True).encode()
            size += len(content)
            if items and size > PAGE_BYTES:
                return RenderedPage(items, encoded, self.cursor_of(self.items[number - 1]))
            items.append(shown)
            encoded.append(content)
        return RenderedPage(items, encoded, self.next_cursor)


@dataclass(frozen=True, slots=True)
class RenderedPage[M: BaseModel]:
    """One page as it is shown.

    Attributes:
        encoded: Each item as JSON, as it was weighed.
        next_cursor: The next page's; None where there is none.
    """

    items: list[M]
    encoded: list[bytes]
    next_cursor: str | None


class PageReply(ReplyModel):
    """Reply whose last two fields are `items` and `next_cursor`; weighed items are encoded already."""

    _encoded: list[bytes] = PrivateAttr(default_factory=list)

    def with_encoded(self, items: list[bytes]) -> Self:
        """Take the items as JSON, all of them and in their order."""
        self._encoded = items
        return self

    @override
    def encode(self) -> bytes:
        """Return it as JSON; no item is encoded again."""
        if not self._encoded:
            return super().encode()
        fields = self.model_dump_json(by_alias=True, exclude={"items", "next_cursor"}).encode()
        before = fields[:-1] + (b"," if fields != b"{}" else b"")
        cursor = to_json(getattr(self, "next_cursor", None))
        return before + b'"items":[' + b",".join(self._encoded) + b'],"next_cursor":' + cursor + b"}"


class ListReply[T: BaseModel](PageReply):
    """One page of a list.

    Attributes:
        items: The items of this page, in the order of the list.
        next_cursor: Sent as `cursor`, it asks for the next page; null on the last one.
    """

    items: list[T]
    next_cursor: str | None

    @classmethod
    @override
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Name a list after its items: `BotReplyList`."""
        return f"{params[0].__name__}List"

    @classmethod
    def of[S](cls, page: Page[S], render: Callable[[S], T]) -> Self:
        """Render a page: shorter than was asked for where it would have more than `PAGE_BYTES`."""
        rendered = page.render(render)
        reply = cls(items=rendered.items, next_cursor=rendered.next_cursor)
        return reply.with_encoded(rendered.encoded)


def cut_page[T](found: Sequence[T], limit: int, cursor_of: Callable[[T], str]) -> Page[T]:
    """Cut what was found to a page.

    Args:
        found: Up to `limit + 1` items, in the order of the list.
        limit: Items to a page, 1 at least.
        cursor_of: Tells after what the next page begins, from the last item of this one.
    """
    items = found[:limit]
    return Page(items, cursor_of, cursor_of(items[-1]) if len(found) > limit else None)
