"""What the product relies on, through the sync and the aio SDK."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.cosmos import PartitionKey
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)
from azure.cosmos.partition_key import NonePartitionKeyValue

from tests.integration_tests.local_cosmos.driver import Driver

if TYPE_CHECKING:
    from tests.integration_tests.local_cosmos.endpoint import Endpoint


async def fill(sdk: Driver, count: int = 10) -> None:
    for number in range(count):
        await sdk.call("upsert_item", {"id": str(number), "pk": f"p{number % 2}", "n": number})


async def test_an_item_lives_and_dies(sdk: Driver) -> None:
    created = await sdk.call("create_item", {"id": "ä b", "pk": "p", "n": 1})
    read = await sdk.call("read_item", "ä b", "p")
    assert dict(read) == dict(created)
    assert read.get_response_headers()["x-ms-request-charge"] == "1"
    replaced = await sdk.call("replace_item", created, {**created, "n": 2})
    assert replaced["_etag"] != created["_etag"]
    await sdk.call("delete_item", "ä b", "p")
    with pytest.raises(CosmosResourceNotFoundError):
        await sdk.call("read_item", "ä b", "p")


@pytest.mark.parametrize("pk", ["", "ä/ö?#", 'q"uote', 0, 1.5, -7, True, False, None, "x" * 500])
async def test_every_kind_of_partition_key_works(sdk: Driver, pk: object) -> None:
    await sdk.call("create_item", {"id": "1", "pk": pk})
    found = await sdk.query("SELECT VALUE c.pk FROM c")
    assert found == [pk]
    if pk is not None:  # the SDK takes None for "no key given"
        assert (await sdk.call("read_item", "1", pk))["pk"] == pk
        assert await sdk.query("SELECT VALUE c.pk FROM c", partition_key=pk) == [pk]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's advice to the SDK
async def test_the_errors_are_the_sdks_own(sdk: Driver) -> None:
    item = await sdk.call("create_item", {"id": "1", "pk": "p"})
    with pytest.raises(CosmosResourceExistsError):
        await sdk.call("create_item", {"id": "1", "pk": "p"})
    with pytest.raises(CosmosResourceNotFoundError):
        await sdk.call("read_item", "1", "other")
    with pytest.raises(CosmosAccessConditionFailedError):
        await sdk.call("replace_item", item, item, etag="x", match_condition=MatchConditions.IfNotModified)
    with pytest.raises(CosmosAccessConditionFailedError):
        await sdk.call("upsert_item", item, match_condition=MatchConditions.IfMissing)
    with pytest.raises(CosmosAccessConditionFailedError) as refused:
        await sdk.call(
            "patch_item",
            "1",
            "p",
            [{"op": "incr", "path": "/n", "value": 1}],
            filter_predicate="from c where c.n < 0",
        )
    assert refused.value.sub_status == 1110
    with pytest.raises(CosmosHttpResponseError) as large:
        await sdk.call("create_item", {"id": "2", "pk": "p", "t": "x" * 2_100_000})
    assert large.value.status_code == 413


async def test_an_upsert_of_what_is_not_there_creates_it_whatever_it_should_match(sdk: Driver) -> None:
    """As in Azure: https://github.com/Azure/azure-cosmos-dotnet-v3/issues/1698."""
    item = await sdk.call("create_item", {"id": "1", "pk": "p"})
    await sdk.call("delete_item", "1", "p")
    if_same = {"etag": item["_etag"], "match_condition": MatchConditions.IfNotModified}
    created = await sdk.call("upsert_item", {"id": "1", "pk": "p", "n": 1}, **if_same)
    assert created["n"] == 1
    with pytest.raises(CosmosAccessConditionFailedError):
        await sdk.call("upsert_item", {"id": "1", "pk": "p", "n": 2}, **if_same)


async def test_a_replace_renames_alone_and_in_a_batch(sdk: Driver) -> None:
    """As in Azure: https://github.com/Azure/azure-cosmos-dotnet-v3/pull/1375."""
    created = await sdk.call("create_item", {"id": "1", "pk": "p"})
    renamed = await sdk.call("replace_item", "1", {"id": "2", "pk": "p"})
    assert (renamed["id"], renamed["_rid"]) == ("2", created["_rid"])
    await sdk.call("execute_item_batch", [("replace", ("2", {"id": "3", "pk": "p"}))], partition_key="p")
    assert await sdk.query("SELECT VALUE c.id FROM c", partition_key="p") == ["3"]
    await sdk.call("create_item", {"id": "4", "pk": "p"})
    with pytest.raises(CosmosResourceExistsError):
        await sdk.call("replace_item", "3", {"id": "4", "pk": "p"})


async def test_an_object_in_place_of_the_key_counts_as_none(sdk: Driver) -> None:
    """The SDK sends it with an empty key: `_retrieve_partition_key` in _cosmos_client_connection.py."""
    await sdk.call("create_item", {"id": "1", "pk": {"a": 1}})
    await sdk.call("create_item", {"id": "2"})
    assert await sdk.query("SELECT VALUE c.id FROM c") == ["1", "2"]
    assert (await sdk.call("read_item", "1", NonePartitionKeyValue))["pk"] == {"a": 1}


async def test_the_path_of_a_key_may_stand_in_single_quotes(sdk: Driver) -> None:
    """As the SDK reads it: `ParsePaths` in _base.py."""
    name = f"quoted-{sdk.aio}"
    container = await sdk.on_database("create_container", name, PartitionKey("/a/'b/c'"))
    quoted = Driver(sdk.database, container, aio=sdk.aio)
    await quoted.call("create_item", {"id": "1", "a": {"b/c": "p"}})
    assert (await quoted.call("read_item", "1", "p"))["id"] == "1"
    await sdk.on_database("delete_container", name)


async def test_the_etag_is_not_indexed_unless_it_is_asked_for(sdk: Driver) -> None:
    """Documented: https://learn.microsoft.com/azure/cosmos-db/index-policy#includeexclude-strategy."""
    policy = {"includedPaths": [{"path": "/*"}], "excludedPaths": [{"path": "/a/*"}]}
    name = f"excluded-{sdk.aio}"
    await sdk.on_database("create_container", name, PartitionKey("/pk"), indexing_policy=policy)
    found = await Driver(sdk.database, sdk.database.get_container_client(name), aio=sdk.aio).call("read")
    excluded = [entry["path"] for entry in found["indexingPolicy"]["excludedPaths"]]
    assert excluded == ["/a/*", '/"_etag"/?']
    await sdk.on_database("delete_container", name)


async def test_a_container_tells_its_size_and_that_of_its_partitions(sdk: Driver) -> None:
    """Documented: https://learn.microsoft.com/rest/api/cosmos-db/get-a-collection.

    The partitions' fields are those of `PartitionKeyRangeStatistics` in azure-cosmos-dotnet-v3's src/direct.
    """
    await fill(sdk)
    options = {"populate_quota_info": True, "populate_partition_key_range_statistics": True}
    found = await sdk.call("read", **options)
    assert "documentsCount=10;" in str(last_header(sdk, "x-ms-resource-usage"))
    assert "documentsCount=-1;" in str(last_header(sdk, "x-ms-resource-quota"))
    (one,) = found["statistics"]
    assert (one["id"], one["documentCount"], one["sampledDistinctPartitionKeyCount"]) == ("0", 10, 2)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's advice to the SDK
async def test_the_limit_is_on_the_bytes_that_are_sent(sdk: Driver) -> None:
    """`2 MB (UTF-8 length of JSON representation)`: https://learn.microsoft.com/azure/cosmos-db/concepts-limits.

    The SDK sends what is not ASCII as escapes, which are longer than what is stored; ours sends it as it is.
    """
    if sdk.own:
        pytest.skip("sends UTF-8, as the SDK's `enable_compact_utf8_item_writes` does")
    await sdk.call("create_item", {"id": "1", "pk": "p", "t": "ä" * 340_000})
    with pytest.raises(CosmosHttpResponseError) as large:
        await sdk.call("create_item", {"id": "2", "pk": "p", "t": "ä" * 360_000})
    assert large.value.status_code == 413


async def test_a_batch_is_one_change_of_the_container_and_is_not_cut(sdk: Driver) -> None:
    """Documented: https://learn.microsoft.com/dotnet/api/microsoft.azure.cosmos.changefeedrequestoptions.pagesizehint."""
    operations = [("create", ({"id": str(number), "pk": "p"},)) for number in range(3)]
    await sdk.call("execute_item_batch", operations, partition_key="p")
    await sdk.call("create_item", {"id": "3", "pk": "p"})
    pages = await sdk.pages("query_items_change_feed", start_time="Beginning", max_item_count=1)
    assert [[item["id"] for item in page] for page in pages if page] == [["0", "1", "2"], ["3"]]
    assert [item["_lsn"] for page in pages for item in page] == [1, 1, 1, 2]


async def test_a_conditional_read_that_matches_is_empty(sdk: Driver) -> None:
    item = await sdk.call("create_item", {"id": "1", "pk": "p"})
    same = await sdk.call(
        "read_item", "1", "p", etag=item["_etag"], match_condition=MatchConditions.IfModified
    )
    assert dict(same) == {}


async def test_a_batch_is_all_or_nothing(sdk: Driver) -> None:
    done = await sdk.call(
        "execute_item_batch",
        [
            ("create", ({"id": "1", "pk": "p", "n": 1},)),
            (
                "patch",
                ("1", [{"op": "incr", "path": "/n", "value": 1}]),
                {"filter_predicate": "from c where c.n = 1"},
            ),
            ("read", ("1",)),
        ],
        partition_key="p",
    )
    assert [entry["statusCode"] for entry in done] == [201, 200, 200]
    assert done[2]["resourceBody"]["n"] == 2
    with pytest.raises(CosmosBatchOperationError) as refused:
        await sdk.call(
            "execute_item_batch",
            [("upsert", ({"id": "2", "pk": "p"},)), ("create", ({"id": "1", "pk": "p"},))],
            partition_key="p",
        )
    assert (refused.value.status_code, refused.value.error_index) == (409, 1)
    assert [entry["statusCode"] for entry in refused.value.operation_responses] == [424, 409]
    assert await sdk.query("SELECT VALUE c.id FROM c", partition_key="p") == ["1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT VALUE COUNT(1) FROM c", [10]),
        ("SELECT VALUE c.n FROM c WHERE c.n >= @n ORDER BY c.n DESC", [9, 8, 7]),
        ("SELECT TOP 2 VALUE c.n FROM c ORDER BY c.n", [0, 1]),
        ("SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 2 LIMIT 2", [2, 3]),
        ("SELECT DISTINCT VALUE c.pk FROM c", ["p0", "p1"]),
        ("SELECT c.pk, SUM(c.n) AS s FROM c GROUP BY c.pk", [{"pk": "p0", "s": 20}, {"pk": "p1", "s": 25}]),
        ("SELECT VALUE MAX(c.n) FROM c WHERE c.pk = 'p0'", [8]),
        ("SELECT VALUE AVG(c.n) FROM c", [4.5]),
    ],
)
async def test_queries_over_all_partitions(sdk: Driver, text: str, expected: list[Any]) -> None:
    await fill(sdk)
    found = await sdk.query(text, parameters=[{"name": "@n", "value": 7}], max_item_count=2)
    assert found == expected


async def test_pages_have_the_size_that_was_asked_for(sdk: Driver) -> None:
    await fill(sdk)
    pages = await sdk.pages("query_items", "SELECT VALUE c.n FROM c", partition_key="p0", max_item_count=2)
    assert pages == [[0, 2], [4, 6], [8]]


async def test_a_query_that_is_wrong_is_a_400_that_names_it(sdk: Driver) -> None:
    with pytest.raises(CosmosHttpResponseError, match="FROBNICATE") as refused:
        await sdk.query("SELECT VALUE FROBNICATE(c.n) FROM c", partition_key="p0")
    assert refused.value.status_code == 400


async def test_items_are_read_many_at_once(sdk: Driver) -> None:
    await fill(sdk)
    wanted = [("1", "p1"), ("2", "p0"), ("3", "p0"), ("9", "p1")]
    assert [item["id"] for item in await sdk.call("read_items", wanted)] == ["1", "2", "9"]


async def test_all_items_are_listed(sdk: Driver) -> None:
    await fill(sdk)
    assert len(await sdk.all("read_all_items", max_item_count=3)) == 10


async def test_the_change_feed_goes_on_where_it_ended(sdk: Driver) -> None:
    await fill(sdk, 4)
    first = await sdk.all("query_items_change_feed", start_time="Beginning", max_item_count=3)
    assert [item["n"] for item in first] == [0, 1, 2, 3]
    cursor = str(last_header(sdk, "etag"))
    await sdk.call("upsert_item", {"id": "0", "pk": "p0", "n": 9})
    rest = await sdk.all("query_items_change_feed", continuation=cursor)
    assert [item["n"] for item in rest] == [9]
    by_key = await sdk.all("query_items_change_feed", start_time="Beginning", partition_key="p1")
    assert {item["pk"] for item in by_key} == {"p1"}
    assert await sdk.all("query_items_change_feed", start_time="Now") == []


def last_header(sdk: Driver, name: str) -> object:
    return sdk.container.client_connection.last_response_headers[name]


async def test_feed_ranges_cover_the_container(sdk: Driver) -> None:
    await fill(sdk)
    ranges = await sdk.all("read_feed_ranges")
    found = [item for one in ranges for item in await sdk.query("SELECT VALUE c.n FROM c", feed_range=one)]
    assert sorted(found) == list(range(10))
    one_key = await sdk.call("feed_range_from_partition_key", "p1")
    assert await sdk.query("SELECT VALUE c.n FROM c", feed_range=one_key) == [1, 3, 5, 7, 9]


async def test_a_partition_is_deleted_at_once(sdk: Driver) -> None:
    await fill(sdk)
    await sdk.call("delete_all_items_by_partition_key", "p0")
    assert await sdk.query("SELECT VALUE c.n FROM c") == [1, 3, 5, 7, 9]


async def test_prefixes_of_hierarchical_keys_are_isolated(sdk: Driver) -> None:
    name = f"nested-{sdk.aio}"
    container = await sdk.on_database("create_container", name, PartitionKey(["/a", "/b", "/c"]))
    nested = Driver(sdk.database, container, aio=sdk.aio)
    for a, b in (("a", "b"), ("ab", ""), ("a", "bc"), ("", "ab"), ("A", "b")):
        for n in range(3):
            await nested.call("create_item", {"id": str(n), "a": a, "b": b, "c": "c"})
    for prefix, owners in (
        (["a"], {("a", "b"), ("a", "bc")}),
        (["a", "b"], {("a", "b")}),
        (["ab"], {("ab", "")}),
        (["a", "b", "c"], {("a", "b")}),
        (["x"], set()),
    ):
        found = await nested.query("SELECT * FROM c", partition_key=prefix, max_item_count=2)
        assert {(item["a"], item["b"]) for item in found} == owners
        assert len(found) == 3 * len(owners)
        (count,) = await nested.query("SELECT VALUE COUNT(1) FROM c", partition_key=prefix)
        assert count == 3 * len(owners)
    assert (await nested.call("read_item", "1", ["a", "b", "c"]))["id"] == "1"
    await sdk.on_database("delete_container", name)


async def test_containers_are_changed_and_throughput_is_told(sdk: Driver) -> None:
    properties = await sdk.call("read")
    await sdk.on_database("replace_container", sdk.container.id, PartitionKey("/pk"), default_ttl=30)
    assert (await sdk.call("read"))["defaultTtl"] == 30
    assert properties["_rid"] == (await sdk.call("read"))["_rid"]
    assert (await sdk.call("get_throughput")).offer_throughput == 400
    await sdk.call("replace_throughput", 600)
    assert (await sdk.call("get_throughput")).offer_throughput == 600


async def test_a_container_that_was_created_again_is_found_again(sdk: Driver) -> None:
    await fill(sdk, 2)
    await sdk.on_database("delete_container", sdk.container.id)
    await sdk.on_database("create_container", sdk.container.id, PartitionKey("/pk"))
    assert await sdk.query("SELECT * FROM c") == []
    await sdk.call("create_item", {"id": "1", "pk": "p"})


async def test_the_sdk_sends_back_the_session_token_of_its_writes(sdk: Driver) -> None:
    """It keeps one only if `x-ms-alt-content-path` says of what: `set_session_token` in its _session.py."""
    if sdk.own:
        pytest.skip("has no hooks of a pipeline: test_container_operations.py has the same claim")
    sent: list[str] = []

    def note(request: Any) -> None:  # noqa: ANN401 - the SDK's own
        sent.append(request.http_request.headers.get("x-ms-session-token", ""))

    await sdk.call("read")
    for number in range(1, 4):
        await sdk.call("upsert_item", {"id": "1", "pk": "p", "n": number})
        await sdk.call("read_item", "1", "p", raw_request_hook=note)
    assert sent == ["0:-1#1", "0:-1#2", "0:-1#3"]


async def test_a_client_that_asks_for_session_consistency_reads_its_writes(sdk: Driver) -> None:
    for number in range(20):
        await sdk.call("upsert_item", {"id": "1", "pk": "p", "n": number})
        assert (await sdk.call("read_item", "1", "p"))["n"] == number


def ask(endpoint: Endpoint, path: str, body: dict[str, Any]) -> None:
    """Use a local route."""
    request = urllib.request.Request(  # noqa: S310 - our own http address
        f"{endpoint.address}/_local/{path}",
        orjson.dumps(body),
        {"content-type": "application/json"},
        method="PUT" if path == "throughput" else "POST",
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own http address
        assert answer.status in {200, 201}


async def test_throttled_requests_are_retried_by_the_sdk(sdk: Driver, endpoint: Endpoint) -> None:
    label = f"tenantry/{sdk.container.id}"
    fault = {"container": label, "operation": "create", "status": 429, "retry_after_ms": 1, "count": 3}
    ask(endpoint, "faults", fault)
    await sdk.call("create_item", {"id": "1", "pk": "p"})
    ask(endpoint, "faults", {**fault, "count": 100})
    with pytest.raises(CosmosHttpResponseError) as refused:
        await sdk.call("create_item", {"id": "2", "pk": "p"})
    assert refused.value.status_code == 429


async def test_a_limit_slows_the_sdk_down_and_loses_nothing(sdk: Driver, endpoint: Endpoint) -> None:
    ask(endpoint, "throughput", {"container": f"tenantry/{sdk.container.id}", "ru_per_second": 100})
    for number in range(25):  # some 137 RU
        await sdk.call("create_item", {"id": str(number), "pk": "p"})
    ask(endpoint, "throughput", {"container": f"tenantry/{sdk.container.id}", "ru_per_second": None})
    assert await sdk.query("SELECT VALUE COUNT(1) FROM c") == [25]


async def test_a_dropped_connection_is_an_error_of_the_transport(sdk: Driver, endpoint: Endpoint) -> None:
    label = f"tenantry/{sdk.container.id}"
    fault = {"container": label, "operation": "create", "drop": True, "after": True, "count": None}
    ask(endpoint, "faults", fault)
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        await sdk.call("create_item", {"id": "1", "pk": "p"})
    assert (await sdk.call("read_item", "1", "p"))["id"] == "1"
