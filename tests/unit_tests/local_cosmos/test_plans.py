"""Query plans: what the service has been recorded to say, and that what it asks for is understood here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from local.cosmos.errors import CosmosError
from local.cosmos.sql import tree
from local.cosmos.sql.parser import parse
from local.cosmos.sql.plan import plan_query
from local.cosmos.sql.query import compile_query
from local.cosmos.sql.text import write_query
from tests.unit_tests.local_cosmos.wire import NESTED, content, documents, message

if TYPE_CHECKING:
    from local.cosmos.values import Json
    from tests.unit_tests.local_cosmos.wire import Wire

FILTER = "{documentdb-formattableorderbyquery-filter}"


@pytest.mark.parametrize(
    ("text", "rewritten", "says"),
    [
        ("SELECT * FROM c", "", {}),
        (
            "SELECT VALUE AVG(c.blah) FROM c",
            'SELECT VALUE [{"item": {"sum": SUM(c.blah), "count": COUNT(c.blah)}}]\nFROM c',
            {"aggregates": ["Average"], "hasSelectValue": True},
        ),
        (
            "SELECT VALUE MIN(c.blah + 1) FROM c",
            (
                'SELECT VALUE [{"item": MIN((c.blah + 1)), '
                '"item2": {"min": MIN((c.blah + 1)), "count": COUNT((c.blah + 1))}}]\nFROM c'
            ),
            {"aggregates": ["Min"], "hasSelectValue": True},
        ),
        (
            "SELECT VALUE MAX(c.blah) FROM c WHERE c.key > 1",
            (
                'SELECT VALUE [{"item": MAX(c.blah), "item2": {"max": MAX(c.blah), '
                '"count": COUNT(c.blah)}}]\nFROM c\nWHERE (c.key > 1)'
            ),
            {"aggregates": ["Max"], "hasSelectValue": True},
        ),
        (
            "SELECT VALUE COUNT(1) FROM c",
            'SELECT VALUE [{"item": COUNT(1)}]\nFROM c',
            {"aggregates": ["Count"], "hasSelectValue": True},
        ),
        (
            "SELECT TOP 5 VALUE AVG(c.name) FROM c",
            'SELECT VALUE [{"item": {"sum": SUM(c.name), "count": COUNT(c.name)}}]\nFROM c',
            {"aggregates": ["Average"], "hasSelectValue": True, "top": 5},
        ),
        (
            "SELECT * FROM Root r ORDER BY r.blah",
            (
                'SELECT r._rid, [{"item": r.blah}] AS orderByItems, r AS payload\n'
                f"FROM Root AS r\nWHERE ({FILTER})\nORDER BY r.blah"
            ),
            {"orderBy": ["Ascending"], "orderByExpressions": ["r.blah"]},
        ),
        (
            "SELECT TOP 10 * FROM Root r ORDER BY r.key",
            (
                'SELECT TOP 10 r._rid, [{"item": r.key}] AS orderByItems, r AS payload\n'
                f"FROM Root AS r\nWHERE ({FILTER})\nORDER BY r.key"
            ),
            {"orderBy": ["Ascending"], "orderByExpressions": ["r.key"], "top": 10},
        ),
        (
            "SELECT VALUE c.blah FROM Root c ORDER BY c.key DESC",
            (
                'SELECT c._rid, [{"item": c.key}] AS orderByItems, c.blah AS payload\n'
                f"FROM Root AS c\nWHERE (({FILTER}) AND IS_DEFINED(c.blah))\nORDER BY c.key DESC"
            ),
            {"orderBy": ["Descending"], "orderByExpressions": ["c.key"], "hasSelectValue": True},
        ),
        (
            "SELECT TOP 50 r[0] FROM r ORDER BY r.key ASC",
            (
                'SELECT TOP 50 r._rid, [{"item": r.key}] AS orderByItems, {"$1": r[0]} AS payload\n'
                f"FROM r\nWHERE ({FILTER})\nORDER BY r.key"
            ),
            {"orderBy": ["Ascending"], "orderByExpressions": ["r.key"], "top": 50},
        ),
        (
            "SELECT c.property1, c.property2 FROM c WHERE c.property4 = 'asdf' ORDER BY c.f1, c.f2",
            (
                'SELECT c._rid, [{"item": c.f1}, {"item": c.f2}] AS orderByItems, '
                '{"property1": c.property1, "property2": c.property2} AS payload\n'
                f'FROM c\nWHERE ((c.property4 = "asdf") AND ({FILTER}))\nORDER BY c.f1, c.f2'
            ),
            {"orderBy": ["Ascending", "Ascending"], "orderByExpressions": ["c.f1", "c.f2"]},
        ),
        ("SELECT TOP 5 * FROM c", "", {"top": 5}),
        ("SELECT TOP @count * FROM c", "", {"top": 42}),
        ("SELECT * FROM c OFFSET 1 LIMIT 2", "SELECT *\nFROM c\nOFFSET 0 LIMIT 3", {"offset": 1, "limit": 2}),
        (
            "SELECT * FROM c OFFSET @count LIMIT 1337",
            "SELECT *\nFROM c\nOFFSET 0 LIMIT 1379",
            {"offset": 42, "limit": 1337},
        ),
        ("SELECT DISTINCT c.blah FROM c", "", {"distinctType": "Unordered"}),
        (
            "SELECT DISTINCT TOP 5 VALUE c.name FROM c",
            "SELECT DISTINCT VALUE c.name\nFROM c",
            {"distinctType": "Unordered", "top": 5, "hasSelectValue": True},
        ),
        (
            "SELECT DISTINCT VALUE c.blah FROM c ORDER BY c.blah",
            (
                'SELECT c._rid, [{"item": c.blah}] AS orderByItems, c.blah AS payload\n'
                f"FROM c\nWHERE (({FILTER}) AND IS_DEFINED(c.blah))\nORDER BY c.blah"
            ),
            {
                "distinctType": "Ordered",
                "orderBy": ["Ascending"],
                "orderByExpressions": ["c.blah"],
                "hasSelectValue": True,
            },
        ),
        (
            "SELECT TOP 5 VALUE c.name FROM c GROUP BY c.name",
            'SELECT [{"item": c.name}] AS groupByItems, c.name AS payload\nFROM c\nGROUP BY c.name',
            {"groupByExpressions": ["c.name"], "top": 5, "hasSelectValue": True},
        ),
        (
            "SELECT c.name FROM c WHERE c.key = 5 GROUP BY c.name OFFSET 1 LIMIT 2",
            (
                'SELECT [{"item": c.name}] AS groupByItems, {"name": c.name} AS payload\n'
                "FROM c\nWHERE (c.key = 5)\nGROUP BY c.name"
            ),
            {
                "groupByExpressions": ["c.name"],
                "groupByAliases": ["name"],
                "groupByAliasToAggregateType": {"name": None},
                "offset": 1,
                "limit": 2,
            },
        ),
        (
            "SELECT AVG(c.blah) FROM c",
            'SELECT {"$1": {"item": {"sum": SUM(c.blah), "count": COUNT(c.blah)}}} AS payload\nFROM c',
            {"groupByAliases": ["$1"], "groupByAliasToAggregateType": {"$1": "Average"}},
        ),
    ],
)
def test_a_plan_says_what_azures_does(text: str, rewritten: str, says: dict[str, Json]) -> None:
    """Recorded in `QueryPlanBaselineTests.*.xml` of azure-cosmos-dotnet-v3 (BaselineTest/TestBaseline)."""
    info = plan_query(compile_query(text), {"@count": 42}, in_one_partition=False).info
    assert info["rewrittenQuery"] == rewritten
    nothing = plan_query(compile_query("SELECT * FROM c"), {}, in_one_partition=False).info
    assert info == {**nothing, "rewrittenQuery": rewritten, **says}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELECT * FROM r WHERE r.key = 'key' ORDER BY r.key", {}),
        ("SELECT * FROM c WHERE c.key = 5 OFFSET 1 LIMIT 2", {}),
        ("SELECT TOP 5 * FROM c WHERE c.key = 5", {"top": 5}),
        (
            "SELECT VALUE COUNT(1) FROM c WHERE c.key = 5 OFFSET 1 LIMIT 2",
            {
                "aggregates": ["Count"],
                "offset": 1,
                "limit": 2,
                "hasSelectValue": True,
                "rewrittenQuery": 'SELECT VALUE [{"item": COUNT(1)}]\nFROM c\nWHERE (c.key = 5)',
            },
        ),
        (
            "SELECT DISTINCT * FROM c WHERE c.key = 5 OFFSET 1 LIMIT 2",
            {
                "distinctType": "Unordered",
                "offset": 1,
                "limit": 2,
                "rewrittenQuery": "SELECT DISTINCT *\nFROM c\nWHERE (c.key = 5)",
            },
        ),
    ],
)
def test_a_query_of_one_partition_needs_no_merging_of_its_rows(text: str, says: dict[str, Json]) -> None:
    """Recorded in the same files."""
    nothing = plan_query(compile_query("SELECT * FROM c"), {}, in_one_partition=True).info
    assert plan_query(compile_query(text), {}, in_one_partition=True).info == {**nothing, **says}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT VALUE SUM(c.n) / COUNT(1) FROM c",
        "SELECT SUM(c.n) + 1 FROM c",
        "SELECT TOP @absent * FROM c",
        "SELECT TOP 1.5 * FROM c",
    ],
)
def test_what_cannot_be_merged_is_refused(text: str) -> None:
    with pytest.raises(CosmosError):
        plan_query(compile_query(text), {}, in_one_partition=False)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM c",
        "SELECT DISTINCT TOP 3 VALUE c.a FROM c",
        "SELECT c.a, c['b c'] AS x, 1 + 2 * 3 AS y, c['select'], c[0] FROM root c",
        "SELECT VALUE {'a': [1, -2.5, 'x\"y', null, true, undefined], 'b': {}} FROM c",
        "SELECT c.n, t FROM c JOIN t IN c.tags JOIN (SELECT VALUE u FROM u IN c.us) AS s WHERE t = 'blue'",
        "SELECT VALUE x FROM x IN c.a.b[2]['d e']",
        "SELECT * FROM c WHERE c.a = 1 AND (c.b != 2 OR NOT (c.c < 3)) AND c.d IN (1, 'x')",
        "SELECT * FROM c WHERE c.e NOT IN (2)",
        "SELECT * FROM c WHERE c.a BETWEEN 1 AND 2 OR c.b NOT BETWEEN @low AND @high",
        "SELECT * FROM c WHERE c.a LIKE 'x%' AND c.b NOT LIKE '50!%' ESCAPE '!'",
        "SELECT VALUE (c.a ? c.b ?? 1 : -c.c) FROM c WHERE ~c.n > 1 AND c.a || 'x' = 'yx'",
        "SELECT VALUE ARRAY(SELECT VALUE t FROM t IN c.x) FROM c WHERE EXISTS(SELECT VALUE 1 FROM t IN c.x)",
        "SELECT c.a, COUNT(1) AS k FROM c GROUP BY c.a, LOWER(c.b)",
        "SELECT * FROM c ORDER BY c.a DESC, c.b OFFSET 1 LIMIT @n",
        "SELECT LEFT(c.a, 2), (SELECT VALUE 1) AS one FROM c",
    ],
)
def test_what_is_written_is_read_as_what_it_was(text: str) -> None:
    node = parse(text)
    assert bare(parse(write_query(node))) == bare(node)


def bare(node: Any) -> Any:  # noqa: ANN401 - any part of a tree
    """Take the parentheses out of a tree."""
    if isinstance(node, tree.Group):
        return bare(node.inner)
    if isinstance(node, tuple):
        return tuple(map(bare, node))
    fields = getattr(type(node), "__dataclass_fields__", {})
    return (type(node), *(bare(getattr(node, name)) for name in fields)) if fields else node


@pytest.fixture
def cut(wire: Wire) -> str:
    """A container in three physical partitions."""
    container = wire.with_container()
    for number in range(30):
        pk = f"p{number % 10}"
        wire.create(container, {"id": f"i{number}", "pk": pk, "n": number}, pk)
    answer = wire.call("POST", "/_local/split", {"container": "db/items", "parts": 3})
    assert answer.status == 200
    return container


EVERYWHERE = {"x_ms_documentdb_query_enablecrosspartition": "True"}


def test_a_query_that_needs_no_merging_goes_from_partition_to_partition(wire: Wire, cut: str) -> None:
    ranges = orjson.loads(wire.call("GET", f"{cut}/pkranges").body)["PartitionKeyRanges"]
    text = "SELECT VALUE c.n FROM c WHERE c.n < 25"
    parts = [wire.query(cut, text, x_ms_documentdb_partitionkeyrangeid=one["id"]) for one in ranges]
    assert all(parts)
    pages = pages_of(wire, cut, text, "1000")
    assert pages == parts  # a page has results of one partition only
    assert [n for page in pages_of(wire, cut, text, "2") for n in page] == [n for page in pages for n in page]


def pages_of(wire: Wire, container: str, text: str, size: str) -> list[list[Json]]:
    pages: list[list[Json]] = []
    token: dict[str, str] = {}
    while True:
        page = wire.page(container, text, x_ms_max_item_count=size, **EVERYWHERE, **token)
        assert page.status == 200, page.body
        pages.append(documents(page))
        if "x-ms-continuation" not in page.headers:
            return pages
        token = {"x_ms_continuation": page.headers["x-ms-continuation"]}


def test_a_token_goes_on_after_a_split(wire: Wire, cut: str) -> None:
    text = "SELECT VALUE c.n FROM c"
    first = wire.page(cut, text, x_ms_max_item_count="4", **EVERYWHERE)
    wire.call("POST", "/_local/split", {"container": "db/items"})
    token = first.headers["x-ms-continuation"]
    rest = wire.query(cut, text, x_ms_continuation=token)
    assert sorted(map(int, map(str, documents(first) + rest))) == list(range(30))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM c ORDER BY c.n",
        "SELECT TOP 1 * FROM c",
        "SELECT * FROM c OFFSET 0 LIMIT 1",
        "SELECT DISTINCT VALUE c.pk FROM c",
        "SELECT VALUE COUNT(1) FROM c",
        "SELECT c.pk FROM c GROUP BY c.pk",
        "SELECT SUM(c.n) FROM c",
    ],
)
def test_a_query_that_needs_merging_is_left_to_the_client_with_its_plan(
    wire: Wire, cut: str, text: str
) -> None:
    """The status is `CROSS_PARTITION_QUERY_NOT_SERVABLE` in azure-cosmos 4.17's http_constants.py."""
    refused = wire.page(cut, text, **EVERYWHERE)
    assert (refused.status, refused.headers["x-ms-substatus"]) == (400, "1004")
    told = orjson.loads(str(content(refused)["additionalErrorInfo"]))
    asked = wire.page(cut, text, x_ms_cosmos_is_query_plan_request="True")
    assert told == content(asked)
    for narrowed in (text.replace("FROM c", "FROM c WHERE c.pk = 'p1'"),):
        assert wire.page(cut, narrowed, **EVERYWHERE).status == 200


def test_a_query_that_names_keys_of_one_partition_is_served(wire: Wire, cut: str) -> None:
    by_part: dict[str, list[str]] = {}
    for number in range(10):
        answer = wire.read(cut, f"i{number}", f"p{number}")
        by_part.setdefault(answer.headers["x-ms-documentdb-partitionkeyrangeid"], []).append(f"p{number}")
    one, other = sorted(by_part.values(), key=len)[-2:]
    together = wire.page(
        cut, f"SELECT VALUE c.n FROM c WHERE c.pk IN {tuple(one)!r} ORDER BY c.n", **EVERYWHERE
    )
    assert len(documents(together)) == 3 * len(one)
    apart = f"SELECT VALUE c.n FROM c WHERE c.pk IN ('{one[0]}', '{other[0]}') ORDER BY c.n"
    assert wire.page(cut, apart, **EVERYWHERE).headers["x-ms-substatus"] == "1004"


def test_items_that_are_named_are_looked_up_in_each_partition(wire: Wire, cut: str) -> None:
    text = "SELECT VALUE c.n FROM c WHERE " + " OR ".join(
        f"(c.id = 'i{number}' AND c.pk = 'p{number}')" for number in range(10)
    )
    found = wire.query(cut, text, x_ms_max_item_count="2")
    assert sorted(map(int, map(str, found))) == list(range(10))


def test_a_listing_goes_from_partition_to_partition(wire: Wire, cut: str) -> None:
    found: list[Json] = []
    headers: dict[str, str] = {}
    while True:
        page = wire.call("GET", f"{cut}/docs", x_ms_max_item_count="4", **headers)
        found += documents(page)
        if "x-ms-continuation" not in page.headers:
            break
        headers = {"x_ms_continuation": page.headers["x-ms-continuation"]}
    assert len(found) == 30


def test_the_change_feed_over_all_partitions_is_refused_by_name(wire: Wire, cut: str) -> None:
    refused = wire.call("GET", f"{cut}/docs", a_im="Incremental feed")
    assert refused.status == 400
    assert "change feed over all partitions" in message(refused)


def test_a_plan_names_the_keys_that_the_filter_names(wire: Wire, cut: str) -> None:
    """Recorded in `QueryPlanBaselineTests.PointRange.xml` of azure-cosmos-dotnet-v3."""
    planning = {"x_ms_cosmos_is_query_plan_request": "True"}
    named = content(wire.page(cut, "SELECT * FROM c WHERE c.pk IN ('a', 1)", **planning))["queryRanges"]
    assert isinstance(named, list)
    epks = sorted(
        wire.account.catalog.all_containers()[0].policy.partition.of_values([key]).epk.hex().upper()
        for key in ("a", 1)
    )
    assert named == [{"min": epk, "max": epk, "isMinInclusive": True, "isMaxInclusive": True} for epk in epks]
    nested = wire.with_container(NESTED)
    part_of_a_key = content(wire.page(nested, "SELECT * FROM c WHERE c.a = 'x'", **planning))["queryRanges"]
    assert part_of_a_key == [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}]


def test_a_client_that_could_not_carry_a_plan_out_is_refused_by_name(wire: Wire, cut: str) -> None:
    planning = {
        "x_ms_cosmos_is_query_plan_request": "True",
        "x_ms_cosmos_supported_query_features": "Aggregate, Distinct,Top",
    }
    assert wire.page(cut, "SELECT DISTINCT TOP 1 VALUE c.n FROM c", **planning).status == 200
    for text, feature in (
        ("SELECT c.n FROM c GROUP BY c.n", "GroupBy"),
        ("SELECT SUM(c.n) FROM c", "NonValueAggregate"),
        ("SELECT * FROM c ORDER BY c.n", "OrderBy"),
        ("SELECT * FROM c ORDER BY c.n, c.m", "MultipleOrderBy"),
        ("SELECT * FROM c OFFSET 1 LIMIT 1", "OffsetAndLimit"),
        ("SELECT VALUE COUNTIF(c.n > 1) FROM c", "CountIf"),
    ):
        refused = wire.page(cut, text, **planning)
        assert refused.status == 400
        assert f"Query contained {feature}, which" in message(refused)
