"""Whole queries over the wire: paging, ordering, grouping, and which partitions they may see."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import orjson
import pytest

from local.cosmos.sql.query import PageRequest, Row, compile_query
from tests.unit_tests.local_cosmos.wire import NESTED, SIMPLE, content, documents, message

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject
    from tests.unit_tests.local_cosmos.wire import Wire

COMPOSITE: JsonObject = {
    "includedPaths": [{"path": "/*"}, {"path": "/sometimes/?"}],
    "excludedPaths": [{"path": "/secret/*"}],
    "compositeIndexes": [
        [{"path": "/shelf", "order": "ascending"}, {"path": "/n", "order": "descending"}],
    ],
}


@pytest.fixture
def shop(wire: Wire) -> str:
    container = wire.with_container(indexingPolicy=COMPOSITE)
    for number in range(10):
        item: JsonObject = {
            "id": f"i{number}",
            "pk": f"p{number % 2}",
            "n": number,
            "shelf": ["a", "b", "c"][number % 3],
            "tags": [*["red", "blue"][: number % 3]],
        }
        if number % 2:
            item["sometimes"] = number
        assert wire.create(container, item, item["pk"]).status == 201
    return container


def keyed(pk: Json) -> dict[str, str]:
    return {"x_ms_documentdb_partitionkey": orjson.dumps([pk]).decode()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT VALUE c.n FROM c WHERE c.n > @low", [7, 8, 9]),
        ("SELECT VALUE c.n FROM c ORDER BY c.n DESC", [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("SELECT TOP 2 VALUE c.n FROM c ORDER BY c.n", [0, 1]),
        ("SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 3 LIMIT 2", [3, 4]),
        ("SELECT VALUE c.n FROM c OFFSET 8 LIMIT 5", [8, 9]),
        ("SELECT DISTINCT VALUE c.shelf FROM c", ["a", "b", "c"]),
        ("SELECT DISTINCT VALUE c.shelf FROM c ORDER BY c.shelf DESC", ["c", "b", "a"]),
        ("SELECT DISTINCT VALUE c.shelf FROM c ORDER BY c.n DESC", ["a", "c", "b"]),
        ("SELECT DISTINCT VALUE c.shelf FROM c ORDER BY c.n OFFSET 1 LIMIT 5", ["b", "c"]),
        ("SELECT VALUE COUNT(1) FROM c", [10]),
        ("SELECT VALUE COUNT(c.sometimes) FROM c", [5]),
        ("SELECT VALUE SUM(c.n) FROM c", [45]),
        ("SELECT VALUE AVG(c.n) FROM c", [4.5]),
        ("SELECT VALUE SUM(c.shelf) FROM c", []),
        ("SELECT VALUE AVG(c.none) FROM c", []),
        ("SELECT VALUE SUM(c.none) FROM c", [0]),
        ("SELECT VALUE MIN(c.shelf) FROM c", ["a"]),
        ("SELECT VALUE MAX(c.tags) FROM c", []),
        ("SELECT VALUE COUNTIF(c.n > 7) FROM c", [2]),
        (
            "SELECT c.shelf, COUNT(1) AS k, MAX(c.n) AS best FROM c GROUP BY c.shelf",
            [
                {"shelf": "a", "k": 4, "best": 9},
                {"shelf": "b", "k": 3, "best": 7},
                {"shelf": "c", "k": 3, "best": 8},
            ],
        ),
        (
            "SELECT VALUE {'g': UPPER(c.shelf), 'n': SUM(c.n)/COUNT(1)} FROM c WHERE c.n<2 GROUP BY c.shelf",
            [{"g": "A", "n": 0}, {"g": "B", "n": 1}],
        ),
        ("SELECT c.n, t FROM c JOIN t IN c.tags WHERE c.n < 3 AND t = 'blue'", [{"n": 2, "t": "blue"}]),
        ("SELECT VALUE t FROM t IN c.tags WHERE t = 'blue'", ["blue", "blue", "blue"]),
        (
            "SELECT c.n, s FROM c JOIN (SELECT VALUE t FROM t IN c.tags WHERE t != 'red') AS s WHERE c.n = 5",
            [{"n": 5, "s": "blue"}],
        ),
        ("SELECT VALUE c.n FROM c WHERE EXISTS(SELECT VALUE t FROM t IN c.tags WHERE t = 'blue')", [2, 5, 8]),
        (
            "SELECT c.shelf, c.n FROM c WHERE c.n < 3 ORDER BY c.shelf ASC, c.n DESC",
            [{"shelf": "a", "n": 0}, {"shelf": "b", "n": 1}, {"shelf": "c", "n": 2}],
        ),
        ("SELECT VALUE c.n FROM c ORDER BY c.shelf DESC, c.n ASC", [2, 5, 8, 1, 4, 7, 0, 3, 6, 9]),
        ("SELECT VALUE c.n FROM c WHERE c.n < 3 ORDER BY c.sometimes", [0, 2, 1]),
        ("SELECT VALUE c.n FROM c WHERE c.n < 3 ORDER BY c.absent", []),
        ("SELECT 1 AS one", [{"one": 1}]),
        ("SELECT VALUE c FROM c WHERE c.n = 100", []),
        ("SELECT c.n AS a, c['shelf'], c.n + 1 FROM c WHERE c.n = 3", [{"a": 3, "shelf": "a", "$1": 4}]),
    ],
)
@pytest.mark.parametrize("page_size", [1, 3, 100])
def test_every_page_size_gives_the_same_result(
    wire: Wire, shop: str, text: str, expected: list[Json], page_size: int
) -> None:
    found = wire.query(shop, text, {"@low": 6}, x_ms_max_item_count=str(page_size))
    assert found == expected


def test_items_written_between_two_pages_neither_shift_nor_repeat_the_rest(wire: Wire, shop: str) -> None:
    text = "SELECT VALUE c.n FROM c ORDER BY c.n"
    first = wire.page(shop, text, x_ms_max_item_count="4", x_ms_documentdb_query_enablecrosspartition="True")
    assert documents(first) == [0, 1, 2, 3]
    wire.create(shop, {"id": "new", "pk": "p0", "n": -1, "shelf": "a"}, "p0")
    wire.on_items("DELETE", f"{shop}/docs/i2", None, "p0")
    rest = wire.page(
        shop,
        text,
        x_ms_max_item_count="100",
        x_ms_documentdb_query_enablecrosspartition="True",
        x_ms_continuation=first.headers["x-ms-continuation"],
    )
    assert documents(rest) == [4, 5, 6, 7, 8, 9]


def test_a_token_of_another_query_is_refused(wire: Wire, shop: str) -> None:
    first = wire.page(shop, "SELECT * FROM c", x_ms_max_item_count="2", **keyed("p0"))
    token = first.headers["x-ms-continuation"]
    for text, pk, given in (
        ("SELECT VALUE c.id FROM c", "p0", token),
        ("SELECT * FROM c", "p1", token),
        ("SELECT * FROM c", "p0", "nonsense"),
        ("SELECT * FROM c", "p0", "WzEsMl0="),
    ):
        refused = wire.page(shop, text, x_ms_continuation=given, **keyed(pk))
        assert refused.status == 400
        assert "Continuation" in message(refused)


def test_a_token_is_bound_to_the_parameters_and_the_container(wire: Wire, shop: str) -> None:
    text, given = "SELECT VALUE c.n FROM c WHERE c.n >= @low", {"x_ms_max_item_count": "1", **keyed("p0")}
    token = wire.page(shop, text, {"@low": 2}, **given).headers["x-ms-continuation"]
    assert documents(wire.page(shop, text, {"@low": 2}, **given, x_ms_continuation=token)) == [4]
    other = wire.with_container({**SIMPLE, "id": "other"})
    for container, parameters in (
        (shop, {"@low": 3}),
        (shop, {"@low": 2.5}),
        (shop, {"@low": "2"}),
        (shop, {"@low": 2, "@more": 1}),
        (other, {"@low": 2}),
    ):
        refused = wire.page(container, text, dict(parameters), **given, x_ms_continuation=token)
        assert refused.status == 400
        assert "Continuation" in message(refused)


def test_a_token_whose_numbers_are_out_of_range_is_refused(wire: Wire, shop: str) -> None:
    first = wire.page(shop, "SELECT * FROM c", x_ms_max_item_count="2", **keyed("p0"))
    parts = orjson.loads(base64.urlsafe_b64decode(first.headers["x-ms-continuation"]))
    for at in (3, 4, 5, 6):
        for number in (-1, 2**63):
            forged = base64.urlsafe_b64encode(orjson.dumps([*parts[:at], number, *parts[at + 1 :]])).decode()
            assert wire.page(shop, "SELECT * FROM c", x_ms_continuation=forged, **keyed("p0")).status == 400


def test_order_values_too_long_for_a_token_are_refused(wire: Wire, shop: str) -> None:
    for number in range(2):
        wire.create(shop, {"id": f"long{number}", "pk": "long", "n": "x" * 9000}, "long")
    refused = wire.page(shop, "SELECT * FROM c ORDER BY c.n", x_ms_max_item_count="1", **keyed("long"))
    assert refused.status == 400
    assert "too long" in message(refused)


def test_a_query_over_all_partitions_needs_to_be_asked_for(wire: Wire, shop: str) -> None:
    refused = wire.page(shop, "SELECT * FROM c WHERE c.n = 1")
    assert refused.status == 400
    assert "Cross partition query is required but disabled" in message(refused)


@pytest.mark.parametrize(
    "where",
    ["c.pk = 'p1'", "c.pk = @pk AND c.n > 0", "(c.pk = 'p1' AND c.n = 1) OR (c.n = 3 AND 'p1' = c.pk)"],
)
def test_a_filter_that_names_one_partition_stays_in_it(wire: Wire, shop: str, where: str) -> None:
    response = wire.page(shop, f"SELECT * FROM c WHERE {where}", {"@pk": "p1"})
    assert response.status == 200
    assert {item["pk"] for item in documents(response) if isinstance(item, dict)} == {"p1"}


@pytest.mark.parametrize(
    "where",
    [
        "c.pk = 'p1' OR c.n = 1",
        "c.pk IN ('p0', 'p1')",
        "NOT (c.pk = 'p1')",
        "c.pk != 'p1'",
        "c.pk = c.pk",
        "c.pk = 'p0' AND c.pk = 'p1'",
    ],
)
def test_a_filter_that_does_not_name_one_partition_is_over_all(wire: Wire, shop: str, where: str) -> None:
    assert wire.page(shop, f"SELECT * FROM c WHERE {where}").status == 400


def test_a_partition_key_hides_every_other_partition(wire: Wire, shop: str) -> None:
    for where in ("true", "c.pk = 'p0'", "c.pk = 'p0' OR c.pk = 'p1'", "c.id = 'i0'", "c.id IN ('i0', 'i1')"):
        found = wire.query(shop, f"SELECT VALUE c.pk FROM c WHERE {where}", **keyed("p1"))
        assert set(map(str, found)) <= {"p1"}


def test_items_named_by_id_and_partition_are_looked_up_and_not_scanned(wire: Wire, shop: str) -> None:
    named = [("i1", "p1"), ("i2", "p0"), ("i3", "p0")]
    where = " OR ".join(f"(c.id = '{item_id}' AND c.pk = '{pk}')" for item_id, pk in named)
    response = wire.page(
        shop, f"SELECT * FROM c WHERE {where}", x_ms_documentdb_query_enablecrosspartition="True"
    )
    assert [item["id"] for item in documents(response) if isinstance(item, dict)] == ["i1", "i2"]
    assert float(response.headers["x-ms-request-charge"]) < 2.3 + 0.03 * 3 + 0.15 * 2


@pytest.mark.parametrize("depth", [100, 200, 300, 400, 500, 5000])
@pytest.mark.slow
def test_a_deeply_nested_query_is_answered_or_refused_and_never_a_crash(
    wire: Wire, shop: str, depth: int
) -> None:
    for opening, closing in (("(", ")"), ("[", "]"), ("ABS(", ")"), ("-", "")):
        response = wire.page(shop, f"SELECT VALUE {opening * depth}1{closing * depth}", **keyed("p0"))
        assert response.status in {200, 400}


@pytest.mark.slow
def test_a_filter_may_have_a_thousand_terms(wire: Wire, shop: str) -> None:
    terms = " OR ".join(f"(c.id = 'i{number}' AND c.pk = 'p{number % 2}')" for number in range(1000))
    found = wire.query(shop, f"SELECT VALUE c.n FROM c WHERE {terms}")
    assert found == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    terms = " AND ".join(f"c.n != {number}" for number in range(1000) if number != 3)
    assert wire.query(shop, f"SELECT VALUE c.n FROM c WHERE {terms}") == [3]


def test_a_prefix_of_a_hierarchical_key_sees_whole_components_only(wire: Wire) -> None:
    container = wire.with_container(NESTED)
    for number, (a, b, c) in enumerate(
        [
            ("a", "b", "c"),
            ("a", "b", "d"),
            ("ab", "", "c"),
            ("a", "bc", "c"),
            ("", "ab", "c"),
            ("a", "B", "c"),
        ]
    ):
        key: list[Json] = [a, b, c]
        assert wire.create(container, {"id": str(number), "a": a, "b": b, "c": c}, key).status == 201
    for prefix, expected in (
        (["a"], {"0", "1", "3", "5"}),
        (["a", "b"], {"0", "1"}),
        (["ab"], {"2"}),
        ([""], {"4"}),
        (["a", "b", "c"], {"0"}),
        (["b"], set[str]()),
    ):
        header = orjson.dumps(prefix).decode()
        found = wire.query(container, "SELECT VALUE c.id FROM c", x_ms_documentdb_partitionkey=header)
        assert set(map(str, found)) == expected


def test_effective_partition_key_ranges_split_the_items_without_loss(wire: Wire, shop: str) -> None:
    everything = wire.query(shop, "SELECT VALUE c.id FROM c")
    halves = [
        wire.query(shop, "SELECT VALUE c.id FROM c", x_ms_start_epk=start, x_ms_end_epk=end)
        for start, end in (("", "1F"), ("1F", "FF"))
    ]
    assert sorted(map(str, halves[0] + halves[1])) == sorted(map(str, everything))
    assert not set(map(str, halves[0])) & set(map(str, halves[1]))


def test_order_by_several_paths_needs_its_composite_index(wire: Wire, shop: str) -> None:
    for clause in ("c.n, c.shelf", "c.shelf, c.n", "c.shelf DESC, c.n DESC"):
        refused = wire.page(shop, f"SELECT * FROM c ORDER BY {clause}", **keyed("p0"))
        assert refused.status == 400
        assert "composite index" in message(refused)


def test_an_aggregate_over_all_partitions_has_to_be_a_value(wire: Wire, shop: str) -> None:
    text = "SELECT COUNT(1), MAX(c.n) + 1 AS next FROM c"
    refused = wire.page(shop, text, x_ms_documentdb_query_enablecrosspartition="True")
    assert refused.status == 400
    assert "VALUE" in message(refused)
    assert wire.query(shop, text, **keyed("p1")) == [{"$1": 5, "next": 10}]


def test_metrics_come_when_asked_for(wire: Wire, shop: str) -> None:
    headers = {"x_ms_documentdb_populatequerymetrics": "True", **keyed("p1")}
    response = wire.page(shop, "SELECT * FROM c WHERE c.n > 5", **headers)
    metrics = response.headers["x-ms-documentdb-query-metrics"]
    assert metrics == "retrievedDocumentCount=5;outputDocumentCount=2"


def test_order_by_an_excluded_path_is_refused(wire: Wire, shop: str) -> None:
    refused = wire.page(shop, "SELECT * FROM c ORDER BY c.secret.word", **keyed("p0"))
    assert refused.status == 400
    assert "excluded" in message(refused)


def test_without_an_index_there_is_no_order(wire: Wire) -> None:
    bare: JsonObject = {"indexingMode": "none"}
    container = wire.with_container(indexingPolicy=bare)
    assert wire.page(container, "SELECT * FROM c ORDER BY c.x", **keyed("p0")).status == 400


def test_a_page_ends_before_four_megabytes(wire: Wire) -> None:
    container = wire.with_container()
    for number in range(5):
        wire.create(container, {"id": str(number), "pk": "p", "text": "x" * 1_500_000}, "p")
    first = wire.page(container, "SELECT * FROM c", **keyed("p"))
    assert len(documents(first)) == 2
    assert "x-ms-continuation" in first.headers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"query": 5}',
        b'{"query": "SELECT 1", "parameters": "x"}',
        b'{"query": "SELECT 1", "parameters": [{"name": "x"}]}',
    ],
)
def test_a_malformed_query_body_is_a_400(wire: Wire, shop: str, body: bytes) -> None:
    assert wire.send("POST", f"{shop}/docs", body, {"x-ms-documentdb-isquery": "True"}).status == 400


def test_a_page_size_that_is_none_is_refused(wire: Wire, shop: str) -> None:
    for size in ("0", "-2", "many"):
        assert wire.page(shop, "SELECT * FROM c", x_ms_max_item_count=size, **keyed("p0")).status == 400
    assert wire.page(shop, "SELECT * FROM c", x_ms_max_item_count="-1", **keyed("p0")).status == 200


def test_top_and_limit_take_whole_numbers_and_not_both(wire: Wire, shop: str) -> None:
    for clause, value in (("TOP @n", -1), ("TOP @n", 1.5), ("TOP @n", "3"), ("TOP @n", True)):
        refused = wire.page(shop, f"SELECT {clause} * FROM c", {"@n": value}, **keyed("p0"))
        assert refused.status == 400
    assert wire.page(shop, "SELECT TOP 1 * FROM c OFFSET 0 LIMIT 1", **keyed("p0")).status == 400


def test_a_scalar_subquery_with_two_results_is_refused(wire: Wire, shop: str) -> None:
    refused = wire.page(shop, "SELECT (SELECT VALUE t FROM t IN c.tags) AS t FROM c", **keyed("p0"))
    assert refused.status == 400
    assert "cardinality" in message(refused)


def test_a_plan_is_for_all_partitions_and_refuses_what_is_wrong(wire: Wire, shop: str) -> None:
    plan = content(wire.page(shop, "SELECT * FROM c ORDER BY c.n", x_ms_cosmos_is_query_plan_request="True"))
    assert plan["queryRanges"] == [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}]
    refused = wire.page(shop, "SELECT FOO(1)", x_ms_cosmos_is_query_plan_request="True")
    assert refused.status == 400


def test_a_partition_key_range_that_does_not_exist_is_gone(wire: Wire, shop: str) -> None:
    gone = wire.page(shop, "SELECT * FROM c", x_ms_documentdb_partitionkeyrangeid="7")
    assert (gone.status, gone.headers["x-ms-substatus"]) == (410, "1002")
    assert wire.page(shop, "SELECT * FROM c", x_ms_documentdb_partitionkeyrangeid="0").status == 200


def test_malformed_ranges_are_refused(wire: Wire, shop: str) -> None:
    everywhere = {"x_ms_documentdb_query_enablecrosspartition": "True"}
    for start, end in (("xyz", "FF"), ("", "")):
        ends = {"x_ms_start_epk": start, "x_ms_end_epk": end, **everywhere}
        assert wire.page(shop, "SELECT * FROM c", **ends).status == 400


def test_an_empty_key_is_no_key_for_everything(wire: Wire, shop: str) -> None:
    everywhere = {"x_ms_documentdb_query_enablecrosspartition": "True"}
    empty = {"x_ms_documentdb_partitionkey": "[]", **everywhere}
    assert wire.page(shop, "SELECT * FROM c", **empty).status == 400
    assert wire.call("GET", f"{shop}/docs", **empty).status == 400
    assert wire.call("GET", f"{shop}/docs", a_im="Incremental feed", **empty).status == 400


def test_a_listing_gives_all_items_page_by_page(wire: Wire, shop: str) -> None:
    first = wire.call("GET", f"{shop}/docs", x_ms_max_item_count="6")
    rest = wire.call("GET", f"{shop}/docs", x_ms_continuation=first.headers["x-ms-continuation"])
    found = [item["id"] for item in documents(first) + documents(rest) if isinstance(item, dict)]
    assert found == [f"i{number}" for number in range(10)]


def test_results_of_one_item_are_cut_between_pages() -> None:
    rows = [Row((b"", 1), {"a": [1, 2, 3, 4, 5]})]
    query = compile_query("SELECT VALUE x FROM c JOIN x IN c.a")
    page = query.run(rows, {}, 0, PageRequest(2))
    assert page.results == [b"1", b"2"]
    assert page.resume is not None
    assert query.run(rows, {}, 0, PageRequest(9, page.resume)).results == [b"3", b"4", b"5"]
