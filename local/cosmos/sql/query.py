"""A query with its parameters, run page by page over the items that the engine hands in.

A page that ends before the result does leaves a `Resume`: where to go on. A query without an order of its own
goes on after the last item read. One that has to see all items first (ORDER BY, GROUP BY, aggregates,
DISTINCT) puts its results into a total order and goes on after the last result given, so that items written
between two pages neither shift nor repeat the rest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from local.cosmos.errors import bad_request
from local.cosmos.sql.compiler import ROOT_SLOT, CompiledSelect, Compiler, Evaluate, Frame, OrderKey, gather
from local.cosmos.sql.constraints import Path, Pins, alternatives, bounds
from local.cosmos.sql.parser import parse
from local.cosmos.values import UNDEFINED, Json, JsonObject, SortKey, Value, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from local.cosmos.sql import tree

type Position = tuple[bytes, int]
"""Where an item stands in a scan: its effective partition key, if the scan goes by that, and its number."""


_NOWHERE: Final[Position] = (b"", 0)


class Row(NamedTuple):
    """An item of a scan with its position."""

    position: Position
    item: JsonObject


@dataclass(frozen=True, slots=True)
class Resume:
    """Where the next page begins.

    Args:
        position: The item that the last result came from.
        within: How many results of that item (its joins) have been given.
        given: How many results all pages so far have given, for TOP and LIMIT.
        skipped: How many results OFFSET has skipped.
        keys: The sort keys of the last result, where results are ordered.
    """

    position: Position = (b"", 0)
    within: int = 0
    given: int = 0
    skipped: int = 0
    keys: tuple[Value, ...] | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Where a page begins and how much it may hold.

    Args:
        most: How many results at most.
        resume: Where the page before ended.
        most_bytes: How many bytes of JSON, but for a first result that is larger.
        keeps_undefined: Whether ORDER BY on one path gives the items that do not have it, which depends on
            the index.
        in_order: Whether the items come in the order of the query's ORDER BY instead of their positions.
    """

    most: int
    resume: Resume | None = None
    most_bytes: int = 4 * 1024 * 1024
    keeps_undefined: bool = False
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The results of one request as JSON texts; `resume` is None at the end."""

    results: list[bytes]
    resume: Resume | None


@dataclass(frozen=True, slots=True)
class _Window:
    """TOP, OFFSET and LIMIT as numbers."""

    skip: int
    most: int | None

    def apply(self, results: Iterator[_Result], skip: int, given: int) -> Iterator[_Result]:
        left = None if self.most is None else skip + max(self.most - given, 0)
        return itertools.islice(results, skip, left)


class _Result(NamedTuple):
    keys: tuple[Value, ...]
    position: Position
    within: int
    value: Json


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled query; safe to keep and to run many times."""

    text: str
    node: tree.Select
    select: CompiledSelect
    compiler: Compiler

    @property
    def order(self) -> tuple[OrderKey, ...]:
        """The ORDER BY expressions."""
        return self.select.order

    @property
    def ordered_scan(self) -> bool:
        """Whether all items have to be seen before the first result is known."""
        return bool(self.select.order or self.select.grouped or self.select.distinct)

    @property
    def wraps_aggregates(self) -> bool:
        """Whether this is an aggregate over everything that is not selected by VALUE."""
        return bool(self.select.aggregates) and not self.select.groups and self.node.value is None

    @property
    def reads_items(self) -> bool:
        """Whether there is a FROM at all."""
        return bool(self.node.sources)

    def pins(self, parameters: Mapping[str, Value]) -> list[Pins]:
        """Tell what the filter demands of an item."""
        alias = self._item_alias
        return [{}] if alias is None else alternatives(self.node.where, alias, parameters)

    @property
    def order_path(self) -> Path | None:
        """The one property by which the results are ordered, item by item; None where it is not so."""
        simple = len(self.order) == len(self.node.sources) == 1 and self._item_alias is not None
        return self.order[0].path if simple and not self.select.grouped and not self.select.distinct else None

    def bounds(self, parameters: Mapping[str, Value], path: Path) -> tuple[str | None, str | None]:
        """Tell between which texts the filter demands a property to be; None is no bound."""
        alias = self._item_alias
        return (None, None) if alias is None else bounds(self.node.where, alias, parameters, path)

    @property
    def _item_alias(self) -> str | None:
        """The name that the filter has for an item; None where its first source is no plain one."""
        first = self.node.sources[0] if self.node.sources else None
        return None if first is None or first.elements or first.collection.path else first.alias

    def matches(self, item: JsonObject, parameters: Mapping[str, Value], now_ticks: int) -> bool:
        """Tell whether an item passes the filter, as for a conditional patch."""
        frame = self.compiler.frame(parameters, now_ticks)
        frame[ROOT_SLOT] = item
        return any(True for _ in self.select.matching(frame))

    def run(
        self, rows: Iterable[Row], parameters: Mapping[str, Value], now_ticks: int, page: PageRequest
    ) -> Page:
        """Give one page of results.

        Args:
            rows: The items to look at, in the order of their positions; those before `page.resume` may be
                missing where the
                query streams.
            parameters: The values of the query's parameters.
            now_ticks: The time in 100-nanosecond ticks since 1970.
            page: Where to begin and how much to give.
        """
        frame = self.compiler.frame(parameters, now_ticks)
        window = self._window(frame)
        if self.ordered_scan:
            return self._ordered_page(rows, frame, window, page)
        return self._streamed_page(rows, frame, window, page)

    def _window(self, frame: Frame) -> _Window:
        top = _count("TOP", self.select.top, frame)
        skip = _count("OFFSET", self.select.offset, frame)
        limit = _count("LIMIT", self.select.limit, frame)
        if top is not None and limit is not None:
            raise bad_request("'TOP' and 'OFFSET LIMIT' cannot be used in the same query.")
        return _Window(skip or 0, top if limit is None else limit)

    def _streamed(self, rows: Iterable[Row], frame: Frame, resume: Resume) -> Iterator[_Result]:
        select, project = self.select, self.select.project
        for row in rows:
            frame[ROOT_SLOT] = row.item
            done = resume.within if row.position == resume.position else 0
            for within, _ in enumerate(select.matching(frame), 1):
                if within > done and (value := project(frame)) is not UNDEFINED:
                    yield _Result((), row.position, within, value)

    def _streamed_page(self, rows: Iterable[Row], frame: Frame, window: _Window, page: PageRequest) -> Page:
        start = page.resume or Resume()
        skip = max(window.skip - start.skipped, 0)
        return _cut(window.apply(self._streamed(rows, frame, start), skip, start.given), page, window)

    def _ordered_page(self, rows: Iterable[Row], frame: Frame, window: _Window, page: PageRequest) -> Page:
        compare = self._comparison()
        results = self._grouped(rows, frame) if self.select.grouped else self._keyed(rows, frame, page)
        ordered = results if page.in_order else iter(self._sorted(results))
        if self.select.distinct:  # of equal results, the first in the order stays
            ordered = _distinct(ordered)
        start = page.resume
        if start is None or start.keys is None:
            return _cut(window.apply(ordered, window.skip, 0), page, window)
        last = _Result(start.keys, start.position, start.within, None)
        rest = (result for result in ordered if compare(result, last) > 0)
        return _cut(window.apply(rest, 0, start.given), page, window)

    def _grouped(self, rows: Iterable[Row], frame: Frame) -> Iterator[_Result]:
        select = self.select
        all_rows = (None for row in rows for _ in _each(select, frame, row.item))
        for _ in gather(select, all_rows, frame):
            value = select.project(frame)
            if value is not UNDEFINED:
                keys = (value,) if select.distinct else tuple(frame[group.slot] for group in select.groups)
                yield _Result(keys, _NOWHERE, 0, value)

    def _keyed(self, rows: Iterable[Row], frame: Frame, page: PageRequest) -> Iterator[_Result]:
        select, order = self.select, self.select.order
        drops_undefined = len(order) == 1 and not page.keeps_undefined
        for row in rows:
            for within, _ in enumerate(_each(select, frame, row.item), 1):
                value = select.project(frame)
                keys = tuple(key.evaluate(frame) for key in order)
                if value is UNDEFINED or (drops_undefined and keys[0] is UNDEFINED):
                    continue
                if select.distinct:
                    yield _Result((*keys, value), _NOWHERE, 0, value)
                else:
                    yield _Result(keys, row.position, within, value)

    def _sorted(self, results: Iterable[_Result]) -> list[_Result]:
        """Sort by each key, the last one first: what is equal by one stays in the order of the others."""
        ordered = list(results)
        tie = bool(self.order) and self.order[0].descending
        ordered.sort(key=lambda result: (result.position, result.within), reverse=tie)
        for number in reversed(range(len(ordered[0].keys) if ordered else 0)):
            descending = number < len(self.order) and self.order[number].descending
            ordered.sort(key=partial(_sort_key_of, number), reverse=descending)
        return ordered

    def _comparison(self) -> Callable[[_Result, _Result], int]:
        directions = [-1 if key.descending else 1 for key in self.select.order]
        tie = directions[0] if directions else 1

        def compare(left: _Result, right: _Result) -> int:
            pairs = zip(left.keys, right.keys, itertools.chain(directions, itertools.repeat(1)), strict=False)
            for mine, other, direction in pairs:
                mine_key, other_key = sort_key(mine), sort_key(other)
                if mine_key != other_key:
                    return direction if _greater(mine_key, other_key) else -direction
            mine_place, other_place = (left.position, left.within), (right.position, right.within)
            return tie * ((mine_place > other_place) - (mine_place < other_place))

        return compare


def _sort_key_of(number: int, result: _Result) -> SortKey:
    return sort_key(result.keys[number])


def _each(select: CompiledSelect, frame: Frame, item: JsonObject) -> Iterator[None]:
    frame[ROOT_SLOT] = item
    return select.matching(frame)


def _count(clause: str, evaluate: Evaluate | None, frame: Frame) -> int | None:
    if evaluate is None:
        return None
    value = evaluate(frame)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
        raise bad_request(f"The value of {clause} has to be a whole number that is not negative.")
    return int(value)


def _greater(left: SortKey, right: SortKey) -> bool:
    # Keys of one kind compare, and kinds come first.
    return left > right


def _distinct(results: Iterable[_Result]) -> Iterator[_Result]:
    seen: set[object] = set()
    for result in results:
        key = sort_key(result.value)
        if key not in seen:
            seen.add(key)
            yield result


def _encode(value: Json) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise bad_request(f"A result cannot be written as JSON: {error}") from error


def _cut(results: Iterator[_Result], page: PageRequest, window: _Window) -> Page:
    """Take one page from results, and look one further to know whether this is the end."""
    encoded: list[bytes] = []
    size = 0
    last: _Result | None = None
    given = page.resume.given if page.resume else 0
    for result in results:
        text = _encode(result.value)
        size += len(text)
        if last is not None and (len(encoded) >= page.most or size > page.most_bytes):
            keys = last.keys or None
            return Page(encoded, Resume(last.position, last.within, given + len(encoded), window.skip, keys))
        encoded.append(text)
        last = result
    return Page(encoded, None)


@lru_cache(maxsize=1024)
def compile_query(text: str) -> Query:
    """Compile a query's text, or give the one compiled before.

    Raises:
        CosmosError: 400 that names what is wrong or not supported.
    """
    compiler = Compiler()
    node = parse(text)
    return Query(text, node, compiler.select(node, None), compiler)


DEFAULT_PAGE: Final = 100
