"""Queries that find their items by an index of texts instead of reading a whole partition or prefix.

What an index gives is still filtered, so it may give too much. An order is only believed where it has to be
the service's: SQLite puts numbers before texts, and takes arrays and objects for texts.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from local.cosmos.engine.partition import EVERYTHING, value_at
from local.cosmos.storage.lookups import Found, Lookup, Lookups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.cosmos.engine.partition import EpkRange, PartitionKey
    from local.cosmos.sql.constraints import Path, Pins
    from local.cosmos.sql.query import Position, Query
    from local.cosmos.storage.items import ItemRow, ItemTable
    from local.cosmos.values import Value

MANY_ITEMS: Final = 300
"""Reading so many for one page is worth an index, if few of them were wanted."""

FEW: Final = 8
"""A query wanted few items if so many times as many were read."""

FEW_ITEMS: Final = 256
"""Up to so many items are put into the order of a scan; of more, a scan finds the first ones sooner."""

_MOST_TEXTS: Final = 16
_HASH_BYTES: Final = 16
_LEVELS: Final = {_HASH_BYTES, 2 * _HASH_BYTES, 3 * _HASH_BYTES}


class NotOrderedError(Exception):
    """The order of the index is not the order of the results."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which items a request may see: one partition, a range of them, or all.

    Args:
        key: The one partition.
        epk_range: The range, where there is no key.
        everywhere: Whether the caller agreed to a request over all partitions.
    """

    key: PartitionKey | None = None
    epk_range: EpkRange = EVERYTHING
    everywhere: bool = False

    @property
    def prefix(self) -> bytes | None:
        """The bytes with which the effective keys of its items begin; None where there are none such."""
        low, high = self.epk_range.low, self.epk_range.high
        if self.key is not None:
            prefix = self.key.epk
        elif high == low + b"\xff":
            prefix = low
        else:
            return None
        return prefix if len(prefix) in _LEVELS else None

    def holds(self, row: ItemRow) -> bool:
        """Tell whether a stored item is in the scope."""
        return self.epk_range.holds(row.epk) and (self.key is None or row.pk == self.key.canonical)

    def position(self, row: ItemRow) -> Position:
        """Tell where an item stands in a scan of the scope."""
        by_key = self.key is None and self.epk_range != EVERYTHING
        return (row.epk if by_key else b"", row.seq)


@dataclass(frozen=True, slots=True)
class Search:
    """A query as it is asked.

    Args:
        query: The query.
        parameters: The values of its parameters.
        pins: What its filter demands of an item.
        scope: Where.
    """

    query: Query
    parameters: Mapping[str, Value]
    pins: list[Pins]
    scope: Scope


class IndexedSearch:
    """The indexes of a container, as one query can use them.

    Args:
        table: The container's items.
        search: The query.
        now: The time in seconds since 1970.
    """

    def __init__(self, table: ItemTable, search: Search, now: int) -> None:
        self._table = table
        self._search = search
        self._now = now
        self._prefix = search.scope.prefix
        self._texts = {} if self._prefix is None else _pinned_texts(search.pins)
        path = search.query.order_path
        self._ordered = path if path is not None and Lookups.serves(path) else None
        self._lookup = self._find_ordered()

    @property
    def in_order(self) -> bool:
        """Whether an index has the items in the order of the results."""
        return self._lookup is not None

    def ordered_rows(self) -> Iterator[tuple[Position, ItemRow]]:
        """Read items in the order of the results.

        Raises:
            NotOrderedError: While it is read: an item has no text to be ordered by.
        """
        lookup, prefix, path = self._lookup, self._prefix, self._ordered
        if lookup is None or prefix is None or path is None:
            raise NotOrderedError
        low, high = self._search.query.bounds(self._search.parameters, path)
        descending = self._search.query.order[0].descending
        texts = [None] if lookup.pinned is None else sorted(self._texts[lookup.pinned])
        parts = (self._read(lookup, Found(prefix, text, low, high, descending), path) for text in texts)
        for _, position, row in heapq.merge(*parts, key=lambda entry: entry[:2], reverse=descending):
            yield position, row

    def few_rows(self) -> list[ItemRow] | None:
        """Read the items that have a demanded text; None where no index knows them, or they are many."""
        prefix = self._prefix
        if prefix is None:
            return None
        lookups = self._table.lookups
        for lookup in lookups.known:
            texts = self._texts.get(lookup.pinned) if lookup.pinned and lookup.width == len(prefix) else None
            if texts is None or lookup.pinned is None:
                continue
            if lookups.count(prefix, lookup.pinned, texts, FEW_ITEMS + 1) <= FEW_ITEMS:
                parts = (Found(prefix, text) for text in texts)
                rows = (row for part in parts for row in self._table.scan_lookup(lookup, part, self._now))
                return [row for row in rows if self._search.scope.holds(row)]
        return None

    def learn(self, looked_at: int, given: int) -> None:
        """Make an index where a scan has read many items for few results, and one would have helped."""
        prefix = self._prefix
        if prefix is None or looked_at < MANY_ITEMS or given * FEW > looked_at:
            return
        lookups = self._table.lookups
        counts = {path: lookups.count(prefix, path, texts) for path, texts in self._texts.items()}
        rare = min(counts, key=counts.__getitem__, default=None)
        if rare is not None and counts[rare] * FEW > looked_at:
            rare = None
        if rare is not None or (self._ordered is not None and given):
            lookups.add(Lookup(len(prefix), rare, self._ordered))

    def _find_ordered(self) -> Lookup | None:
        if self._prefix is None or self._ordered is None:
            return None
        width = len(self._prefix)
        wanted = (Lookup(width, pinned, self._ordered) for pinned in (*self._texts, None))
        return next((lookup for lookup in wanted if lookup in self._table.lookups.known), None)

    def _read(self, lookup: Lookup, found: Found, path: Path) -> Iterator[tuple[str, Position, ItemRow]]:
        scope = self._search.scope
        for row in self._table.scan_lookup(lookup, found, self._now):
            if not scope.holds(row):
                continue
            text = value_at(orjson.loads(row.body), path)
            if not isinstance(text, str) or "\0" in text:
                raise NotOrderedError
            yield text, scope.position(row), row


def _pinned_texts(pins: list[Pins]) -> dict[Path, set[str]]:
    """Return the texts that the filter demands of each property that can be indexed."""
    found: dict[Path, set[str]] = {}
    for path in pins[0] if pins else ():
        texts = {text for pin in pins if isinstance(text := pin.get(path), str) and "\0" not in text}
        is_always_one = all(isinstance(pin.get(path), str) for pin in pins)
        if is_always_one and 0 < len(texts) <= _MOST_TEXTS and Lookups.serves(path):
            found[path] = texts
    return found
