"""Transactional batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.unit_tests.local_cosmos.wire import content, message

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject
    from tests.unit_tests.local_cosmos.wire import Wire


@pytest.fixture
def items(wire: Wire) -> str:
    container = wire.with_container()
    wire.create(container, {"id": "1", "pk": "p", "n": 1}, "p")
    return container


def create(item_id: str, pk: str = "p") -> JsonObject:
    return {"operationType": "Create", "resourceBody": {"id": item_id, "pk": pk}}


def test_all_kinds_of_operations_run_in_order(wire: Wire, items: str) -> None:
    answer = wire.batch(
        items,
        [
            create("2"),
            {"operationType": "Upsert", "resourceBody": {"id": "2", "pk": "p", "n": 2}},
            {"operationType": "Replace", "id": "2", "resourceBody": {"id": "2", "pk": "p", "n": 3}},
            {
                "operationType": "Patch",
                "id": "2",
                "resourceBody": {
                    "operations": [{"op": "incr", "path": "/n", "value": 1}],
                    "condition": "from c where c.n = 3",
                },
            },
            {"operationType": "Read", "id": "2"},
            {"operationType": "Delete", "id": "1"},
        ],
        "p",
    )
    assert answer.status == 200
    entries = orjson.loads(answer.body)
    assert [entry["statusCode"] for entry in entries] == [201, 200, 200, 200, 200, 204]
    assert entries[4]["resourceBody"]["n"] == 4
    assert entries[3]["eTag"] == entries[4]["eTag"]
    assert "resourceBody" not in entries[5]
    assert wire.query(items, "SELECT VALUE c.id FROM c") == ["2"]


@pytest.mark.parametrize(
    ("failing", "status", "substatus"),
    [
        (create("1"), 409, None),
        (create("3", "other"), 400, 1001),
        ({"operationType": "Read", "id": "absent"}, 404, None),
        ({"operationType": "Delete", "id": "absent"}, 404, None),
        (
            {"operationType": "Replace", "id": "1", "resourceBody": {"id": "1", "pk": "p"}, "ifMatch": "x"},
            412,
            None,
        ),
        (
            {
                "operationType": "Patch",
                "id": "1",
                "resourceBody": {
                    "operations": [{"op": "incr", "path": "/n", "value": 1}],
                    "condition": "from c where c.n = 2",
                },
            },
            412,
            1110,
        ),
        ({"operationType": "Frobnicate", "id": "1"}, 400, None),
        ({"operationType": "Create"}, 400, None),
        (5, 400, None),
    ],
)
def test_one_failure_undoes_all_and_is_told_apart(
    wire: Wire, items: str, failing: Json, status: int, substatus: int | None
) -> None:
    operations: list[Json] = [create("2"), failing, create("4")]
    answer = wire.batch(items, operations, "p")  # type: ignore[arg-type] # malformed on purpose
    assert answer.status == 207
    entries = orjson.loads(answer.body)
    assert [entry["statusCode"] for entry in entries] == [424, status, 424]
    assert entries[1].get("subStatusCode") == substatus
    assert wire.query(items, "SELECT VALUE c.id FROM c") == ["1"]
    assert wire.create(items, {"id": "2", "pk": "p"}, "p").status == 201


def test_a_minimal_answer_has_etags_and_only_what_was_read(wire: Wire, items: str) -> None:
    operations: list[JsonObject] = [create("2"), {"operationType": "Read", "id": "2"}]

    answer = wire.batch(items, operations, "p", prefer="return=minimal")

    written, read = orjson.loads(answer.body)
    assert (written["statusCode"], written["eTag"]) == (201, wire.read(items, "2", "p").headers["etag"])
    assert "resourceBody" not in written
    assert read["resourceBody"]["id"] == "2"


def test_a_read_of_what_the_caller_has_fails_nothing(wire: Wire, items: str) -> None:
    etag = wire.read(items, "1", "p").headers["etag"]
    answer = wire.batch(items, [{"operationType": "Read", "id": "1", "ifNoneMatch": etag}, create("2")], "p")
    assert [entry["statusCode"] for entry in orjson.loads(answer.body)] == [304, 201]


def test_a_hundred_operations_fit_and_no_more(wire: Wire, items: str) -> None:
    assert wire.batch(items, [create(f"n{number}") for number in range(101)], "p").status == 400
    assert wire.query(items, "SELECT VALUE COUNT(1) FROM c") == [1]
    assert wire.batch(items, [create(f"n{number}") for number in range(100)], "p").status == 200
    assert wire.query(items, "SELECT VALUE COUNT(1) FROM c") == [101]


def test_two_megabytes_fit_and_no_more(wire: Wire, items: str) -> None:
    large: JsonObject = {
        "operationType": "Create",
        "resourceBody": {"id": "2", "pk": "p", "t": "x" * 2_200_000},
    }
    refused = wire.batch(items, [large], "p")
    assert (refused.status, content(refused)["code"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]"])
def test_a_batch_without_operations_is_a_400(wire: Wire, items: str, body: bytes) -> None:
    headers = {
        "x-ms-cosmos-is-batch-request": "True",
        "x-ms-cosmos-batch-atomic": "True",
        "x-ms-documentdb-partitionkey": '["p"]',
    }
    assert wire.send("POST", f"{items}/docs", body, headers).status == 400


def test_bulk_is_refused_by_name(wire: Wire, items: str) -> None:
    refused = wire.on_items("POST", f"{items}/docs", [], "p", x_ms_cosmos_is_batch_request="True")
    assert refused.status == 400
    assert "bulk" in message(refused)
