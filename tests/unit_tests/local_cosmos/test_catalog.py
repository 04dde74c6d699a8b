"""The account, databases, containers, throughput and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from local.cosmos.engine.catalog import ContainerName
from local.cosmos.errors import CosmosError
from tests.unit_tests.local_cosmos.wire import NESTED, SIMPLE, Wire, content, message

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject


def test_the_account_is_where_the_client_reached_it(wire: Wire) -> None:
    account = content(wire.call("GET", "/", host="example:1234"))
    assert account["writableLocations"] == account["readableLocations"]
    assert account["writableLocations"] == [
        {"name": "Local", "databaseAccountEndpoint": "http://example:1234/"}
    ]


def test_databases_are_created_found_listed_queried_and_deleted(wire: Wire) -> None:
    created = wire.call("POST", "/dbs", {"id": "other"})
    assert (created.status, content(created)["id"]) == (201, "other")
    assert wire.call("POST", "/dbs", {"id": "other"}).status == 409
    assert content(wire.call("GET", "/dbs/other"))["_rid"] == content(created)["_rid"]
    assert content(wire.call("GET", "/dbs"))["_count"] == 2
    query: JsonObject = {
        "query": "SELECT * FROM r WHERE r.id = @id",
        "parameters": [{"name": "@id", "value": "other"}],
    }
    found = content(wire.call("POST", "/dbs", query, x_ms_documentdb_isquery="True"))
    assert found["_count"] == 1
    assert wire.call("DELETE", "/dbs/other").status == 204
    assert wire.call("GET", "/dbs/other").status == 404
    assert wire.call("DELETE", "/dbs/other").status == 404


@pytest.mark.parametrize("name", [None, "", 5, "a/b", "a?", "a#", "x" * 256, "ends "])
def test_a_name_that_is_none_is_refused(wire: Wire, name: Json) -> None:
    assert wire.call("POST", "/dbs", {"id": name}).status == 400
    assert wire.call("POST", "/dbs/db/colls", {**SIMPLE, "id": name}).status == 400


def test_containers_are_created_found_listed_queried_and_deleted(wire: Wire) -> None:
    created = wire.call("POST", "/dbs/db/colls", SIMPLE)
    assert created.status == 201
    described = content(created)
    assert described["partitionKey"] == {"paths": ["/pk"], "kind": "Hash", "version": 2}
    assert described["indexingPolicy"] == {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": "/*"}],
        "excludedPaths": [{"path": '/"_etag"/?'}],
    }
    assert wire.call("POST", "/dbs/db/colls", SIMPLE).status == 409
    assert content(wire.call("GET", "/dbs/db/colls/items")) == described
    assert content(wire.call("GET", "/dbs/db/colls"))["_count"] == 1
    query: JsonObject = {"query": "SELECT * FROM r WHERE r.id = 'none'"}
    found = content(wire.call("POST", "/dbs/db/colls", query, x_ms_documentdb_isquery="True"))
    assert found["_count"] == 0
    assert wire.call("DELETE", "/dbs/db/colls/items").status == 204
    assert wire.call("GET", "/dbs/db/colls/items").status == 404


@pytest.mark.parametrize(
    ("given", "excluded"),
    [
        ({"excludedPaths": [{"path": "/a/*"}]}, ["/a/*", '/"_etag"/?']),
        ({"excludedPaths": [{"path": '/"_etag"/?'}]}, ['/"_etag"/?']),
        ({"includedPaths": [{"path": "/*"}, {"path": '/"_etag"/?'}]}, []),
        ({"indexingMode": "none"}, None),
    ],
)
def test_the_etag_is_not_indexed_unless_it_is_asked_for(
    wire: Wire, given: JsonObject, excluded: list[str] | None
) -> None:
    """Documented: https://learn.microsoft.com/azure/cosmos-db/index-policy#includeexclude-strategy."""
    items = wire.with_container(indexingPolicy=given)
    listed = orjson.loads(wire.call("GET", items).body)["indexingPolicy"].get("excludedPaths")
    assert excluded == (None if listed is None else [one["path"] for one in listed])


def test_a_container_describes_its_partitions_when_asked(wire: Wire) -> None:
    """The fields are those of `PartitionKeyRangeStatistics` in azure-cosmos-dotnet-v3's src/direct."""
    items = wire.with_container()
    for number in range(20):
        wire.create(items, {"id": str(number), "pk": f"p{number % 4}", "t": "x" * 1024}, f"p{number % 4}")
    assert "statistics" not in content(wire.call("GET", items))
    asked = {"x_ms_documentdb_populatepartitionstatistics": "True"}
    (whole,) = orjson.loads(wire.call("GET", items, **asked).body)["statistics"]
    assert whole == {
        "id": "0",
        "sizeInKB": 24,
        "documentCount": 20,
        "sampledDistinctPartitionKeyCount": 4,
        "partitionKeys": [],
    }
    wire.account.catalog.split(ContainerName("db", "items"), b"\x20")
    parts = orjson.loads(wire.call("GET", items, **asked).body)["statistics"]
    assert sum(part["documentCount"] for part in parts) == 20
    assert [part["id"] for part in parts] == ["1", "2"]


def test_a_missing_owner_is_told_apart_from_a_missing_item(wire: Wire) -> None:
    for method, path in (
        ("GET", "/dbs/absent/colls/items"),
        ("POST", "/dbs/absent/colls"),
        ("GET", "/dbs/absent/colls"),
        ("GET", "/dbs/db/colls/absent/docs/1"),
        ("GET", "/dbs/db/colls/absent/pkranges"),
    ):
        missing = wire.call(method, path, SIMPLE)
        assert (missing.status, missing.headers["x-ms-substatus"]) == (404, "1003")
    assert "x-ms-substatus" not in wire.call("GET", "/dbs/db/colls/absent").headers


def test_a_deleted_database_takes_its_containers_along(wire: Wire) -> None:
    items = wire.with_container()
    wire.create(items, {"id": "1", "pk": "p"}, "p")
    wire.call("DELETE", "/dbs/db")
    wire.call("POST", "/dbs", {"id": "db"})
    assert content(wire.call("GET", "/dbs/db/colls"))["_count"] == 0
    wire.with_container()
    assert wire.read(items, "1", "p").status == 404


def test_a_container_keeps_its_keys_and_changes_the_rest(wire: Wire) -> None:
    items = wire.with_container(uniqueKeyPolicy={"uniqueKeys": [{"paths": ["/a"]}]})
    described = content(wire.call("GET", items))
    changed = wire.call("PUT", items, {**described, "defaultTtl": 60})
    assert content(changed)["defaultTtl"] == 60
    assert content(changed)["_etag"] != described["_etag"]
    other_key: JsonObject = {"paths": ["/other"], "kind": "Hash", "version": 2}
    changes: list[JsonObject] = [
        {**described, "partitionKey": other_key},
        {**described, "uniqueKeyPolicy": {"uniqueKeys": []}},
        {**described, "id": "renamed"},
    ]
    for refused in changes:
        assert wire.call("PUT", items, refused).status == 400
    assert wire.call("PUT", items, described, if_match=str(described["_etag"])).status == 412
    assert wire.call("DELETE", items, if_match=str(described["_etag"])).status == 412


@pytest.mark.parametrize(
    "properties",
    [
        {"partitionKey": None},
        {"partitionKey": {"paths": [], "version": 2}},
        {"partitionKey": {"paths": ["/a", "/b"], "version": 2}},
        {"partitionKey": {"paths": ["/a", "/b", "/c", "/d"], "kind": "MultiHash", "version": 2}},
        {"partitionKey": {"paths": ["/a"], "kind": "Range", "version": 2}},
        {"partitionKey": {"paths": ["/a"], "version": 3}},
        {"partitionKey": {"paths": ["/a", "/b"], "kind": "MultiHash", "version": 1}},
        {"partitionKey": {"paths": ["a"], "version": 2}},
        {"partitionKey": {"paths": [""], "version": 2}},
        {"partitionKey": {"paths": [5], "version": 2}},
        {"defaultTtl": 0},
        {"defaultTtl": -2},
        {"defaultTtl": "10"},
        {"uniqueKeyPolicy": {}},
        {"uniqueKeyPolicy": {"uniqueKeys": [{}]}},
        {"indexingPolicy": {"indexingMode": "sometimes"}},
        {"indexingPolicy": {"includedPaths": [{"path": "/a"}]}},
        {"indexingPolicy": {"includedPaths": {}}},
        {"indexingPolicy": {"compositeIndexes": [[{"path": "/a"}]]}},
        {"indexingPolicy": {"compositeIndexes": [[{"path": "/a"}, {"path": "/b", "order": "up"}]]}},
        {"indexingPolicy": {"compositeIndexes": [["/a", "/b"]]}},
        {"indexingPolicy": {"compositeIndexes": {"a": 1}}},
        {"indexingPolicy": {"vectorIndexes": [{"path": "/v", "type": "flat"}]}},
        {"vectorEmbeddingPolicy": {"vectorEmbeddings": []}},
        {"computedProperties": [{"name": "x", "query": "SELECT VALUE 1"}]},
        {"changeFeedPolicy": {"retentionDuration": 5}},
    ],
)
def test_a_container_that_is_malformed_or_not_supported_is_refused(
    wire: Wire, properties: JsonObject
) -> None:
    assert wire.call("POST", "/dbs/db/colls", {**SIMPLE, **properties}).status == 400
    assert wire.call("GET", "/dbs/db/colls/items").status == 404


def test_the_one_partition_key_range_stays_until_a_container_is_split(wire: Wire) -> None:
    items = wire.with_container()
    first = wire.call("GET", f"{items}/pkranges", a_im="Incremental feed")
    ranges = orjson.loads(first.body)["PartitionKeyRanges"]
    assert [(one["id"], one["minInclusive"], one["maxExclusive"]) for one in ranges] == [("0", "", "FF")]
    again = wire.call("GET", f"{items}/pkranges", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_a_split_container_has_a_range_for_each_part_and_answers_for_each(wire: Wire) -> None:
    items = wire.with_container()
    before = wire.call("GET", f"{items}/pkranges").headers["etag"]
    for number in range(20):
        wire.create(items, {"id": f"{number:02}", "pk": f"p{number}"}, f"p{number}")
    catalog, name = wire.account.catalog, ContainerName("db", "items")
    catalog.split(name, b"\x20", b"\x10")

    after = wire.call("GET", f"{items}/pkranges", if_none_match=before)
    ranges = orjson.loads(after.body)["PartitionKeyRanges"]
    assert [(one["id"], one["minInclusive"], one["maxExclusive"], one["parents"]) for one in ranges] == [
        ("1", "", "10", ["0"]),
        ("2", "10", "20", ["0"]),
        ("3", "20", "FF", ["0"]),
    ]
    text = "SELECT VALUE c.id FROM c"
    parts = [wire.query(items, text, x_ms_documentdb_partitionkeyrangeid=one["id"]) for one in ranges]
    assert all(parts)
    assert sorted(str(item_id) for part in parts for item_id in part) == [f"{n:02}" for n in range(20)]
    assert wire.page(items, text, x_ms_documentdb_partitionkeyrangeid="0").status == 410
    assert wire.query(items, text) == [item_id for part in parts for item_id in part]
    with pytest.raises(CosmosError, match="between its bounds"):
        catalog.split(name, b"\x20")


def test_a_part_can_be_split_again_and_knows_where_it_comes_from(wire: Wire) -> None:
    wire.with_container()
    catalog, name = wire.account.catalog, ContainerName("db", "items")
    catalog.split(name, b"\x20")
    etag = wire.call("GET", "/dbs/db/colls/items/pkranges").headers["etag"]
    catalog.split(name, b"\x10")
    after = wire.call("GET", "/dbs/db/colls/items/pkranges", if_none_match=etag)
    ranges = orjson.loads(after.body)["PartitionKeyRanges"]
    assert [(one["id"], one["minInclusive"], one["maxExclusive"], one["parents"]) for one in ranges] == [
        ("3", "", "10", ["0", "1"]),
        ("4", "10", "20", ["0", "1"]),
        ("2", "20", "FF", ["0"]),
    ]


def test_partitions_are_there_after_a_restart(tmp_path: Path) -> None:
    first = Wire(tmp_path / "cosmos.sqlite")
    first.with_container()
    first.account.catalog.split(ContainerName("db", "items"), b"\x20")
    before = first.call("GET", "/dbs/db/colls/items/pkranges").body
    first.store.close()
    second = Wire(tmp_path / "cosmos.sqlite")
    assert second.call("GET", "/dbs/db/colls/items/pkranges").body == before
    second.store.close()


@pytest.mark.parametrize(("version", "second"), [(2, "1F" + "FF" * 15), (1, "05C1E0")])
def test_each_10000_units_of_throughput_are_a_partition_of_their_own(
    wire: Wire, version: int, second: str
) -> None:
    """Documented: https://learn.microsoft.com/azure/cosmos-db/partitioning-overview#physical-partitions."""
    for throughput, parts in (("10000", 1), ("10100", 2), ("20000", 2), ("30100", 4)):
        key: JsonObject = {"paths": ["/pk"], "kind": "Hash", "version": version}
        properties: JsonObject = {"id": f"t{throughput}", "partitionKey": key}
        wire.call("POST", "/dbs/db/colls", properties, x_ms_offer_throughput=throughput)
        found = orjson.loads(wire.call("GET", f"/dbs/db/colls/t{throughput}/pkranges").body)
        ranges = found["PartitionKeyRanges"]
        assert [one["id"] for one in ranges] == [str(number) for number in range(parts)]
        assert ranges[0]["minInclusive"] == ""
        assert ranges[-1]["maxExclusive"] == "FF"
        if parts == 2:
            assert ranges[1]["minInclusive"].startswith(second)


def test_a_partition_is_split_on_command(wire: Wire) -> None:
    items = wire.with_container()
    for number in range(40):
        wire.create(items, {"id": "1", "pk": f"p{number}"}, f"p{number}")

    def split(**body: Json) -> tuple[int, list[str]]:
        answer = wire.call("POST", "/_local/split", {"container": "db/items", **body})
        return answer.status, list(content(answer).get("ranges", {}))  # type: ignore[arg-type] # JSON

    assert split() == (200, ["1", "2"])
    assert split(range="1", parts=3) == (200, ["3", "4", "5", "2"])
    assert split(at="3f") == (200, ["3", "4", "5", "6", "7"])
    for refused in (
        {"at": "3f"},
        {"at": "x"},
        {"at": 5},
        {"parts": 1},
        {"parts": True},
        {"range": "7", "parts": 40},
    ):
        assert split(**refused)[0] == 400
    assert split(range="0")[0] == 404
    assert wire.call("POST", "/_local/split", {"container": "db"}).status == 400
    counted = [
        wire.query(items, "SELECT VALUE COUNT(1) FROM c", x_ms_documentdb_partitionkeyrangeid=str(one))
        for one in range(3, 7)
    ]
    assert sum(sum(map(int, map(str, count))) for count in counted) == 40


def test_a_container_has_no_more_partitions_than_can_be_served(wire: Wire) -> None:
    wire.with_container()
    with pytest.raises(CosmosError, match="at most 100"):
        wire.account.catalog.split(ContainerName("db", "items"), *(bytes((one,)) for one in range(1, 101)))


def test_the_session_token_names_the_physical_partition_that_answers(wire: Wire) -> None:
    items = wire.with_container()
    keys = [f"p{number}" for number in range(20)]
    before = {wire.create(items, {"id": "1", "pk": key}, key).headers["x-ms-session-token"] for key in keys}
    wire.account.catalog.split(ContainerName("db", "items"), b"\x20")
    after = {wire.read(items, "1", key).headers["x-ms-session-token"] for key in keys}
    page = wire.page(items, "SELECT * FROM c", x_ms_documentdb_partitionkeyrangeid="2")
    everywhere = wire.page(items, "SELECT * FROM c", x_ms_documentdb_partitionkey="[]")

    assert before == {f"0:-1#{number}" for number in range(1, 21)}
    assert after == {"1:-1#20", "2:-1#20"}
    assert page.headers["x-ms-session-token"] == "2:-1#20"
    assert everywhere.headers["x-ms-session-token"] == "1:-1#20,2:-1#20"


def test_a_prefix_of_the_key_is_refused_by_name_where_the_container_is_split(wire: Wire) -> None:
    nested = wire.with_container(NESTED)
    wire.account.catalog.split(ContainerName("db", "nested"), b"\x20")

    refused = wire.page(nested, "SELECT * FROM c", x_ms_documentdb_partitionkey='["a"]')

    assert refused.status == 400


def test_throughput_is_stored_and_told(wire: Wire) -> None:
    wire.call("POST", "/dbs/db/colls", SIMPLE, x_ms_offer_throughput="800")
    (offer,) = orjson.loads(wire.call("GET", "/offers").body)["Offers"]
    assert offer["content"]["offerThroughput"] == 800
    path = f"/offers/{offer['_rid']}"
    offer["content"]["offerThroughput"] = 1000
    assert wire.call("PUT", path, offer).status == 200
    assert orjson.loads(wire.call("GET", path).body)["content"]["offerThroughput"] == 1000
    query: JsonObject = {
        "query": "SELECT * FROM r WHERE r.resource = @r",
        "parameters": [{"name": "@r", "value": offer["resource"]}],
    }
    assert content(wire.call("POST", "/offers", query, x_ms_documentdb_isquery="True"))["_count"] == 1
    for wrong in (0, 450, "x", None, True):
        offer["content"]["offerThroughput"] = wrong
        assert wire.call("PUT", path, offer).status == 400
    assert wire.call("GET", "/offers/none").status == 404


def test_a_databases_throughput_is_its_containers(wire: Wire) -> None:
    wire.call("POST", "/dbs", {"id": "shared"}, x_ms_offer_throughput="400")
    wire.call("POST", "/dbs/shared/colls", SIMPLE)
    (offer,) = orjson.loads(wire.call("GET", "/offers").body)["Offers"]
    offer["content"]["offerThroughput"] = 500
    assert wire.call("PUT", f"/offers/{offer['_rid']}", offer).status == 200
    offer["content"] = {"offerAutopilotSettings": {"maxThroughput": 4000}}
    assert wire.call("PUT", f"/offers/{offer['_rid']}", offer).status == 400


def test_throughput_that_is_none_is_refused(wire: Wire) -> None:
    for header in ("lots", "²"):
        assert wire.call("POST", "/dbs", {"id": "x"}, x_ms_offer_throughput=header).status == 400
    autoscale = wire.call("POST", "/dbs", {"id": "x"}, x_ms_cosmos_offer_autopilot_settings="{}")
    assert "Autoscale" in message(autoscale)


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("POST", "/dbs/db/colls/items/sprocs", "Stored procedures"),
        ("POST", "/dbs/db/colls/items/sprocs/mine", "Stored procedures"),
        ("GET", "/dbs/db/colls/items/udfs", "User defined functions"),
        ("GET", "/dbs/db/colls/items/triggers", "Triggers"),
        ("GET", "/dbs/db/colls/items/conflicts", "conflict feed"),
        ("POST", "/dbs/db/users", "Users"),
        ("GET", "/dbs/db/users/u/permissions", "Users"),
        ("GET", "/something", "/something"),
        ("POST", "/dbs/db/colls/items/operations/frobnicate", "frobnicate"),
        ("GET", "/dbs/db/colls/items/frobnicate", "frobnicate"),
    ],
)
def test_what_there_is_not_is_a_400_by_name(wire: Wire, method: str, path: str, named: str) -> None:
    wire.with_container()
    refused = wire.call(method, path, {})
    assert refused.status == 400
    assert named in message(refused)


@pytest.mark.parametrize("path", ["/dbs", "/dbs/db", "/dbs/db/colls", "/dbs/db/colls/items"])
def test_other_methods_are_not_allowed(wire: Wire, path: str) -> None:
    wire.with_container()
    assert wire.call("PATCH", path).status == 405


def test_the_products_definition_is_created_once_and_kept_up_to_date(wire: Wire) -> None:
    definition = orjson.loads(Path("infra/cosmos.json").read_bytes())
    wire.account.catalog.ensure(definition)
    etags = [container.row.etag for container in wire.account.catalog.all_containers()]
    wire.account.catalog.ensure(definition)
    assert [container.row.etag for container in wire.account.catalog.all_containers()] == etags
    definition["containers"][0]["defaultTtl"] = 77
    wire.account.catalog.ensure(definition)
    assert wire.account.catalog.all_containers()[0].policy.default_ttl == 77


@pytest.mark.parametrize("definition", [{}, {"database": "x"}, {"database": "x", "containers": [5]}])
def test_a_malformed_definition_is_refused(wire: Wire, definition: JsonObject) -> None:
    with pytest.raises(CosmosError):
        wire.account.catalog.ensure(definition)
