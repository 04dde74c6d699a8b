"""Everything that answers with many items: queries, plain listings, the change feed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from local.cosmos.engine import charges, continuation
from local.cosmos.engine.indexed_search import IndexedSearch, NotOrderedError, Scope, Search
from local.cosmos.engine.partition import EVERYTHING, EpkRange, PartitionKey
from local.cosmos.errors import bad_request, not_servable_across_partitions
from local.cosmos.sql.plan import needs_merging, plan_query
from local.cosmos.sql.query import Page, PageRequest, Position, Query, Resume, Row, compile_query
from local.cosmos.storage.items import ItemRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from local.cosmos.engine.catalog import Container
    from local.cosmos.engine.items import Items
    from local.cosmos.sql.constraints import Pins
    from local.cosmos.values import Json, JsonObject, Value

DEFAULT_PAGE: Final = 100
LARGEST_PAGE: Final = 1000
_HASH_BYTES: Final = 16
_NO_CROSS_PARTITION: Final = (
    "Cross partition query is required but disabled. Please set x-ms-documentdb-query-enablecrosspartition "
    "to true, "
    "specify x-ms-documentdb-partitionkey, or revise your query to avoid this exception."
)


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """One page of a query or a listing."""

    scope: Scope
    text: str = "SELECT * FROM c"
    parameters: tuple[tuple[str, Value], ...] = ()
    most: int = DEFAULT_PAGE
    token: str | None = None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """The items of one page as JSON texts, and how to get the next."""

    results: list[bytes]
    token: str | None
    charge: float
    looked_at: int


@dataclass(frozen=True, slots=True)
class Changes:
    """A page of the change feed; `cursor` is where the next one begins."""

    results: list[bytes]
    cursor: int
    charge: float


class _Counted:
    """Turns stored rows into items and counts them."""

    def __init__(self, rows: Iterable[tuple[Position, ItemRow]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Row]:
        for position, row in self._rows:
            self.count += 1
            yield Row(position, orjson.loads(row.body))


class Feeds:
    """Answers requests for many items."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def query(self, container: Container, request: FeedRequest) -> FeedPage:
        """Give one page of a query.

        Raises:
            CosmosError: 400 for what is wrong with the query, its token, or for a query over all partitions
                that the caller did
                not agree to.
        """
        query = compile_query(request.text)
        keeps_undefined = _check_order(container, query)
        parameters = dict(request.parameters)
        pins = query.pins(parameters)
        scope = self._narrowed(container, request.scope, pins, query)
        bound_to = continuation.fingerprint(container.rid, request.text, request.parameters, request.scope)
        resume = None if request.token is None else continuation.decode(request.token, bound_to)
        following: EpkRange | None = None
        if scope.key is None and query.reads_items:
            parts = _parts(container, scope, pins)
            if len(parts) > 1 and needs_merging(query):
                plan = orjson.dumps(self.plan(container, request.text, request.parameters, None)).decode()
                raise not_servable_across_partitions(plan)
            if len(container.ranges) > 1:  # one after the other, and no page has results of two
                at = b"" if resume is None or query.ordered_scan else resume.position[0]
                left = [part for part in parts if part.high is None or part.high > at]
                following = left[1] if len(left) > 1 else None
                scope = replace(scope, epk_range=left[0] if left else scope.epk_range)
        asked = PageRequest(request.most, resume, keeps_undefined=keeps_undefined)
        page, looked_at = self._run(container, Search(query, parameters, pins, scope), asked)
        rest = page.resume
        if rest is None and following is not None:
            rest = Resume((following.low, 0))
        token = None if rest is None else continuation.encode(rest, bound_to)
        size = sum(map(len, page.results))
        return FeedPage(page.results, token, charges.query(looked_at, size), looked_at)

    def _run(self, container: Container, search: Search, asked: PageRequest) -> tuple[Page, int]:
        """Give a page, and how many items were read for it."""
        if not search.query.reads_items:
            return self._run_over(_one_empty_row(), search, asked)
        lookups = IndexedSearch(container.table, search, self._items.now())
        if lookups.in_order:
            with suppress(NotOrderedError):
                return self._run_over(lookups.ordered_rows(), search, replace(asked, in_order=True))
        resume = asked.resume
        start = (b"", 0) if resume is None or search.query.ordered_scan else resume.position
        found = self._looked_up(container, search.scope, search.pins)
        rows = lookups.few_rows() if found is None else found
        if rows is None:
            page, looked_at = self._run_over(self._scan(container, search.scope, start), search, asked)
            lookups.learn(looked_at, len(page.results))
            return page, looked_at
        return self._run_over(_positioned(rows, search.scope, start), search, asked)

    def _run_over(
        self, rows: Iterable[tuple[Position, ItemRow]], search: Search, asked: PageRequest
    ) -> tuple[Page, int]:
        counted = _Counted(rows)
        page = search.query.run(counted, search.parameters, self._items.now_ticks(), asked)
        return page, counted.count

    @staticmethod
    def plan(
        container: Container,
        text: str,
        given: tuple[tuple[str, Value], ...],
        supported: Collection[str] | None,
    ) -> JsonObject:
        """Tell a client how to carry a query out over several physical partitions.

        Args:
            container: Where.
            text: The query.
            given: Its parameters.
            supported: What the client is able to do, None if that is not to be checked.

        Raises:
            CosmosError: 400 for what is wrong with the query, or what the client is not able to do.
        """
        query, parameters = compile_query(text), dict(given)
        keys = _pinned_keys(container, query.pins(parameters))
        plan = plan_query(query, parameters, in_one_partition=keys is not None and len(keys) == 1)
        if supported is not None:
            plan.check_features(supported)
        everything: Json = {"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}
        ranges = [everything] if keys is None else [_point(epk) for epk in sorted({key.epk for key in keys})]
        return {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": plan.info, "queryRanges": ranges}

    def listing(self, container: Container, request: FeedRequest) -> FeedPage:
        """Give one page of a plain listing."""
        return self.query(container, replace(request, scope=replace(request.scope, everywhere=True)))

    def changes(
        self, container: Container, scope: Scope, after: int | None, since: int | None, most: int
    ) -> Changes:
        """Give one page of the change feed: each item at most once, at its latest change.

        Args:
            container: The container.
            scope: Whose changes.
            after: The cursor of the page before; None begins at `since`, or at the beginning.
            since: The second from which on changes are wanted.
            most: How many changes at most, but for those of the same batch as the last.
        """
        table = container.table
        newest = table.lsn
        if after is None:
            after = 0 if since is None else table.lsn_before(since)
        rows = self._changed_rows(container, scope, after)
        if since is not None:
            rows = (row for row in rows if row.ts >= since)
        page: list[ItemRow] = []
        cursor = max(newest, after)
        for row in rows:
            if len(page) >= most and row.lsn != page[-1].lsn:
                cursor = page[-1].lsn
                break
            page.append(row)
        results = [row.body[:-1] + b',"_lsn":%d}' % row.lsn for row in page]
        return Changes(results, cursor, charges.feed(sum(map(len, results))))

    def _changed_rows(self, container: Container, scope: Scope, after: int) -> Iterator[ItemRow]:
        table, now = container.table, self._items.now()
        if scope.key is not None:
            return table.partition_changes(scope.key.canonical, scope.key.epk, after, now)
        wanted = scope.epk_range
        if len(wanted.low) >= _HASH_BYTES:  # one partition or one prefix: less than everybody's changes
            return table.range_changes(wanted.low, wanted.high, after, now)
        return (row for row in table.changes(after, now) if wanted.holds(row.epk))

    @staticmethod
    def _narrowed(container: Container, scope: Scope, pins: list[Pins], query: Query) -> Scope:
        """Stay in one partition where the filter says so, and refuse to leave it without being asked to."""
        if scope.key is not None or scope.epk_range != EVERYTHING or not query.reads_items:
            return scope
        keys = _pinned_keys(container, pins)
        if keys is not None and len(keys) == 1:
            return replace(scope, key=next(iter(keys)))
        if not scope.everywhere:
            raise bad_request(_NO_CROSS_PARTITION)
        if query.wraps_aggregates and len(container.ranges) == 1:  # by its plan, where there are several
            raise bad_request("Cross partition query only supports 'VALUE <AggregateFunc>' for aggregates.")
        return scope

    def _scan(
        self, container: Container, scope: Scope, start: Position
    ) -> Iterable[tuple[Position, ItemRow]]:
        """Read all items of a scope from a position on."""
        table, now = container.table, self._items.now()
        epk, seq = start
        if scope.key is not None:
            rows = table.scan_partition(scope.key.canonical, scope.key.epk, seq - 1, now)
            rows = (row for row in rows if scope.epk_range.holds(row.epk))
        elif scope.epk_range != EVERYTHING:
            rows = table.scan_range(scope.epk_range.low, scope.epk_range.high, (epk, seq - 1), now)
        else:
            rows = table.scan_all(seq - 1, now)
        return ((scope.position(row), row) for row in rows)

    def _looked_up(self, container: Container, scope: Scope, pins: list[Pins]) -> list[ItemRow] | None:
        """Look the items up whose ids and partitions the filter names.

        None where it does not name them all.
        """
        found: dict[int, ItemRow] = {}
        for pin in pins:
            item_id = pin.get(("id",))
            key = scope.key or _pinned_key(container, pin)
            if ("id",) not in pin or key is None:
                return None
            if not isinstance(item_id, str):
                continue  # no id equals it
            row = self._items.find(container, key, item_id)
            if row is not None and scope.epk_range.holds(row.epk):
                found[row.seq] = row
        return list(found.values())


def _positioned(rows: Iterable[ItemRow], scope: Scope, start: Position) -> Iterator[tuple[Position, ItemRow]]:
    """Put items into the order of a scan, and begin where it would."""
    positioned = sorted((scope.position(row), row) for row in rows)
    return (entry for entry in positioned if entry[0] >= start)


def _parts(container: Container, scope: Scope, pins: list[Pins]) -> list[EpkRange]:
    """Give what a request is to look at of each physical partition that can have something of it."""
    parts = container.partitions.of(scope.epk_range)
    keys = _pinned_keys(container, pins) if len(parts) > 1 else None
    return parts if keys is None else [part for part in parts if any(part.holds(key.epk) for key in keys)]


def _point(epk: bytes) -> Json:
    key = epk.hex().upper()
    return {"min": key, "max": key, "isMinInclusive": True, "isMaxInclusive": True}


def _one_empty_row() -> Iterator[tuple[Position, ItemRow]]:
    yield (b"", 0), ItemRow(0, 0, 0, None, None, b"", b"", "", "", b"{}")


def _pinned_key(container: Container, pin: Pins) -> PartitionKey | None:
    definition = container.policy.partition
    values = [pin[path] for path in definition.paths if path in pin]
    if len(values) != len(definition.paths) or any(isinstance(value, dict | list) for value in values):
        return None
    return definition.of_values(values)


def _pinned_keys(container: Container, pins: list[Pins]) -> set[PartitionKey] | None:
    keys: set[PartitionKey] = set()
    for pin in pins:
        key = _pinned_key(container, pin)
        if key is None:
            return None
        keys.add(key)
    return keys


def _check_order(container: Container, query: Query) -> bool:
    """Refuse an order that no index serves; tell whether its index holds items without the property."""
    indexing = container.policy.indexing
    order = tuple((key.path, key.descending) for key in query.order)
    if len(order) > 1 and not indexing.serves(order):
        raise bad_request(
            "The order by query does not have a corresponding composite index that it can be served from."
        )
    if len(order) == 1 and not indexing.indexes(order[0][0]):
        raise bad_request("The index path corresponding to the specified order-by item is excluded.")
    return len(order) > 1 or any(indexing.names(path) for path, _ in order)
