"""Single items over the wire: statuses, conditions, keys, sizes, expiry, unique keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.unit_tests.local_cosmos.wire import NESTED, SIMPLE, START, Wire, content, documents, message

if TYPE_CHECKING:
    from pathlib import Path

    from local.cosmos.values import Json, JsonObject


@pytest.fixture
def items(wire: Wire) -> str:
    return wire.with_container()


def test_an_item_comes_back_with_what_the_service_adds(wire: Wire, items: str) -> None:
    created = wire.create(items, {"id": "1", "pk": "p", "n": 1.5, "text": "é"}, "p")
    assert created.status == 201
    item = content(created)
    assert set(item) == {"id", "pk", "n", "text", "_rid", "_self", "_etag", "_attachments", "_ts"}
    assert item["_ts"] == int(START)
    assert created.headers["etag"] == item["_etag"]
    read = wire.read(items, "1", "p")
    assert (read.status, read.body) == (200, created.body)
    assert read.headers["x-ms-request-charge"] == "1"
    assert read.headers["x-ms-session-token"] == "0:-1#1"
    assert read.headers["content-type"] == "application/json"


def test_what_a_client_sends_as_system_properties_is_not_stored(wire: Wire, items: str) -> None:
    item = content(wire.create(items, {"id": "1", "pk": "p", "_etag": "mine", "_ts": 1, "_rid": "x"}, "p"))
    assert item["_etag"] != "mine"
    assert item["_ts"] == int(START)


def test_each_write_has_its_own_etag(wire: Wire, items: str) -> None:
    etags = [wire.upsert(items, {"id": "1", "pk": "p"}, "p").headers["etag"] for _ in range(5)]
    assert len(set(etags)) == 5


def test_an_id_may_exist_once_per_partition(wire: Wire, items: str) -> None:
    assert wire.create(items, {"id": "1", "pk": "p"}, "p").status == 201
    again = wire.create(items, {"id": "1", "pk": "p"}, "p")
    assert (again.status, content(again)["code"]) == (409, "Conflict")
    assert wire.create(items, {"id": "1", "pk": "q"}, "q").status == 201


def test_a_wrong_partition_key_is_a_404(wire: Wire, items: str) -> None:
    wire.create(items, {"id": "1", "pk": "p"}, "p")
    for method in ("GET", "DELETE"):
        missing = wire.on_items(method, f"{items}/docs/1", None, "other")
        assert (missing.status, content(missing)["code"]) == (404, "NotFound")
        assert "x-ms-substatus" not in missing.headers
    replaced = wire.on_items("PUT", f"{items}/docs/1", {"id": "1", "pk": "other"}, "other")
    assert replaced.status == 404


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", 1),
        (1, True),
        (0, False),
        (None, "null"),
        (None, {}),
        ("", {}),
        ("a", "A"),
        ("a", "a\u0000"),
        ("é", "e\u0301"),
    ],
)
def test_keys_that_differ_are_different_partitions(wire: Wire, items: str, one: Json, other: Json) -> None:
    def item(pk: Json) -> JsonObject:
        return {"id": "1"} if pk == {} else {"id": "1", "pk": pk}

    assert wire.create(items, item(one), one).status == 201
    assert wire.read(items, "1", other).status == 404
    assert wire.create(items, item(other), other).status == 201
    assert wire.query(items, "SELECT VALUE COUNT(1) FROM c") == [2]


def test_numbers_that_are_equal_are_one_partition(wire: Wire, items: str) -> None:
    wire.create(items, {"id": "1", "pk": 1}, 1)
    assert wire.read(items, "1", 1.0).status == 200


@pytest.mark.parametrize(
    ("pk", "header"),
    [("p", '["other"]'), (1, '["1"]'), (None, '["null"]'), ("p", "[null]")],
)
def test_a_header_that_contradicts_the_item_is_refused(wire: Wire, items: str, pk: Json, header: str) -> None:
    refused = wire.call("POST", f"{items}/docs", {"id": "1", "pk": pk}, x_ms_documentdb_partitionkey=header)
    assert (refused.status, refused.headers["x-ms-substatus"]) == (400, "1001")


@pytest.mark.parametrize("header", ["", "p", '"p"', "[]", '["a", "b"]', "[[1]]", '[{"a": 1}]'])
def test_a_header_that_is_no_key_is_refused(wire: Wire, items: str, header: str) -> None:
    read = wire.call("GET", f"{items}/docs/1", x_ms_documentdb_partitionkey=header)
    assert read.status == 400


def test_an_operation_without_a_key_is_refused(wire: Wire, items: str) -> None:
    assert wire.call("GET", f"{items}/docs/1").status == 400
    assert wire.call("POST", f"{items}/docs", {"id": "1", "pk": "p"}).status == 400


def test_a_part_of_a_hierarchical_key_is_no_key(wire: Wire) -> None:
    nested = wire.with_container(NESTED)
    wire.create(nested, {"id": "1", "a": "x", "b": "y", "c": "z"}, ["x", "y", "z"])
    partial = wire.read(nested, "1", ["x", "y"])
    assert (partial.status, partial.headers["x-ms-substatus"]) == (400, "1001")
    assert wire.read(nested, "1", ["x", "y", "z"]).status == 200


def test_a_partition_key_may_lie_deeper_in_the_item(wire: Wire) -> None:
    deep = wire.with_container(
        {"id": "deep", "partitionKey": {"paths": ['/a/"b c"'], "kind": "Hash", "version": 2}}
    )
    assert wire.create(deep, {"id": "1", "a": {"b c": "p"}}, "p").status == 201
    assert wire.read(deep, "1", "p").status == 200
    assert wire.create(deep, {"id": "2"}, {}).status == 201
    assert wire.read(deep, "2", {}).status == 200


def test_a_key_without_a_version_is_of_version_1_and_works(wire: Wire) -> None:
    old = wire.with_container({"id": "old", "partitionKey": {"paths": ["/pk"], "kind": "Hash"}})
    keys: list[Json] = ["a", "ä" * 200, 1, -2.5, True, None, ""]
    for number, pk in enumerate(keys):
        assert wire.create(old, {"id": str(number), "pk": pk}, pk).status == 201
    for number, pk in enumerate(keys):
        header = orjson.dumps([pk]).decode()
        assert wire.query(old, "SELECT VALUE c.id FROM c", x_ms_documentdb_partitionkey=header) == [
            str(number)
        ]


def test_a_partition_key_that_is_too_long_is_refused(wire: Wire, items: str) -> None:
    assert wire.create(items, {"id": "1", "pk": "x" * 2100}, "x" * 2100).status == 400


@pytest.mark.parametrize("item_id", [None, "", 5, "a/b", "a\\b", "a?b", "a#b", "ends ", "x" * 1024])
def test_an_id_that_is_none_is_refused(wire: Wire, items: str, item_id: Json) -> None:
    assert wire.create(items, {"id": item_id, "pk": "p"}, "p").status == 400


def test_replace_needs_the_item(wire: Wire, items: str) -> None:
    missing = wire.on_items("PUT", f"{items}/docs/1", {"id": "1", "pk": "p"}, "p")
    assert missing.status == 404
    wire.create(items, {"id": "1", "pk": "p"}, "p")
    replaced = wire.on_items("PUT", f"{items}/docs/1", {"id": "1", "pk": "p", "n": 1}, "p")
    assert (replaced.status, content(replaced)["n"]) == (200, 1)


def test_replace_renames_where_the_body_has_another_id(wire: Wire, items: str) -> None:
    """As in Azure: https://github.com/Azure/azure-cosmos-dotnet-v3/pull/1375 and /pull/870."""
    before = content(wire.create(items, {"id": "1", "pk": "p"}, "p"))
    renamed = wire.on_items("PUT", f"{items}/docs/1", {"id": "2", "pk": "p", "n": 1}, "p")
    assert (renamed.status, content(renamed)["_rid"]) == (200, before["_rid"])
    assert wire.read(items, "1", "p").status == 404
    assert wire.read(items, "2", "p").body == renamed.body
    assert wire.on_items("GET", f"/{before['_self']}", None, "p").body == renamed.body
    assert wire.query(items, "SELECT VALUE c.n FROM c WHERE c.id = '2'") == [1]


def test_replace_takes_no_other_items_id_unless_its_time_is_over(wire: Wire) -> None:
    items = wire.with_container(defaultTtl=-1)
    wire.create(items, {"id": "1", "pk": "p"}, "p")
    wire.create(items, {"id": "2", "pk": "p", "ttl": 10}, "p")
    assert wire.on_items("PUT", f"{items}/docs/1", {"id": "2", "pk": "p"}, "p").status == 409
    assert wire.on_items("PUT", f"{items}/docs/1", {"id": "", "pk": "p"}, "p").status == 400
    assert wire.query(items, "SELECT VALUE c.id FROM c") == ["1", "2"]
    wire.clock.advance(10)
    assert wire.on_items("PUT", f"{items}/docs/1", {"id": "2", "pk": "p"}, "p").status == 200
    assert wire.query(items, "SELECT VALUE c.id FROM c") == ["2"]


def test_upsert_creates_what_is_not_there_whatever_it_should_match(wire: Wire, items: str) -> None:
    """As in Azure: https://github.com/Azure/azure-cosmos-dotnet-v3/issues/1698."""
    assert wire.upsert(items, {"id": "1", "pk": "p"}, "p", if_match='"gone"').status == 201
    assert wire.upsert(items, {"id": "1", "pk": "p", "n": 1}, "p", if_match='"gone"').status == 412
    assert "n" not in content(wire.read(items, "1", "p"))
    assert wire.upsert(items, {"id": "2", "pk": "p"}, "p", if_match="*").status == 201
    absent: JsonObject = {"operationType": "Upsert", "resourceBody": {"id": "3", "pk": "p"}, "ifMatch": "x"}
    assert wire.batch(items, [absent], "p").status == 200


def test_upsert_tells_whether_it_created(wire: Wire, items: str) -> None:
    assert wire.upsert(items, {"id": "1", "pk": "p"}, "p").status == 201
    assert wire.upsert(items, {"id": "1", "pk": "p", "n": 1}, "p").status == 200
    assert wire.query(items, "SELECT VALUE c.n FROM c") == [1]


def test_delete_leaves_nothing(wire: Wire, items: str) -> None:
    wire.create(items, {"id": "1", "pk": "p"}, "p")
    gone = wire.on_items("DELETE", f"{items}/docs/1", None, "p")
    assert (gone.status, gone.body) == (204, b"")
    assert wire.read(items, "1", "p").status == 404
    assert wire.on_items("DELETE", f"{items}/docs/1", None, "p").status == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_if_match_lets_only_the_current_version_be_changed(wire: Wire, items: str, method: str) -> None:
    old = wire.create(items, {"id": "1", "pk": "p"}, "p").headers["etag"]
    current = wire.upsert(items, {"id": "1", "pk": "p", "n": 2}, "p").headers["etag"]
    body: JsonObject | None = {"id": "1", "pk": "p"}
    if method == "PATCH":
        body = {"operations": [{"op": "set", "path": "/n", "value": 3}]}
    refused = wire.on_items(method, f"{items}/docs/1", body, "p", if_match=old)
    assert (refused.status, content(refused)["code"]) == (412, "PreconditionFailed")
    assert content(wire.read(items, "1", "p"))["n"] == 2
    assert wire.on_items(method, f"{items}/docs/1", body, "p", if_match=current).status in {200, 204}


def test_if_none_match_star_makes_an_upsert_create_only(wire: Wire, items: str) -> None:
    assert wire.upsert(items, {"id": "1", "pk": "p"}, "p", if_none_match="*").status == 201
    assert wire.upsert(items, {"id": "1", "pk": "p"}, "p", if_none_match="*").status == 412


def test_a_conditional_read_of_what_the_caller_has_is_a_304(wire: Wire, items: str) -> None:
    etag = wire.create(items, {"id": "1", "pk": "p"}, "p").headers["etag"]
    unchanged = wire.read(items, "1", "p", if_none_match=etag)
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert wire.read(items, "1", "p", if_none_match='"other"').status == 200


def test_a_minimal_answer_has_no_body(wire: Wire, items: str) -> None:
    created = wire.create(items, {"id": "1", "pk": "p"}, "p", prefer="return=minimal")
    assert (created.status, created.body) == (201, b"")
    assert "etag" in created.headers


def test_an_object_in_place_of_the_key_counts_as_none(wire: Wire, items: str) -> None:
    """The SDK takes it so: `_retrieve_partition_key` in azure-cosmos 4.17's _cosmos_client_connection.py."""
    assert wire.create(items, {"id": "1", "pk": {"a": 1}}, {}).status == 201
    assert content(wire.read(items, "1", {}))["pk"] == {"a": 1}
    assert wire.query(items, "SELECT VALUE c.id FROM c WHERE c.pk = {'a': 1}") == ["1"]
    assert wire.create(items, {"id": "2", "pk": [1]}, {}).status == 400


def test_the_path_of_a_key_may_stand_in_either_quotes(wire: Wire) -> None:
    """As the SDK reads it: `ParsePaths` in azure-cosmos 4.17's _base.py."""
    paths: list[Json] = ["/a/'b/c'"]
    quoted = wire.with_container({"id": "quoted", "partitionKey": {"paths": paths, "version": 2}})
    assert wire.create(quoted, {"id": "1", "a": {"b/c": "p"}}, "p").status == 201
    assert wire.read(quoted, "1", "p").status == 200


def test_the_limit_is_on_the_bytes_that_are_sent(wire: Wire, items: str) -> None:
    """`2 MB (UTF-8 length of JSON representation)`: https://learn.microsoft.com/azure/cosmos-db/concepts-limits."""
    headers = {"x-ms-documentdb-partitionkey": '["p"]'}
    shorter_when_sent = b'{"id":"1","pk":"p","t":[' + b",".join([b"1e9"] * 500_000) + b"]}"
    assert len(orjson.dumps(orjson.loads(shorter_when_sent))) > 2 * 1024 * 1024 > len(shorter_when_sent)
    assert wire.send("POST", f"{items}/docs", shorter_when_sent, headers).status == 201
    padded = b'{"id":"2","pk":"p"' + b" " * 2 * 1024 * 1024 + b"}"
    for method, path in (("POST", f"{items}/docs"), ("PUT", f"{items}/docs/1")):
        assert wire.send(method, path, padded, headers).status == 413


def test_a_patch_may_not_make_an_item_too_large(wire: Wire, items: str) -> None:
    wire.create(items, {"id": "1", "pk": "p", "t": "x" * 2_000_000}, "p")
    grow: JsonObject = {"operations": [{"op": "add", "path": "/u", "value": "x" * 100_000}]}
    assert wire.on_items("PATCH", f"{items}/docs/1", grow, "p").status == 413
    assert "u" not in content(wire.read(items, "1", "p"))


def test_a_response_names_the_container_and_the_partition_that_answered(wire: Wire) -> None:
    """Documented: https://learn.microsoft.com/rest/api/cosmos-db/common-cosmosdb-rest-response-headers."""
    items = wire.with_container({**SIMPLE, "id": "ä b"})
    created = wire.create(items, {"id": "1", "pk": "p"}, "p")
    assert created.headers["x-ms-alt-content-path"] == "dbs/db/colls/%C3%A4%20b"
    assert created.headers["x-ms-content-path"] == content(wire.call("GET", items))["_rid"]
    assert created.headers["x-ms-documentdb-partitionkeyrangeid"] == "0"


def test_two_megabytes_is_the_limit(wire: Wire, items: str) -> None:
    overhead = len(orjson.dumps({"id": "1", "pk": "p", "t": ""}))
    fits = {"id": "1", "pk": "p", "t": "x" * (2 * 1024 * 1024 - overhead)}
    assert wire.create(items, dict(fits), "p").status == 201
    large = wire.create(items, {**fits, "id": "2", "t": fits["t"] + "x"}, "p")
    assert (large.status, content(large)["code"]) == (413, "RequestEntityTooLarge")
    assert wire.read(items, "2", "p").status == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"id": "1", "pk": NaN}'])
def test_a_body_that_is_no_object_is_refused(wire: Wire, items: str, body: bytes) -> None:
    response = wire.send("POST", f"{items}/docs", body, {"x-ms-documentdb-partitionkey": '["p"]'})
    assert response.status == 400


def test_an_item_that_is_nested_too_deeply_is_refused(wire: Wire, items: str) -> None:
    deep = b"[" * 2000 + b"]" * 2000
    body = b'{"id": "1", "pk": "p", "deep": ' + deep + b"}"
    response = wire.send("POST", f"{items}/docs", body, {"x-ms-documentdb-partitionkey": '["p"]'})
    assert response.status == 400


def test_an_item_expires_by_the_containers_default(wire: Wire) -> None:
    items = wire.with_container(defaultTtl=10)
    wire.create(items, {"id": "default", "pk": "p"}, "p")
    wire.create(items, {"id": "own", "pk": "p", "ttl": 100}, "p")
    wire.create(items, {"id": "never", "pk": "p", "ttl": -1}, "p")
    wire.clock.advance(9)
    assert len(wire.query(items, "SELECT * FROM c")) == 3
    wire.clock.advance(1)
    assert wire.query(items, "SELECT VALUE c.id FROM c") == ["own", "never"]
    assert wire.read(items, "default", "p").status == 404
    wire.clock.advance(90)
    assert wire.query(items, "SELECT VALUE c.id FROM c") == ["never"]


def test_minus_one_leaves_expiry_to_the_items(wire: Wire) -> None:
    items = wire.with_container(defaultTtl=-1)
    wire.create(items, {"id": "default", "pk": "p"}, "p")
    wire.create(items, {"id": "own", "pk": "p", "ttl": 1}, "p")
    wire.clock.advance(1)
    assert wire.query(items, "SELECT VALUE c.id FROM c") == ["default"]


def test_without_a_default_nothing_expires(wire: Wire, items: str) -> None:
    wire.create(items, {"id": "own", "pk": "p", "ttl": 1}, "p")
    wire.create(items, {"id": "text", "pk": "p", "ttl": "5m"}, "p")
    wire.clock.advance(100)
    assert wire.read(items, "own", "p").status == 200


@pytest.mark.parametrize("ttl", [0, -2, "10", 1.5, True, None, 2**31])
def test_a_ttl_that_is_none_is_refused(wire: Wire, ttl: Json) -> None:
    items = wire.with_container(defaultTtl=-1)
    assert wire.create(items, {"id": "1", "pk": "p", "ttl": ttl}, "p").status == 400


def test_a_write_begins_the_time_to_live_anew(wire: Wire) -> None:
    items = wire.with_container(defaultTtl=10)
    wire.create(items, {"id": "1", "pk": "p"}, "p")
    wire.clock.advance(9)
    wire.on_items("PATCH", f"{items}/docs/1", {"operations": [{"op": "set", "path": "/n", "value": 1}]}, "p")
    wire.clock.advance(9)
    assert wire.read(items, "1", "p").status == 200


def test_an_expired_item_gives_way_before_it_is_swept(wire: Wire) -> None:
    items = wire.with_container(defaultTtl=10, uniqueKeyPolicy={"uniqueKeys": [{"paths": ["/email"]}]})
    wire.create(items, {"id": "1", "pk": "p", "email": "x"}, "p")
    wire.clock.advance(10)
    assert wire.on_items("DELETE", f"{items}/docs/1", None, "p").status == 404
    assert wire.create(items, {"id": "2", "pk": "p", "email": "x"}, "p").status == 201
    wire.clock.advance(10)
    assert wire.create(items, {"id": "2", "pk": "p", "email": "y"}, "p").status == 201


def test_the_sweep_really_deletes(wire: Wire) -> None:
    items = wire.with_container(defaultTtl=10)
    for number in range(3):
        wire.create(items, {"id": str(number), "pk": "p"}, "p")
    wire.upsert(items, {"id": "stays", "pk": "p", "ttl": -1}, "p")
    (container,) = wire.account.catalog.all_containers()
    assert wire.account.sweep() == 0
    wire.clock.advance(10)
    assert wire.account.sweep() == 3
    assert container.table.count() == 1
    assert wire.account.sweep() == 0


def test_a_changed_default_applies_to_the_items_that_are_there(wire: Wire) -> None:
    items = wire.with_container()
    wire.create(items, {"id": "default", "pk": "p"}, "p")
    wire.create(items, {"id": "own", "pk": "p", "ttl": 100}, "p")
    properties = content(wire.call("GET", items))
    for default, after_20 in ((10, ["own"]), (-1, ["default", "own"]), (None, ["default", "own"])):
        assert wire.call("PUT", items, {**properties, "defaultTtl": default}).status == 200
        wire.clock.now = START + 20
        assert wire.query(items, "SELECT VALUE c.id FROM c") == after_20
        wire.clock.now = START


def test_a_unique_key_holds_within_a_partition(wire: Wire) -> None:
    policy: JsonObject = {"uniqueKeys": [{"paths": ["/email"]}, {"paths": ["/a", "/b"]}]}
    items = wire.with_container(uniqueKeyPolicy=policy)

    def write(item_id: str, email: str, a: Json = None, pk: str = "p") -> int:
        return wire.upsert(items, {"id": item_id, "pk": pk, "email": email, "a": a, "b": item_id}, pk).status

    assert write("1", "x") == 201
    assert write("2", "x") == 409
    assert write("2", "y") == 201
    assert write("1", "y") == 409
    assert write("1", "z") == 200
    assert write("2", "x") == 200
    assert write("1", "x", pk="q") == 201
    assert wire.on_items("DELETE", f"{items}/docs/2", None, "p").status == 204
    assert write("3", "x") == 201


def test_what_a_unique_key_refuses_changes_nothing(wire: Wire) -> None:
    items = wire.with_container(uniqueKeyPolicy={"uniqueKeys": [{"paths": ["/email"]}]})
    wire.create(items, {"id": "1", "pk": "p", "email": "x"}, "p")
    wire.create(items, {"id": "2", "pk": "p", "email": "y"}, "p")
    refused = wire.on_items("PUT", f"{items}/docs/2", {"id": "2", "pk": "p", "email": "x"}, "p")
    assert "Unique index" in message(refused)
    assert content(wire.read(items, "2", "p"))["email"] == "y"
    assert wire.create(items, {"id": "3", "pk": "p", "email": "y"}, "p").status == 409


def test_a_property_that_is_not_there_is_null_to_a_unique_key(wire: Wire) -> None:
    items = wire.with_container(uniqueKeyPolicy={"uniqueKeys": [{"paths": ["/email"]}]})
    assert wire.create(items, {"id": "1", "pk": "p"}, "p").status == 201
    assert wire.create(items, {"id": "2", "pk": "p", "email": None}, "p").status == 409


def test_all_items_of_a_partition_go_at_once_and_no_other(wire: Wire, items: str) -> None:
    for number in range(4):
        pk = f"p{number % 2}"
        wire.create(items, {"id": str(number), "pk": pk}, pk)
    gone = wire.on_items("POST", f"{items}/operations/partitionkeydelete", None, "p0")
    assert gone.status == 200
    assert wire.query(items, "SELECT VALUE c.id FROM c") == ["1", "3"]


def test_a_client_with_the_id_of_a_container_that_was_created_again_is_told(wire: Wire, items: str) -> None:
    rid = str(content(wire.call("GET", items))["_rid"])
    assert wire.read(items, "1", "p", x_ms_cosmos_intended_collection_rid=rid).status == 404
    assert wire.call("DELETE", items).status == 204
    wire.with_container()
    told = wire.read(items, "1", "p", x_ms_cosmos_intended_collection_rid=rid)
    assert (told.status, told.headers["x-ms-substatus"]) == (400, "1024")


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Wire(tmp_path / "cosmos.sqlite")
    items = first.with_container()
    etag = first.create(items, {"id": "1", "pk": "p"}, "p").headers["etag"]
    first.create(items, {"id": "2", "pk": "p"}, "p")
    first.on_items("DELETE", f"{items}/docs/2", None, "p")
    first.store.close()
    second = Wire(tmp_path / "cosmos.sqlite")
    try:
        assert second.read(items, "1", "p").headers["etag"] == etag
        written = second.upsert(items, {"id": "1", "pk": "p"}, "p")
        assert written.headers["lsn"] == "4"  # numbers go on where they ended, deletions included
        assert len(documents(second.call("GET", f"{items}/docs"))) == 1
    finally:
        second.store.close()


def test_triggers_are_refused_by_name(wire: Wire, items: str) -> None:
    refused = wire.create(items, {"id": "1", "pk": "p"}, "p", x_ms_documentdb_pre_trigger_include="mine")
    assert refused.status == 400
    assert "triggers" in message(refused)


def test_an_item_has_no_other_methods(wire: Wire, items: str) -> None:
    assert wire.on_items("HEAD", f"{items}/docs/1", None, "p").status == 405
