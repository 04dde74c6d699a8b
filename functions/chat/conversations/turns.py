"""Turns of a conversation by its visible path, at a cost that depends on how many are asked for.

The head has the last ranges of the path, segments the ones before. A look goes through them piece by piece:
through the last one only where the last turns are asked for, so that a long path costs what a short one does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from functions.chat.conversations.path import VisiblePath, clip, contains
from functions.chat.conversations.stored_models import PathSegmentItem, TurnItem, TurnStatus
from shared.cosmos.container import Query
from shared.cosmos.paging import KeysetPage
from shared.cosmos.queries import select
from shared.http.paging import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from functions.chat.conversations.path import NumberRange
    from functions.chat.conversations.stored_models import HeadItem
    from shared.cosmos.partition import Partition
    from shared.errors import JsonValue

_DONE = f"c.status = '{TurnStatus.DONE}'"
_SEGMENT = "c.kind = 'path' AND c['index'] < @segments"

_MOST_BESIDE_THE_TEXT = 32 * 1024
"""Bytes of a stored turn beside its message and its response, at most."""


class TurnPage(NamedTuple):
    """Some turns in their order, and whether there are more after them."""

    turns: list[TurnItem]
    has_more: bool


class VisibleTurns:
    """The visible turns of one conversation.

    Args:
        own: The conversation's partition.
        head: Its head, which has the last part of the path.
        path: Another path than the head's, such as one that is about to be stored.
    """

    def __init__(self, own: Partition, head: HeadItem, path: VisiblePath | None = None) -> None:
        self._own = own
        self._head = head
        self._path = path or head.visible

    async def read_after(self, number: int, limit: int) -> TurnPage:
        """Return the first turns after a number, of every status, the one in work included."""
        found: list[TurnItem] = []
        size, after = 0, number
        async for ranges in self._pieces_after(number):
            while (wanted := clip(ranges, first=after + 1)) and len(found) <= limit:
                query = self._query(wanted, limit + 1 - len(found), max_bytes=PAGE_BYTES)
                part = await query
                found += part
                most = sum(map(_most_bytes, part))
                size += most
                if part:
                    after = part[-1].number
                if not part or most < PAGE_BYTES:
                    break  # else the bytes may have ended it
                if size >= PAGE_BYTES and len(found) > 1:
                    return TurnPage(found[: min(limit, len(found) - 1)], has_more=True)
            if len(found) > limit:
                return TurnPage(found[:limit], has_more=True)
        pending = self._head.pending_turn()
        if pending is not None and pending.number > after:
            found.append(pending)
        return TurnPage(found[:limit], has_more=len(found) > limit)

    async def read_all_after(self, number: int, limit: int) -> TurnPage:
        """Return the first turns after a number, those that are hidden as well."""
        page = KeysetPage(limit + 1, number, "number", where="c.kind = 'turn'", max_bytes=PAGE_BYTES)
        found = await self._own.read_page(TurnItem, page)
        has_more = len(found) > limit or sum(map(_most_bytes, found)) >= PAGE_BYTES
        if has_more and len(found) > 1:
            found = found[: min(limit, len(found) - 1)]
        pending = self._head.pending_turn()
        if not has_more and pending is not None and pending.number > max([number, *_numbers(found)]):
            found.append(pending)
            found, has_more = found[:limit], len(found) > limit
        return TurnPage(found, has_more)

    async def visible_among(self, turns: Sequence[TurnItem]) -> frozenset[int]:
        """Return the numbers of those of the turns that are visible; the turns are in their order."""
        visible: set[int] = set()
        if turns:
            async for ranges in self._pieces_after(turns[0].number - 1):
                visible.update(number for number in _numbers(turns) if contains(ranges, number))
                if ranges and ranges[-1][1] >= turns[-1].number:
                    break
        return frozenset(visible)

    async def read_last_done(self, limit: int) -> list[TurnItem]:
        """Return the last turns that have their answers, oldest first."""
        found: list[TurnItem] = []
        async for ranges in self._pieces_from_the_end():
            if ranges:
                found += await self._query(ranges, limit - len(found), where=_DONE, descending=True)
            if len(found) >= limit:
                break
        found.reverse()
        return found

    async def has(self, number: int) -> bool:
        """Tell whether a turn is visible."""
        part = await self._part_with(number)
        return contains(part.ranges, number)

    async def cut(self, last_kept: int, open_from: int) -> VisiblePath:
        """Return the path without what comes after a number, which goes on with another one."""
        part = await self._part_with(last_kept)
        return part.cut(last_kept, open_from)

    async def _part_with(self, number: int) -> VisiblePath:
        """Return the path from the part on in which a number would be: the head's, or that of a segment."""
        path = self._path
        ranges = path.ranges
        if not path.segments or (ranges and number >= ranges[0][0]):
            return path
        found = await self._segments("c.first <= @number", {"@number": number}, descending=True)
        if not found:
            return VisiblePath(0, (), path.last + 1, path.last)
        segment = found[0]
        return VisiblePath(segment.index, segment.ranges, path.last + 1, path.last)

    async def _pieces_after(self, number: int) -> AsyncIterator[Sequence[NumberRange]]:
        after = number
        while self._path.segments:
            found = await self._segments("c.last > @after", {"@after": after})
            if not found:
                break
            yield found[0].ranges
            after = found[0].last
        yield self._path.ranges

    async def _pieces_from_the_end(self) -> AsyncIterator[Sequence[NumberRange]]:
        yield self._path.ranges
        below = self._path.segments
        while below:
            found = await self._segments("c['index'] < @below", {"@below": below}, descending=True)
            if not found:
                break
            yield found[0].ranges
            below = found[0].index

    async def _segments(
        self, where: str, parameters: dict[str, JsonValue], *, descending: bool = False
    ) -> list[PathSegmentItem]:
        """Return the first segment, or the last one, that a condition holds for."""
        text = select(
            "VALUE c", where=f"{_SEGMENT} AND {where}", order_by="c.first DESC" if descending else "c.first"
        )
        query = Query(text, {"@segments": self._path.segments, **parameters}, 1)
        return await self._own.query(PathSegmentItem, query)

    async def _query(
        self,
        ranges: Sequence[NumberRange],
        limit: int,
        *,
        where: str = "",
        descending: bool = False,
        max_bytes: int | None = None,
    ) -> list[TurnItem]:
        names = [(f"@low{place}", f"@high{place}") for place in range(len(ranges))]
        within = " OR ".join(f"c.number BETWEEN {low} AND {high}" for low, high in names)
        parameters: dict[str, JsonValue] = {}
        for (low, high), (first, last) in zip(names, ranges, strict=True):
            parameters |= {low: first, high: last}
        text = select(
            TurnItem,
            where=f"({within}) AND {where}" if where else within,
            order_by="c.number DESC" if descending else "c.number",
        )
        return await self._own.query(TurnItem, Query(text, parameters, limit, max_bytes))


def _numbers(turns: Sequence[TurnItem]) -> Iterator[int]:
    return (turn.number for turn in turns)


def _most_bytes(turn: TurnItem) -> int:
    """Return a bound of the bytes that a turn has in the store."""
    return len(json.dumps([turn.message, turn.response])) + _MOST_BESIDE_THE_TEXT
