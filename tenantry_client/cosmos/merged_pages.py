"""Queries whose answers from several physical partitions are merged, by the plan that the service makes."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from functools import total_ordering
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenantry_client.cosmos.answers import ResponseHeaders
from tenantry_client.cosmos.exceptions import CosmosHttpResponseError
from tenantry_client.cosmos.gateway import Request
from tenantry_client.cosmos.partition_key import KeyRange
from tenantry_client.cosmos.query_pages import FeedPage, PartitionSplitError, RangePages

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from tenantry_client.cosmos.query_pages import FeedQuestion

type _FirstRow = tuple[_Order, str, int, Any, _OrderedPart]

SUPPORTED_FEATURES: Final = (
    "Aggregate,CompositeAggregate,Distinct,MultipleOrderBy,OffsetAndLimit,OrderBy,Top,CountIf"
)
"""Of azure-cosmos's, all but vector and hybrid search: the service refuses a query that needs another one."""
_PLAN_HEAD: Final = (
    "content-type: application/json\r\nx-ms-cosmos-is-query-plan-request: True\r\n"
    f"x-ms-cosmos-supported-query-features: {SUPPORTED_FEATURES}\r\nx-ms-cosmos-query-version: 1.0\r\n"
)
_FILTER: Final = "{documentdb-formattableorderbyquery-filter}"
_USUAL_PAGE: Final = 1000
_BAD_REQUEST: Final = 400
_NOT_SERVABLE: Final = 1004


@dataclass(frozen=True, slots=True)
class MergePlan:
    """Steps by which answers of several partitions become one.

    Attributes:
        text: What each partition is asked; None for the query as it is.
        ranges: The keys that can have results.
        descending: For each part of the order, whether it descends; empty for no order.
        aggregates: Names of aggregates.
        distinct: `None`, `Ordered` or `Unordered`.
        offset: Results to leave out.
        limit: The most results.
        top: The most results, too.
    """

    text: str | None
    ranges: tuple[KeyRange, ...]
    descending: tuple[bool, ...]
    aggregates: tuple[str, ...]
    distinct: str
    offset: int
    limit: int | None
    top: int | None

    @classmethod
    def parse(cls, plan: Mapping[str, Any]) -> MergePlan:
        """Read the service's plan."""
        info = plan["queryInfo"]
        text = info.get("rewrittenQuery") or None
        return cls(
            None if text is None else text.replace(_FILTER, "true"),
            tuple(KeyRange(str(one["min"]), str(one["max"])) for one in plan["queryRanges"]),
            tuple(one == "Descending" for one in info.get("orderBy") or ()),
            tuple(info.get("aggregates") or ()),
            info.get("distinctType") or "None",
            info.get("offset") or 0,
            info.get("limit"),
            info.get("top"),
        )

    @property
    def merges(self) -> bool:
        """Whether the answers, one partition's after another's, are not the answer."""
        return bool(
            self.descending
            or self.aggregates
            or self.distinct != "None"
            or self.offset
            or self.limit is not None
            or self.top is not None
        )


def needs_plan(error: CosmosHttpResponseError) -> bool:
    """Tell whether the service refused a query because its partitions' answers have to be merged."""
    return error.status_code == _BAD_REQUEST and error.sub_status == _NOT_SERVABLE


async def fetch_plan(question: FeedQuestion) -> MergePlan:
    """Ask the service how a query is carried out.

    Raises:
        CosmosHttpResponseError: It needs what this client does not do; or a cross-partition query selects
            an aggregate that is no `VALUE`.
    """
    state = question.state
    request = Request(
        *("POST", state.docs_path, "docs", state.link, _PLAN_HEAD),
        question.body,
        state.compiler.of_lookup(question.compiled.end),
        reads=True,
    )
    answer = await state.send(request)
    document = answer.json()
    if document["queryInfo"].get("aggregates") and not document["queryInfo"].get("hasSelectValue"):
        raise CosmosHttpResponseError(
            _BAD_REQUEST, "Cross partition query only supports 'VALUE <AggregateFunc>' for aggregates"
        )
    return MergePlan.parse(document)


class MergedPages:
    """Pages of merged results; where one begins cannot be told, so they cannot be continued later.

    Args:
        question: The query.
        plan: How it is carried out.
        scope: The effective keys that are asked about.
        page_size: The most results of a page.
    """

    def __init__(
        self, question: FeedQuestion, plan: MergePlan, scope: KeyRange, page_size: int | None
    ) -> None:
        self._question = question if plan.text is None else question.with_text(plan.text)
        self._plan = plan
        self._scope = scope
        self._page_size = page_size if page_size and page_size > 0 else _USUAL_PAGE
        self._headers = ResponseHeaders()
        self._results: AsyncIterator[Any] | None = None
        self._numbers = count()

    async def next(self) -> FeedPage:
        """Merge a page."""
        if self._results is None:
            self._results = self._merge()
        found: list[Any] = []
        is_last = False
        while len(found) < self._page_size:
            try:
                found.append(await anext(self._results))
            except StopAsyncIteration:
                is_last = True
                break
        self._headers.pop("x-ms-continuation", None)
        return FeedPage(found, None, self._headers, is_last)

    async def _merge(self) -> AsyncGenerator[Any]:
        plan = self._plan
        left = _least(plan.limit, plan.top)
        skip = plan.offset
        if left == 0:
            return
        async for result in self._distinct(self._combined()):
            if skip > 0:
                skip -= 1
                continue
            yield result
            if left is not None:
                left -= 1
                if left == 0:
                    return

    async def _combined(self) -> AsyncGenerator[Any]:
        plan = self._plan
        if plan.descending:
            async for row in self._in_order():
                yield row["payload"]
        elif plan.aggregates:
            tallies = [_MergedAggregate(name) for name in plan.aggregates]
            async for row in self._one_after_another():
                for tally, part in zip(tallies, row, strict=False):
                    tally.add(part)
            for tally in tallies:
                yield tally.result()
        else:
            async for row in self._one_after_another():
                yield row

    async def _distinct(self, results: AsyncIterator[Any]) -> AsyncGenerator[Any]:
        if self._plan.distinct == "None":
            async for result in results:
                yield result
            return
        seen: set[bytes] = set()
        async for result in results:
            form = orjson.dumps(_canonical(result), option=orjson.OPT_SORT_KEYS)
            if form in seen:
                continue
            if self._plan.distinct == "Ordered":
                seen.clear()  # equal results follow each other
            seen.add(form)
            yield result

    async def _one_after_another(self) -> AsyncGenerator[Any]:
        for scope in await self._scopes():
            pages = RangePages(self._question, scope)
            while True:
                page = await pages.next()
                self._headers = page.headers
                for row in page.results:
                    yield row
                if page.is_last:
                    break

    async def _in_order(self) -> AsyncGenerator[Any]:
        """Merge the partitions' rows, each already in order, by a heap of their first ones."""
        waiting: list[_FirstRow] = []
        begun = [_OrderedPart(scope) for scope in await self._scopes()]
        while begun or waiting:
            while begun:
                part = begun.pop()
                part.rows = self._rows(part)
                begun += await self._advance(waiting, part)
            if not waiting:
                return
            _, _, _, row, part = heapq.heappop(waiting)
            yield row
            begun = await self._advance(waiting, part)

    async def _advance(self, waiting: list[_FirstRow], part: _OrderedPart) -> list[_OrderedPart]:
        """Put a partition's next row into the heap; where it has been split, return its parts instead."""
        try:
            order, row = await anext(part.rows)
        except StopAsyncIteration:
            return []
        except PartitionSplitError as split:
            return [_OrderedPart(scope, part.last, part.ties) for scope, _ in split.parts]
        heapq.heappush(waiting, (order, part.scope.low, next(self._numbers), row, part))
        return []

    async def _scopes(self) -> list[KeyRange]:
        """Return what is asked of each physical partition."""
        routing = await self._question.state.routing(self._question.compiled.end)
        scopes: list[KeyRange] = []
        for wanted in self._plan.ranges:
            for partition in routing.within(wanted):
                if wanted.low == wanted.high:
                    scopes.append(wanted)
                    continue
                low = max(wanted.low, partition.range.low, self._scope.low)
                high = min(wanted.high, partition.range.high, self._scope.high)
                if low < high:
                    scopes.append(KeyRange(low, high))
        return scopes

    async def _rows(self, part: _OrderedPart) -> AsyncGenerator[tuple[_Order, Any]]:
        pages = RangePages.of_part(self._question, part.scope, None)
        while True:
            page = await pages.next()
            self._headers = page.headers
            for row in page.results:
                order = _Order(row["orderByItems"], self._plan.descending)
                if part.is_new(order, row):
                    yield order, row
            if page.is_last:
                return


def _least(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _canonical(value: Any) -> Any:  # noqa: ANN401 - whatever the caller or the service has
    """Write numbers in one form: 1 and 1.0 are the same value to the service."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _canonical(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_canonical(one) for one in value]
    return value


def _rank(part: Mapping[str, Any]) -> tuple[int, Any]:
    """Place a value among the types: undefined, null, booleans, numbers, texts, then whatever is left."""
    if "item" not in part:
        return (0, 0)
    value = part["item"]
    match value:
        case None:
            return (1, 0)
        case bool():
            return (2, value)
        case int() | float():
            return (3, value)
        case str():
            return (4, value)
        case _:
            return (5 if isinstance(value, list) else 6, orjson.dumps(value))


@total_ordering
class _Order:
    """Place of a row in the order of a query."""

    __slots__ = ("_descending", "_parts")

    def __init__(self, parts: Sequence[Mapping[str, Any]], descending: tuple[bool, ...]) -> None:
        self._parts = [_rank(part) for part in parts]
        self._descending = descending

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Order) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(tuple(self._parts))

    def __lt__(self, other: _Order) -> bool:
        for mine, theirs, descends in zip(self._parts, other._parts, self._descending, strict=False):
            if mine != theirs:
                return mine > theirs if descends else mine < theirs
        return False


class _MergedAggregate:
    """An aggregate put together from those of each partition."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._value: Any = None
        self._count = 0

    def add(self, part: Any) -> None:  # noqa: ANN401 - whatever the caller or the service has
        if isinstance(part, dict):
            if "item" not in part:
                return
            part = part["item"]
        match self._name:
            case "Average":
                if isinstance(part, dict) and "sum" in part:
                    self._value = (self._value or 0.0) + part["sum"]
                    self._count += part["count"]
            case "Count" | "CountIf":
                self._count += part
            case "Sum":
                if part is not None:
                    self._value = part if self._value is None else self._value + part
            case "Min" | "Max":
                self._keep(part)

    def _keep(self, part: Any) -> None:  # noqa: ANN401 - whatever the caller or the service has
        if self._value is None:
            self._value = part
            return
        mine, theirs = _rank({"item": self._value}), _rank({"item": part})
        if theirs < mine if self._name == "Min" else theirs > mine:
            self._value = part

    def result(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        match self._name:
            case "Count" | "CountIf":
                return self._count
            case "Average":
                return None if self._count == 0 else self._value / self._count
            case _:
                return self._value


class _OrderedPart:
    """Rows of one physical partition in order, and how far they have been taken.

    A token of a partition is no token of the parts that it is split into. They are read from their beginning,
    and what the whole had given is passed over: all before its last row, and of that row's equals as many as
    it gave.

    Args:
        scope: The partition's keys.
        last: The order of the row that was taken last.
        ties: Of the rows of that order, how many of each item were taken.
    """

    def __init__(self, scope: KeyRange, last: _Order | None = None, ties: Counter[str] | None = None) -> None:
        self.scope = scope
        self.last = last
        self.ties: Counter[str] = Counter(ties)
        self.rows: AsyncIterator[tuple[_Order, Any]]
        self._passed_over = Counter(self.ties)

    def is_new(self, order: _Order, row: Mapping[str, Any]) -> bool:
        """Take a row, unless it has been given already."""
        rid = str(row.get("_rid"))
        if self.last is None or self.last < order:
            self.last, self.ties = order, Counter([rid])
            return True
        if order < self.last:
            return False
        if self._passed_over[rid] > 0:
            self._passed_over[rid] -= 1
            return False
        self.ties[rid] += 1
        return True
