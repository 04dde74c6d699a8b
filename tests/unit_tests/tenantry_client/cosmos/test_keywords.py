"""Each keyword of an operation sends what azure-cosmos sends for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.core import MatchConditions

from tests.support.memory_cosmos import memory_cosmos
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
