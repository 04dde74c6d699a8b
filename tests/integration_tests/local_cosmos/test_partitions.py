"""A container in several physical partitions, which the SDKs put together again."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.integration_tests.local_cosmos.driver import Driver

if TYPE_CHECKING:
    from tests.integration_tests.local_cosmos.endpoint import Endpoint

KEYS, EACH = 12, 3


def split(endpoint: Endpoint, name: str, **how: object) -> list[str]:
    """Split a container, and give the ids of its partitions."""
    body = json.dumps({"container": f"tenantry/{name}", **how}).encode()
    request = urllib.request.Request(f"{endpoint.address}/_local/split", body, method="POST")  # noqa: S310 - our own
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own http address
        return list(json.load(answer)["ranges"])


@pytest.fixture
async def cut(sdk: Driver, endpoint: Endpoint) -> Driver:
    """A container of 36 items with 12 keys in three physical partitions."""
    for number in range(KEYS * EACH):
        item = {"id": str(number), "pk": f"p{number % KEYS}", "n": number, "shelf": "abc"[number % 3]}
        await sdk.call("create_item", item)
    assert split(endpoint, sdk.container.id, parts=3) == ["1", "2", "3"]
    return sdk


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT VALUE COUNT(1) FROM c", [36]),
        ("SELECT VALUE COUNT(1) FROM c WHERE c.n < 0", [0]),
        ("SELECT VALUE SUM(c.n) FROM c", [630]),
        ("SELECT VALUE AVG(c.n) FROM c", [17.5]),
        ("SELECT VALUE MIN(c.n) FROM c", [0]),
        ("SELECT VALUE MAX(c.n) FROM c WHERE c.n < @n", [6]),
        ("SELECT VALUE COUNTIF(c.n > 30) FROM c", [5]),
        ("SELECT VALUE c.n FROM c ORDER BY c.n DESC OFFSET 2 LIMIT 3", [33, 32, 31]),
        ("SELECT TOP 3 c.n FROM c ORDER BY c.n", [{"n": 0}, {"n": 1}, {"n": 2}]),
        ("SELECT VALUE c.n FROM c WHERE c.n >= @n AND c.n < 11 ORDER BY c.n", [7, 8, 9, 10]),
        ("SELECT DISTINCT VALUE c.shelf FROM c ORDER BY c.shelf", ["a", "b", "c"]),
        ("SELECT VALUE c.n FROM c WHERE c.pk = 'p1' ORDER BY c.n DESC", [25, 13, 1]),
    ],
)
async def test_a_query_over_all_partitions_is_one_answer(cut: Driver, text: str, expected: list[Any]) -> None:
    """The SDK asks for the plan at 400/1004: `_ProxyQueryExecutionContext` in execution_dispatcher.py."""
    found = await cut.query(text, parameters=[{"name": "@n", "value": 7}], max_item_count=2)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("SELECT * FROM c", 36),
        ("SELECT TOP 5 * FROM c", 5),
        ("SELECT * FROM c OFFSET 30 LIMIT 10", 6),
        ("SELECT DISTINCT VALUE c.shelf FROM c", 3),
        ("SELECT DISTINCT TOP 2 VALUE c.shelf FROM c", 2),
    ],
)
async def test_what_is_in_no_order_is_complete_all_the_same(cut: Driver, text: str, count: int) -> None:
    found = await cut.query(text, max_item_count=4)
    assert len({json.dumps(one, sort_keys=True) for one in found}) == len(found) == count


async def test_a_page_ends_with_its_partition_and_the_next_goes_on_in_the_following(cut: Driver) -> None:
    everywhere = {} if cut.aio else {"enable_cross_partition_query": True}
    pages = await cut.pages("query_items", "SELECT VALUE c.n FROM c", max_item_count=1000, **everywhere)
    ranges = await cut.all("read_feed_ranges")
    parts = [await cut.query("SELECT VALUE c.n FROM c", feed_range=one) for one in ranges]
    assert all(parts)
    assert [page for page in pages if page] == parts


async def test_a_continuation_token_goes_on_after_a_split(cut: Driver, endpoint: Endpoint) -> None:
    everywhere = {} if cut.aio else {"enable_cross_partition_query": True}
    query = ("query_items", "SELECT VALUE c.n FROM c")
    pager: Any = getattr(cut.container, query[0])(query[1], max_item_count=10, **everywhere).by_page()
    first = [item async for item in await anext(pager)] if cut.aio else list(next(pager))
    token = pager.continuation_token
    split(endpoint, cut.container.id)
    pager = getattr(cut.container, query[0])(query[1], max_item_count=10, **everywhere).by_page(token)
    rest = (
        [item async for page in pager async for item in page]
        if cut.aio
        else [item for page in pager for item in page]
    )
    assert sorted(first + rest) == list(range(36))
    assert len(first) < 36


async def test_a_client_that_does_not_know_of_a_split_finds_out(cut: Driver, endpoint: Endpoint) -> None:
    """The range that it names is gone (410/1002), and it looks the ranges up anew."""
    ordered = "SELECT VALUE c.n FROM c ORDER BY c.n"
    assert await cut.query(ordered) == list(range(36))
    assert len(split(endpoint, cut.container.id, range="2")) == 4
    assert await cut.query(ordered) == list(range(36))
    await cut.call("upsert_item", {"id": "0", "pk": "p0", "n": -1})
    assert (await cut.call("read_item", "0", "p0"))["n"] == -1
    assert await cut.query("SELECT VALUE COUNT(1) FROM c") == [36]


async def test_an_order_survives_a_split_under_it(cut: Driver, endpoint: Endpoint) -> None:
    if not cut.own:
        pytest.skip("begins the partition's parts anew and gives rows twice: `_repair_document_producer`")
    query = cut.container.query_items("SELECT VALUE c.n FROM c ORDER BY c.n", max_item_count=2)
    pager: Any = query.by_page()
    found = [item async for item in await anext(pager)] if cut.aio else list(next(pager))
    split(endpoint, cut.container.id, range="2")
    if cut.aio:
        found += [item async for page in pager async for item in page]
    else:
        found += [item for page in pager for item in page]
    assert found == list(range(36))


async def test_the_change_feed_and_the_listing_hold_all_partitions(cut: Driver) -> None:
    ranges = await cut.all("read_feed_ranges")
    changed = [
        item["n"]
        for one in ranges
        for item in await cut.all("query_items_change_feed", start_time="Beginning", feed_range=one)
    ]
    assert sorted(changed) == list(range(36))
    listed = await cut.all("read_all_items", max_item_count=5)
    assert sorted(item["n"] for item in listed) == list(range(36))


async def test_a_group_by_over_all_partitions_is_refused_as_in_azure(cut: Driver) -> None:
    """The Python SDK does not list `GroupBy` among the features of `_GetQueryPlanThroughGateway`."""
    with pytest.raises(CosmosHttpResponseError, match="GroupBy, which the calling client does not support"):
        await cut.query("SELECT c.shelf, COUNT(1) AS k FROM c GROUP BY c.shelf")
    one = await cut.query("SELECT c.shelf, COUNT(1) AS k FROM c GROUP BY c.shelf", partition_key="p0")
    assert one == [{"shelf": "a", "k": 3}]


async def test_prefixes_of_keys_are_found_wherever_they_lie(sdk: Driver, endpoint: Endpoint) -> None:
    name = f"cut-nested-{sdk.aio}"
    container = await sdk.on_database("create_container", name, PartitionKey(["/a", "/b"]))
    nested = Driver(sdk.database, container, aio=sdk.aio)
    for number in range(24):
        await nested.call("create_item", {"id": "1", "a": f"a{number % 3}", "b": f"b{number}", "n": number})
    assert len(split(endpoint, name, parts=5)) == 5
    for one in range(3):
        found = await nested.query("SELECT VALUE c.n FROM c", partition_key=[f"a{one}"])
        assert sorted(found) == list(range(one, 24, 3))
        (count,) = await nested.query("SELECT VALUE COUNT(1) FROM c", partition_key=[f"a{one}"])
        assert count == 8
    await sdk.on_database("delete_container", name)


async def test_throughput_beyond_one_partitions_gives_several(sdk: Driver) -> None:
    """Documented: https://learn.microsoft.com/azure/cosmos-db/partitioning-overview#physical-partitions."""
    name = f"fast-{sdk.aio}"
    container = await sdk.on_database("create_container", name, PartitionKey("/pk"), offer_throughput=25_000)
    fast = Driver(sdk.database, container, aio=sdk.aio)
    for number in range(20):
        await fast.call("create_item", {"id": "1", "pk": f"p{number}", "n": number})
    assert len(await fast.all("read_feed_ranges")) == 3
    assert await fast.query("SELECT VALUE c.n FROM c ORDER BY c.n") == list(range(20))
    await sdk.on_database("delete_container", name)
