"""The change feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from local.cosmos.engine.identity import http_date
from tests.unit_tests.local_cosmos.wire import NESTED, documents, message

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject
    from tests.unit_tests.local_cosmos.wire import Wire


@pytest.fixture
def items(wire: Wire) -> str:
    container = wire.with_container()
    for number in range(6):
        pk = f"p{number % 2}"
        wire.create(container, {"id": str(number), "pk": pk}, pk)
    return container


def changes(wire: Wire, items: str, **headers: str) -> tuple[list[str], str]:
    """Give the ids of one page and the cursor after it."""
    response = wire.call("GET", f"{items}/docs", a_im="Incremental Feed", **headers)
    if response.status == 304:
        return [], response.headers["etag"]
    assert response.status == 200, response.body
    return [str(item["id"]) for item in documents(response) if isinstance(item, dict)], response.headers[
        "etag"
    ]


def test_from_the_beginning_each_item_comes_once_at_its_latest_change(wire: Wire, items: str) -> None:
    wire.upsert(items, {"id": "2", "pk": "p0", "n": 1}, "p0")
    wire.on_items("DELETE", f"{items}/docs/3", None, "p1")
    found, cursor = changes(wire, items)
    assert found == ["0", "1", "4", "5", "2"]
    assert changes(wire, items, if_none_match=cursor) == ([], cursor)


def test_a_cursor_goes_on_where_the_page_ended(wire: Wire, items: str) -> None:
    first, cursor = changes(wire, items, x_ms_max_item_count="4")
    wire.upsert(items, {"id": "0", "pk": "p0", "n": 1}, "p0")
    rest, _ = changes(wire, items, if_none_match=cursor)
    assert (first, rest) == (["0", "1", "2", "3"], ["4", "5", "0"])


def test_from_now_only_what_follows_comes(wire: Wire, items: str) -> None:
    nothing, cursor = changes(wire, items, if_none_match="*")
    assert nothing == []
    wire.create(items, {"id": "new", "pk": "p0"}, "p0")
    assert changes(wire, items, if_none_match=cursor)[0] == ["new"]


def test_from_a_time_only_what_was_changed_since_comes(wire: Wire, items: str) -> None:
    wire.clock.advance(10)
    since = http_date(wire.clock())
    assert changes(wire, items, if_modified_since=since)[0] == []
    wire.create(items, {"id": "new", "pk": "p0"}, "p0")
    found, cursor = changes(wire, items, if_modified_since=since)
    assert found == ["new"]
    assert changes(wire, items, if_modified_since=since, if_none_match=cursor)[0] == []


def test_one_partitions_changes_hold_no_others(wire: Wire, items: str) -> None:
    found, cursor = changes(wire, items, x_ms_documentdb_partitionkey='["p1"]')
    assert found == ["1", "3", "5"]
    wire.upsert(items, {"id": "0", "pk": "p0"}, "p0")
    assert changes(wire, items, x_ms_documentdb_partitionkey='["p1"]', if_none_match=cursor)[0] == []


def test_a_prefixs_changes_hold_no_others(wire: Wire) -> None:
    container = wire.with_container(NESTED)
    for a, b in (("x", "1"), ("xy", "1"), ("x", "2")):
        key: list[Json] = [a, b, "c"]
        wire.create(container, {"id": a + b, "a": a, "b": b, "c": "c"}, key)
    header = orjson.dumps(["x"]).decode()
    assert changes(wire, container, x_ms_documentdb_partitionkey=header)[0] == ["x1", "x2"]


def test_ranges_share_the_changes_out(wire: Wire, items: str) -> None:
    lower = changes(wire, items, x_ms_start_epk="", x_ms_end_epk="1F")[0]
    upper = changes(wire, items, x_ms_start_epk="1F", x_ms_end_epk="FF")[0]
    assert sorted(lower + upper) == ["0", "1", "2", "3", "4", "5"]


def test_a_change_tells_its_place(wire: Wire, items: str) -> None:
    response = wire.call("GET", f"{items}/docs", a_im="Incremental feed")
    assert [item["_lsn"] for item in documents(response) if isinstance(item, dict)] == [1, 2, 3, 4, 5, 6]


def test_a_batch_is_one_change_of_the_container_and_is_not_cut(wire: Wire, items: str) -> None:
    """Documented: https://learn.microsoft.com/dotnet/api/microsoft.azure.cosmos.changefeedrequestoptions.pagesizehint.

    All share one LSN because they were modified in one transaction: azure-cosmosdb-spark, issue 483.
    """
    operations: list[JsonObject] = [
        {"operationType": "Create", "resourceBody": {"id": f"b{number}", "pk": "p0"}} for number in range(3)
    ]
    answer = wire.batch(items, [*operations, {"operationType": "Delete", "id": "0"}], "p0")
    assert answer.headers["lsn"] == "7"
    assert len({entry["eTag"] for entry in orjson.loads(answer.body) if "eTag" in entry}) == 3
    assert wire.upsert(items, {"id": "2", "pk": "p0"}, "p0").headers["lsn"] == "8"
    found, cursor = changes(wire, items, if_none_match='"6"', x_ms_max_item_count="1")
    assert (found, cursor) == (["b0", "b1", "b2"], '"7"')
    assert changes(wire, items, if_none_match=cursor)[0] == ["2"]


def test_expired_items_are_no_changes(wire: Wire) -> None:
    container = wire.with_container(defaultTtl=5)
    wire.create(container, {"id": "1", "pk": "p"}, "p")
    wire.clock.advance(5)
    assert changes(wire, container)[0] == []


def test_what_is_no_cursor_or_date_is_refused(wire: Wire, items: str) -> None:
    for headers in (
        {"if_none_match": "nonsense"},
        {"if_none_match": '"²"'},
        {"if_none_match": f'"{2**63}"'},
        {"if_modified_since": "yesterday"},
    ):
        assert wire.call("GET", f"{items}/docs", a_im="Incremental feed", **headers).status == 400


def test_all_versions_and_deletes_are_refused_by_name(wire: Wire, items: str) -> None:
    refused = wire.call("GET", f"{items}/docs", a_im="Full-Fidelity Feed")
    assert refused.status == 400
    assert "AllVersionsAndDeletes" in message(refused)
