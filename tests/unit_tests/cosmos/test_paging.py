"""A page is in order and whole, however many physical partitions the prefix of a key lies in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import Query
from shared.cosmos.paging import KeysetPage, read_page, read_prefix_page, walk_pages
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.owned_data import OwnedItems

if TYPE_CHECKING:
    from collections.abc import Iterable

    from azure.core.pipeline.transport import HttpRequest

    from shared.cosmos.sdk import SdkContainer
    from tests.support.memory_cosmos import MemoryCosmos

ACME = ("acme",)
IDS = [f"j{number:03}" for number in range(60)]


@pytest.fixture
def jobs(cosmos: MemoryCosmos) -> SdkContainer:
    """The container by azure-cosmos, which does not put the partitions' answers in order."""
    return cosmos.sdk_container("jobs")


async def fill(jobs: SdkContainer, ids: Iterable[str]) -> None:
    for tenant_id in ("acme", "globex"):
        for item_id in ids:
            await jobs.create((tenant_id, item_id), {"id": item_id, "tenant_id": tenant_id, "n": 1})


async def as_the_sdk_has_it(jobs: SdkContainer) -> list[str]:
    """Ask for the order in one query over the prefix."""
    found = await jobs.query(ACME, Query("SELECT VALUE c.id FROM c ORDER BY c.id", limit=1000))
    return [str(item_id) for item_id in found]


async def walk(jobs: SdkContainer, limit: int, where: str = "true") -> list[str]:
    """Follow the pages to the end."""
    found: list[str] = []
    while True:
        page = KeysetPage(limit, found[-1] if found else None, where=where)
        items = await read_prefix_page(jobs, ACME, page, "c.id, c.tenant_id")
        assert all(item["tenant_id"] == "acme" for item in items)
        found += [str(item["id"]) for item in items]
        if len(items) < limit:
            return found


@pytest.mark.parametrize("limit", [1, 2, 7, 30, 59, 60, 61])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.slow
async def test_the_pages_of_a_prefix_are_all_of_its_items_in_order(
    cosmos: MemoryCosmos, jobs: SdkContainer, parts: int, limit: int
) -> None:
    await fill(jobs, IDS)
    if parts > 1:
        cosmos.split("jobs", [("acme", item_id) for item_id in IDS], parts)
        assert await as_the_sdk_has_it(jobs) != IDS  # or else this shows nothing

    assert await walk(jobs, limit) == IDS
    assert await walk(jobs, limit, "c.id < 'j002' OR c.id = 'j031'") == ["j000", "j001", "j031"]


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
@pytest.mark.slow
async def test_one_partition_may_have_far_more_than_a_page_between_two_items_of_another(
    cosmos: MemoryCosmos, jobs: SdkContainer, limit: int
) -> None:
    await fill(jobs, IDS)
    cosmos.split("jobs", [("acme", item_id) for item_id in IDS])
    asked_first = sorted((await as_the_sdk_has_it(jobs))[: len(IDS) // 2])
    for name in asked_first[1:-1]:
        await jobs.delete(("acme", name), name, None)
    left = [name for name in IDS if name not in asked_first[1:-1]]

    assert await walk(jobs, limit) == left


async def test_a_page_takes_two_requests_and_an_empty_one_takes_one(
    cosmos: MemoryCosmos, jobs: SdkContainer
) -> None:
    await fill(jobs, IDS)

    async def requests(after: str | None, limit: int) -> int:
        before = cosmos.transport.requests
        await read_prefix_page(jobs, ACME, KeysetPage(limit, after), "c.id")
        return cosmos.transport.requests - before

    assert [await requests(None, 10), await requests("j050", 20), await requests("j059", 10)] == [2, 2, 1]


async def test_what_is_removed_while_a_page_is_read_does_not_end_the_list(
    cosmos: MemoryCosmos, jobs: SdkContainer
) -> None:
    await fill(jobs, IDS)
    queries = 0

    def remove_between_the_queries(_: HttpRequest) -> None:
        nonlocal queries
        queries += 1
        if queries == 2:
            table = cosmos.account.catalog.container(cosmos.name_of("jobs")).table
            for item_id in IDS[:4]:
                key = cosmos.key_of("jobs", ("acme", item_id))
                table.delete_partition(key.canonical, key.epk)

    cosmos.transport.watch = remove_between_the_queries
    items = await read_prefix_page(jobs, ACME, KeysetPage(5), "c.id")

    assert [item["id"] for item in items] == IDS[4:9]


async def test_a_page_of_one_partition_takes_one_request_in_either_order(
    cosmos: MemoryCosmos, jobs: SdkContainer
) -> None:
    bots = cosmos.container("bots")
    for item_id in IDS:
        await bots.create(ACME, {"id": item_id, "tenant_id": "acme", "n": 1})
        await bots.create(("acme-eu",), {"id": item_id, "tenant_id": "acme-eu", "n": 1})
    before = cosmos.transport.requests

    first = await read_page(bots, ACME, KeysetPage(2), "c.id, c.tenant_id")
    following = await read_page(bots, ACME, KeysetPage(2, "j001"), "c.id")
    backwards = await read_page(bots, ACME, KeysetPage(2, "j050", descending=True), "c.id")

    assert cosmos.transport.requests - before == 3
    assert [(item["id"], item["tenant_id"]) for item in first] == [("j000", "acme"), ("j001", "acme")]
    assert [item["id"] for item in following] == ["j002", "j003"]
    assert [item["id"] for item in backwards] == ["j049", "j048"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("after", [None, "b", "e"])
async def test_a_walk_goes_through_every_page_once_and_hands_out_no_empty_one(
    size: int, after: str | None
) -> None:
    everything = ["a", "b", "c", "d"]
    asked: list[str | None] = []

    async def read(after: str | None, limit: int) -> list[str]:
        asked.append(after)
        return [name for name in everything if after is None or name > after][:limit]

    pages = [list(page) async for page in walk_pages(read, str, size, after)]

    assert [name for page in pages for name in page] == [
        name for name in everything if after is None or name > after
    ]
    assert all(pages)
    assert asked == [after, *(page[-1] for page in pages if len(page) == size)]


@pytest.mark.slow
async def test_a_tenants_items_are_read_until_there_are_enough_bytes(cosmos: MemoryCosmos) -> None:
    bots = cosmos.container("bots")
    for number in range(8):
        await bots.create(ACME, {"id": f"b{number}", "tenant_id": "acme", "text": "x" * 700_000})
    owned = OwnedItems(parse_tenant_id("acme"), bots)

    enough = await owned.read_page((), "", 8, max_bytes=1_000_000)
    everything = await owned.read_page((), "", 8, max_bytes=100_000_000)

    assert len(enough) < len(everything)
