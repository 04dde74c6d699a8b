"""Random filters against a direct evaluation in Python, and random pages against one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from hypothesis import given
from hypothesis import strategies as st

from local.cosmos.sql.query import PageRequest, Row, compile_query
from local.cosmos.values import UNDEFINED, Value, deep_equal, sort_key
from tests.support.soak import sized
from tests.unit_tests.local_cosmos.soak import QUERIES

if TYPE_CHECKING:
    from local.cosmos.sql.query import Resume
    from local.cosmos.values import Json, JsonObject

pytestmark = sized(120)

type Truth = bool | None
"""Three-valued: None is undefined."""

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "b", "ab"]), st.just(0.5)
)
ITEMS = st.lists(
    st.dictionaries(st.sampled_from(["x", "y", "z"]), SCALARS, max_size=3), min_size=0, max_size=12
)
ORDERED = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}


class Comparison:
    """`c.<name> <operator> <literal>`."""

    def __init__(self, name: str, operator: str, literal: Json) -> None:
        self.name, self.operator, self.literal = name, operator, literal

    def __repr__(self) -> str:
        return f"c.{self.name} {self.operator} {orjson.dumps(self.literal).decode()}"

    def holds(self, item: JsonObject) -> Truth:
        if self.name not in item:
            return None
        value = item[self.name]
        if self.operator in {"=", "!="}:
            return deep_equal(value, self.literal) == (self.operator == "=")
        if ORDERED[type(value)] != ORDERED[type(self.literal)]:
            return None
        left, right = (0, 0) if value is None else (value, self.literal)
        verdicts = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}  # type: ignore[operator] # one type
        return verdicts[self.operator]


class Junction:
    """Two filters joined by AND or OR."""

    def __init__(self, operator: str, left: Filter, right: Filter) -> None:
        self.operator, self.left, self.right = operator, left, right

    def __repr__(self) -> str:
        return f"({self.left} {self.operator} {self.right})"

    def holds(self, item: JsonObject) -> Truth:
        left, right = self.left.holds(item), self.right.holds(item)
        decisive = self.operator == "OR"
        if decisive in {left, right}:
            return decisive
        return None if None in {left, right} else not decisive


class Negation:
    """A filter's opposite."""

    def __init__(self, inner: Filter) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"NOT ({self.inner})"

    def holds(self, item: JsonObject) -> Truth:
        inner = self.inner.holds(item)
        return None if inner is None else not inner


type Filter = Comparison | Junction | Negation

FILTERS: st.SearchStrategy[Filter] = st.recursive(
    st.builds(
        Comparison, st.sampled_from(["x", "y"]), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), SCALARS
    ),
    lambda inner: st.one_of(
        st.builds(Junction, st.sampled_from(["AND", "OR"]), inner, inner), st.builds(Negation, inner)
    ),
    max_leaves=5,
)


def rows(items: list[JsonObject]) -> list[Row]:
    return [Row((b"", at), {"id": str(at), **item}) for at, item in enumerate(items, 1)]


def run(text: str, items: list[JsonObject], size: int) -> list[Json]:
    """Run a query page by page."""
    query, results = compile_query(text), list[bytes]()
    resume: Resume | None = None
    while True:
        page = query.run(rows(items), {}, 0, PageRequest(size, resume))
        results += page.results
        if page.resume is None:
            return [orjson.loads(result) for result in results]
        resume = page.resume
        if not query.ordered_scan:
            items_left = [row for row in rows(items) if row.position >= resume.position]
            page = query.run(items_left, {}, 0, PageRequest(10_000, resume))
            return [orjson.loads(result) for result in results + page.results]


@QUERIES
@given(ITEMS, FILTERS)
def test_a_filter_finds_what_three_valued_logic_says(items: list[JsonObject], where: Filter) -> None:
    found = run(f"SELECT VALUE c.id FROM c WHERE {where}", items, 1000)
    assert found == [str(at) for at, item in enumerate(items, 1) if where.holds(item) is True]


@QUERIES
@given(
    ITEMS,
    st.sampled_from(
        [
            "SELECT VALUE c.id FROM c",
            "SELECT VALUE c.id FROM c ORDER BY c.x",
            "SELECT VALUE c.id FROM c ORDER BY c.x DESC, c.y",
            "SELECT c.x, COUNT(1) AS n FROM c GROUP BY c.x",
            "SELECT DISTINCT c.x, c.y FROM c",
            "SELECT DISTINCT VALUE c.x FROM c ORDER BY c.x DESC",
            "SELECT TOP 4 VALUE c.id FROM c ORDER BY c.y",
            "SELECT VALUE c.id FROM c OFFSET 2 LIMIT 5",
            "SELECT VALUE c.id FROM c ORDER BY c.z OFFSET 1 LIMIT 3",
        ]
    ),
    st.integers(1, 5),
)
def test_pages_add_up_to_the_whole(items: list[JsonObject], text: str, size: int) -> None:
    assert run(text, items, size) == run(text, items, 10_000)


@QUERIES
@given(ITEMS)
def test_order_and_groups_agree_with_python(items: list[JsonObject]) -> None:
    ordered = run("SELECT VALUE c.x FROM c ORDER BY c.x", items, 1000)
    assert ordered == sorted((item["x"] for item in items if "x" in item), key=sort_key)
    groups: dict[object, int] = {}
    for item in items:
        value: Value = item.get("x", UNDEFINED)
        groups[sort_key(value)] = groups.get(sort_key(value), 0) + 1
    counted = run("SELECT VALUE COUNT(1) FROM c GROUP BY c.x", items, 1000)
    assert counted == [groups[key] for key in sorted(groups)]  # type: ignore[type-var] # sort keys compare
