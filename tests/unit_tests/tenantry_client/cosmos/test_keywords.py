"""Each keyword of an operation sends what azure-cosmos sends for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from azure.core import MatchConditions

from tests.support.memory_cosmos import memory_cosmos
from tests.unit_tests.tenantry_client.cosmos.scripted_transport import (
    ScriptedTransport,
    answer,
    operations_on,
)
from tests.unit_tests.tenantry_client.cosmos.two_clients import Side

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpRequest

    from tests.support.fakes import FakeClock

ITEM = {"id": "1", "tenant_id": "acme", "n": 1}
PATCH = [{"op": "set", "path": "/t", "value": 1}]
QUERY = "SELECT * FROM c"
KEY = {"partition_key": "acme"}

ARGUMENTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "create_item": ([{**ITEM, "id": "2"}], {}),
    "upsert_item": ([ITEM], {}),
    "replace_item": (["1", ITEM], {}),
    "patch_item": (["1", "acme", PATCH], {}),
    "delete_item": (["1", "acme"], {}),
    "execute_item_batch": ([[("read", ("1",))], "acme"], {}),
    "read_item": (["1", "acme"], {}),
    "read_all_items": ([], {}),
    "query_items": ([QUERY], KEY),
    "query_items_change_feed": ([], KEY | {"start_time": "Beginning"}),
}
"""How each operation is called."""

WRITES = ("create_item", "upsert_item", "replace_item", "patch_item", "delete_item", "execute_item_batch")
READS = ("read_item", "read_all_items", "query_items")
EVERYWHERE: list[tuple[str, object, str]] = [
    ("session_token", "0:-1#0", "x-ms-session-token"),
    ("priority", "Low", "x-ms-cosmos-priority-level"),
    ("throughput_bucket", 3, "x-ms-cosmos-throughput-bucket"),
]
OF_WRITES: list[tuple[str, object, str]] = [
    ("pre_trigger_include", "before", "x-ms-documentdb-pre-trigger-include"),
    ("post_trigger_include", "after", "x-ms-documentdb-post-trigger-include"),
]
OF_QUERIES: list[tuple[str, object, str]] = [
    ("enable_scan_in_query", True, "x-ms-documentdb-query-enable-scan"),
    ("continuation_token_limit", 2, "x-ms-documentdb-responsecontinuationtokenlimitinkb"),
    ("populate_query_metrics", True, "x-ms-documentdb-populatequerymetrics"),
    ("populate_index_metrics", True, "x-ms-cosmos-populateindexmetrics"),
]
STALENESS = ("max_integrated_cache_staleness_in_ms", 500, "x-ms-dedicatedgateway-max-age")
PAGE = ("max_item_count", 2, "x-ms-max-item-count")
MINIMAL = ("no_response", True, "prefer")
CASES = [
    *((name, *one) for name in (*WRITES, *READS) for one in EVERYWHERE[1:]),
    *((name, *EVERYWHERE[0]) for name in ("execute_item_batch", *READS)),
    *((name, *one) for name in WRITES for one in OF_WRITES),
    *(("query_items", *one) for one in OF_QUERIES),
    *((name, *one) for name in ("query_items", "read_all_items") for one in (PAGE, STALENESS)),
    *((name, *MINIMAL) for name in ("create_item", "upsert_item", "replace_item", "patch_item")),
    ("query_items_change_feed", *PAGE),
    ("query_items_change_feed", *EVERYWHERE[1]),
    ("read_item", *STALENESS),
    ("read_item", *OF_WRITES[1]),
    ("create_item", "indexing_directive", 1, "x-ms-indexing-directive"),
]


async def sent_by(side: Side, name: str, options: dict[str, Any]) -> dict[str, str]:
    """Return the headers of the first request about items that an operation sends."""
    sent: list[dict[str, str]] = []

    def note(request: HttpRequest) -> None:
        sent.append({header.lower(): str(value) for header, value in request.headers.items()})

    arguments, usual = ARGUMENTS[name]
    side.cosmos.transport.watch = note
    await side.run(name, *arguments, **(usual | options))
    return sent[0] if sent else {}


async def compared(
    clock: FakeClock, name: str, options: dict[str, Any], header: str
) -> tuple[str | None, str | None]:
    """Return a header as azure-cosmos sends it, and as the client of our own does."""
    found: list[str | None] = []
    for own in (False, True):
        async with memory_cosmos(clock) as cosmos:
            side = Side(cosmos, own=own)
            await side.run("upsert_item", ITEM)
            found.append((await sent_by(side, name, options)).get(header))
    return found[0], found[1]


@pytest.mark.parametrize(("name", "keyword", "value", "header"), CASES)
async def test_a_keyword_sends_the_header_that_azure_cosmos_sends(
    clock: FakeClock, name: str, keyword: str, value: object, header: str
) -> None:
    theirs, ours = await compared(clock, name, {keyword: value}, header)
    assert theirs is not None
    assert ours == theirs


@pytest.mark.parametrize("name", ["upsert_item", "replace_item", "patch_item", "delete_item"])
@pytest.mark.parametrize(
    ("condition", "etag", "header"),
    [
        (MatchConditions.IfNotModified, '"e"', "if-match"),
        (MatchConditions.IfModified, '"e"', "if-none-match"),
        (MatchConditions.IfPresent, None, "if-match"),
        (MatchConditions.IfMissing, None, "if-none-match"),
    ],
)
async def test_a_condition_sends_the_header_that_azure_cosmos_sends(
    clock: FakeClock, name: str, condition: MatchConditions, etag: str | None, header: str
) -> None:
    options = {"match_condition": condition} | ({} if etag is None else {"etag": etag})
    theirs, ours = await compared(clock, name, options, header)
    assert theirs is not None
    assert ours == theirs


@pytest.mark.parametrize("name", WRITES[:5])
async def test_a_write_to_the_one_region_for_writes_needs_no_session(clock: FakeClock, name: str) -> None:
    assert await compared(clock, name, {"session_token": "0:-1#0"}, "x-ms-session-token") == (None, None)


async def test_more_headers_are_sent_which_azure_cosmos_takes_and_leaves_out(clock: FakeClock) -> None:
    theirs, ours = await compared(clock, "read_item", {"initial_headers": {"x-own": "1"}}, "x-own")
    assert (theirs, ours) == (None, "1")


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"mode": "LatestVersion"}, "a-im"),
        ({"mode": "AllVersionsAndDeletes", "start_time": "Now"}, "a-im"),
        ({"start_time": datetime(2026, 1, 1, tzinfo=UTC)}, "if-modified-since"),
        ({"start_time": "Now"}, "if-none-match"),
    ],
)
async def test_the_change_feed_is_asked_for_as_azure_cosmos_does(
    clock: FakeClock, options: dict[str, Any], header: str
) -> None:
    theirs, ours = await compared(clock, "query_items_change_feed", options, header)
    assert theirs is not None
    assert ours == theirs


async def test_all_items_of_a_partition_are_removed_with_the_keywords_of_a_write() -> None:
    transport = ScriptedTransport([answer(200)])
    options = {"pre_trigger_include": "a", "post_trigger_include": "b", "throughput_bucket": 4}
    await operations_on(transport).delete_partition("p", options)
    sent = transport.sent[0]
    assert (sent.method, sent.path) == ("POST", "/dbs/db/colls/items/operations/partitionkeydelete")
    assert sent.headers["x-ms-documentdb-pre-trigger-include"] == "a"
    assert sent.headers["x-ms-documentdb-post-trigger-include"] == "b"
    assert sent.headers["x-ms-cosmos-throughput-bucket"] == "4"


async def test_feed_ranges_are_those_of_azure_cosmos(clock: FakeClock) -> None:
    async with memory_cosmos(clock) as cosmos:
        cosmos.split("prompts", [("acme",), ("globex",)])
        containers = [Side(cosmos, own=own).container for own in (False, True)]
        theirs, ours = [
            [dict(one) async for one in container.read_feed_ranges(force_refresh=True)]
            for container in containers
        ]
        assert ours == theirs
        of_keys = [
            [dict(await container.feed_range_from_partition_key(key)) for key in ("acme", None, 1.5)]
            for container in containers
        ]
        assert of_keys[1] == of_keys[0]
        within = [
            [[await container.is_feed_range_subset(one, key) for one in ours] for key in of_keys[0]]
            for container in containers
        ]
        assert within[1] == within[0]


async def test_a_query_is_sent_as_it_was_written(clock: FakeClock) -> None:
    text = "SELECT VALUE t FROM t IN c.children WHERE t.id = @ü"
    parameters = [{"name": "@ü", "value": 7}]
    bodies: list[object] = []

    def note(request: HttpRequest) -> None:
        assert isinstance(request.data, bytes | str)
        bodies.append(json.loads(request.data))

    for own in (False, True):
        async with memory_cosmos(clock) as cosmos:
            side = Side(cosmos, own=own)
            await side.run("upsert_item", ITEM)
            cosmos.transport.watch = note
            await side.run("query_items", text, parameters=parameters, **KEY)
    assert bodies == [{"query": text, "parameters": parameters}] * 2


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({"tenant_id": "acme"}, {"enable_automatic_id_generation": True}),
        ({"tenant_id": "acme", "id": "own"}, {"enable_automatic_id_generation": True}),
        ({"tenant_id": "acme"}, {}),
    ],
)
async def test_an_id_is_made_where_it_is_asked_for_and_nowhere_else(
    clock: FakeClock, body: dict[str, Any], options: dict[str, Any]
) -> None:
    kinds = []
    for own in (False, True):
        async with memory_cosmos(clock) as cosmos:
            result = (await Side(cosmos, own=own).run("create_item", body, **options)).result
            made = result.get("id") if isinstance(result, dict) else None
            kinds.append(result if made is None else [made == body.get("id"), len(made) >= len("own")])
    assert kinds[1] == kinds[0]


async def test_a_database_is_told_as_azure_cosmos_tells_it(clock: FakeClock) -> None:
    async with memory_cosmos(clock) as cosmos:
        theirs = await cosmos.sdk_client.get_database_client("tenantry").read()
        assert dict(await cosmos.client.get_database_client("tenantry").read()) == dict(theirs)
