"""An export has all that a tenant owns, each thing once, and nothing of anybody else's."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from functions.exports.cursor import ItemWalk, Position
from functions.exports.service import MAX_BLOB_BYTES, PAGE_SECONDS
from shared.tenancy.context import Role, parse_tenant_id
from shared.tenancy.owned_data import CONTAINERS, OwnedItems
from tests.support.fakes import Answer, Call, every_page
from tests.unit_tests.tenants.owners import OWNED_SECRET, everything, split, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.cosmos.container import Json, Key, Query
    from tests.support.whole_app import WholeApp


FORGED: list[Any] = [
    {"place": "nowhere"},
    {"place": "bots", "tenant_id": "acme-eu"},
    {"place": "bots", "levels": ["acme-eu"]},
    {"place": "conversations", "levels": ["bot_id-0"]},
    {"place": "conversations", "levels": [1, 2]},
    {"place": "conversations", "levels": ["x" * 2000, "y"]},
    {"place": "bots", "after": {"$gt": ""}},
    {"place": "blobs:logs", "after": "\x01"},
    [],
]


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with world(5) as opened:
        yield opened


@pytest.fixture
async def boss(app: WholeApp) -> dict[str, str]:
    return await app.new_key("acme", Role.TENANT_ADMIN)


async def page(app: WholeApp, headers: dict[str, str], query: str = "", tenant_id: str = "acme") -> Answer:
    return await app.client.call("export_tenant", Call({"tenant_id": tenant_id}, query, headers))


async def exported(app: WholeApp, headers: dict[str, str], limit: int = 50) -> list[dict[str, Any]]:
    """Follow the cursors to the end."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await page(app, headers, f"limit={limit}{cursor}")
        assert answer.status == 200
        assert len(answer.json()["items"]) <= limit
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return found
        cursor = f"&cursor={answer.json()['next_cursor']}"


def key_of(thing: dict[str, Any]) -> str:
    levels = ("id", *CONTAINERS.get(thing["container"], ()))
    if thing["blob"] is not None:
        return f"{thing['container']} {thing['blob']['name']}"
    return " ".join([thing["container"], *(thing["item"][level] for level in levels)])


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
@pytest.mark.slow
async def test_everything_is_in_it_once_and_nothing_else(
    app: WholeApp, boss: dict[str, str], limit: int, *, is_split: bool
) -> None:
    if is_split:
        await split(app, "acme")
    owned = await everything(app, "acme")

    found = await exported(app, boss, limit)

    keys = [key_of(thing) for thing in found if thing["container"] != "audit"]  # exporting itself is audited
    assert len(keys) == len(set(keys))
    for name in CONTAINERS:
        if name != "audit":
            items = [thing["item"] for thing in found if thing["container"] == name]
            assert sorted(item["id"] for item in items) == sorted(item["id"] for item in owned[name]), name
    blobs = {thing["blob"]["name"]: thing["blob"]["size"] for thing in found if thing["blob"] is not None}
    assert blobs == {name: len(content) for name, content in owned["blobs"]}
    assert {thing["item"]["tenant_id"] for thing in found if thing["item"]} == {"acme"}


@pytest.mark.parametrize("who", ["boss", "administrator"])
@pytest.mark.slow
async def test_an_export_ends_though_each_of_its_pages_is_audited(
    app: WholeApp, boss: dict[str, str], who: str
) -> None:
    headers = boss if who == "boss" else app.admin
    actions: list[str] = []
    cursor = ""
    for _ in range(1_000):
        app.clock.advance(0.001)
        found = (await page(app, headers, f"limit=1{cursor}")).json()
        actions += [one["item"]["action"] for one in found["items"] if one["container"] == "audit"]
        if found["next_cursor"] is None:
            break
        cursor = f"&cursor={found['next_cursor']}"

    assert found["next_cursor"] is None
    assert [number for number, action in enumerate(actions, 1) if action == "tenant.export"] == [len(actions)]


async def test_an_item_is_exported_with_what_this_release_does_not_know(
    app: WholeApp, boss: dict[str, str]
) -> None:
    body: Json = {"id": "b", "tenant_id": "acme", "config": {"of": ["a", "newer", "release"]}, "added": 1.5}
    await app.cosmos.container("bots").create(("acme",), body)

    found = [thing["item"] for thing in await exported(app, boss) if thing["container"] == "bots"]

    assert body in found


async def test_no_key_can_be_told_from_an_export(app: WholeApp, boss: dict[str, str]) -> None:
    stored = [item for item in (await everything(app, "acme"))["tenants"] if "hash" in item]

    text = json.dumps(await exported(app, boss))

    assert len(stored) == 1
    assert stored[0]["hash"] not in text
    assert boss["authorization"].removeprefix("Bearer ") not in text
    assert stored[0]["id"] in text


async def test_a_user_a_stranger_and_the_administrator_of_nobody_get_nothing(app: WholeApp) -> None:
    callers = {
        "user": await app.new_key("acme", Role.USER),
        "stranger": await app.new_key("acme-eu", Role.TENANT_ADMIN),
        "admin": app.admin,
    }
    statuses = {name: (await page(app, headers)).status for name, headers in callers.items()}

    assert statuses == {"user": 403, "stranger": 404, "admin": 200}
    assert (await page(app, app.admin, tenant_id="nobody")).status == 404


async def test_an_export_is_audited(app: WholeApp, boss: dict[str, str]) -> None:
    await page(app, boss)

    entries = (await app.must("list_audit", Call(headers=boss, query="action=tenant.export"))).json()["items"]
    assert [(entry["actor"]["kind"], entry["subject"]) for entry in entries] == [("key", "acme")]


@pytest.mark.parametrize(
    "cursor",
    [
        "junk",
        "%00",
        "e30",  # {}
        *(base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=") for forged in FORGED),
    ],
)
async def test_a_cursor_that_no_export_gave_out_is_refused(
    app: WholeApp, boss: dict[str, str], cursor: str
) -> None:
    answer = await page(app, boss, f"cursor={cursor}")

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["query.cursor"])


@pytest.mark.parametrize(
    "forged",
    [
        Position(place="bots", after="acme-eu"),
        Position(place="conversations", levels=("acme-eu", "conversation_id-0")),
        Position(place="log_index", levels=("' OR c.tenant_id = 'acme-eu",)),
        Position(place="blobs:logs", after="acme-eu/2026-01-31/file-0.jsonl"),
        Position(place="blobs:logs", after="acme-eu/"),
    ],
)
async def test_a_forged_cursor_stays_with_the_callers_own_things(
    app: WholeApp, boss: dict[str, str], forged: Position
) -> None:
    answer = await page(app, boss, f"limit=100&cursor={forged.as_cursor()}")

    assert answer.status == 200
    assert "acme-eu" not in json.dumps(answer.json()["items"])


async def test_a_cursor_of_another_tenants_export_shows_the_callers_own_things(
    app: WholeApp, boss: dict[str, str]
) -> None:
    other = await app.new_key("acme-eu", Role.TENANT_ADMIN)
    cursor = (await page(app, other, "limit=30", "acme-eu")).json()["next_cursor"]

    answer = await page(app, boss, f"limit=100&cursor={cursor}")

    assert "acme-eu" not in json.dumps(answer.json()["items"])


async def blob(app: WholeApp, headers: dict[str, str], name: str, offset: int = 0) -> Answer:
    query = f"name={name}&offset={offset}"
    return await app.client.call("export_blob", Call({"tenant_id": "acme"}, query, headers))


async def test_a_blob_is_exported_part_by_part(app: WholeApp, boss: dict[str, str]) -> None:
    content = bytes(range(256)) * (MAX_BLOB_BYTES // 256) + b"the end"
    app.blobs["acme/2026-01-31/large.jsonl"] = content
    parts: list[bytes] = []
    offset: int | None = 0
    while offset is not None:
        answer = (await blob(app, boss, "acme/2026-01-31/large.jsonl", offset)).json()
        parts.append(base64.b64decode(answer["content"]))
        offset = answer["next_offset"]

    assert b"".join(parts) == content
    assert len(parts) == 2
    beyond = await blob(app, boss, "acme/2026-01-31/large.jsonl", len(content) + 5)
    assert (beyond.status, beyond.json()["content"], beyond.json()["next_offset"]) == (200, "", None)


@pytest.mark.parametrize(
    "name",
    [
        "acme/2026-01-31/absent.jsonl",
        "acme-eu/2026-01-31/file-0.jsonl",
        "acme/../acme-eu/2026-01-31/file-0.jsonl",
        "acme/2026-01-31/../../acme-eu/2026-01-31/file-0.jsonl",
        "acme//2026-01-31/file-0.jsonl",
        "acme%5C..%5Cacme-eu/file-0.jsonl",
        "acme",
        "acmes/2026-01-31/file-0.jsonl",
        "acme/%0A",
        "/acme-eu/2026-01-31/file-0.jsonl",
    ],
)
async def test_no_name_leads_out_of_the_tenants_own_blobs(
    app: WholeApp, boss: dict[str, str], name: str
) -> None:
    answer = await blob(app, boss, name)

    assert (answer.status, answer.json()["error"]) == (404, "BlobNotFoundError")
    assert OWNED_SECRET not in answer.body.decode()


@pytest.mark.slow
async def test_large_items_make_short_pages(app: WholeApp, boss: dict[str, str]) -> None:
    for number in range(12):
        body: Json = {"id": f"large-{number:02}", "tenant_id": "acme", "words": "x" * 1_000_000}
        await app.cosmos.container("bots").create(("acme",), body)

    pages = await every_page(lambda query: page(app, boss, query), 100)

    found = [thing for answer in pages for thing in answer.json()["items"]]
    assert max(len(answer.body) for answer in pages) < 4 * 1024 * 1024 + 1_100_000
    large = [thing["item"]["id"] for thing in found if str(thing.get("item") or "").find("large-") > 0]
    assert large == [f"large-{number:02}" for number in range(12)]


@pytest.mark.slow
async def test_a_page_costs_no_more_requests_where_more_comes_after_it(
    app: WholeApp, boss: dict[str, str]
) -> None:
    async def requests_of_a_page(container: str, cursor: str) -> int:
        before = app.cosmos.transport.requests
        answer = await page(app, boss, f"limit=50&cursor={cursor}")
        assert len(answer.json()["items"]) == 50
        assert {thing["container"] for thing in answer.json()["items"]} == {container}
        return app.cosmos.transport.requests - before

    await page(app, boss, "limit=1")  # the key is known from here on
    costs: dict[str, list[int]] = {"bots": [], "jobs": []}
    for number in range(300):
        item: Json = {"id": f"~{number:03}", "tenant_id": "acme"}
        await app.cosmos.container("bots").create(("acme",), item)
        await app.cosmos.container("jobs").create(("acme", str(item["id"])), item)
    for container, found in costs.items():
        for after in ("~000", "~200"):
            cursor = Position(place=container, after=after, until="9").as_cursor()
            found.append(await requests_of_a_page(container, cursor))

    assert costs["bots"] == [2, 2]  # the trail and one query
    assert costs["jobs"] == [53, 53]  # the trail, two queries for the ids and a point read for each


@pytest.mark.slow
async def test_a_page_stops_by_time_and_the_next_one_goes_on(app: WholeApp, boss: dict[str, str]) -> None:
    whole = [key_of(thing) for thing in await exported(app, boss, 100) if thing["container"] != "audit"]
    app.cosmos.transport.watch = lambda _: app.clock.advance(PAGE_SECONDS / 8)

    first = await page(app, boss, "limit=100")
    app.cosmos.transport.watch = lambda _: app.clock.advance(PAGE_SECONDS / 8)
    found = [key_of(thing) for thing in await exported(app, boss, 100) if thing["container"] != "audit"]

    assert 0 < len(first.json()["items"]) < len(whole)
    assert first.json()["next_cursor"] is not None
    assert found == whole


@pytest.mark.slow
async def test_memory_does_not_grow_with_what_there_is() -> None:
    async def peak_of_a_page(items: int) -> int:
        async with world(items) as app:
            boss = await app.new_key("acme", Role.TENANT_ADMIN)
            await page(app, boss, "limit=20")
            tracemalloc.start()
            await page(app, boss, "limit=20")
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak

    assert await peak_of_a_page(100) < 2 * await peak_of_a_page(25)


class Split:
    """A container whose tenant lies in two physical partitions: the SDK orders each of them for itself."""

    def __init__(self, *halves: list[str]) -> None:
        self._halves = halves

    async def query(self, key: Key, query: Query) -> list[Any]:
        assert key == ("acme",)
        after, upto = str(query.parameters.get("@after", "")), str(query.parameters.get("@upto", "~"))
        found = [item for half in self._halves for item in half if after < item <= upto][: query.limit]
        return found if "VALUE c.id" in query.text else [{"id": item} for item in found]

    async def read(self, key: Key, item_id: str) -> Json:
        assert key == ("acme", item_id)
        return {"id": item_id}


@pytest.mark.parametrize("limit", [1, 2, 5, 10])
async def test_a_tenant_that_lies_in_several_physical_partitions_is_exported_whole(limit: int) -> None:
    ids = [f"{number:03}" for number in range(40)]
    for halves in (
        (ids[::2], ids[1::2]),
        (ids[:20], ids[20:]),
        (ids[20:], ids[:20]),
        ([ids[0], ids[-1]], ids[1:-1]),
        (ids[:1], []),
        ([], ids[:1]),
        ([], []),
    ):
        walk = ItemWalk(OwnedItems(parse_tenant_id("acme"), Split(*halves), ("id",)))  # type: ignore[arg-type]  # what is used of it
        found: list[str] = []
        position: Position | None = Position(place="jobs")
        while position is not None:
            items, position = await walk.take_step(position, limit, 1_000_000)
            assert len(items) <= limit
            found += [str(item["id"]) for item in items]
        assert found == sorted([*halves[0], *halves[1]])


async def test_an_answer_has_one_mebibyte_of_a_blob(app: WholeApp, boss: dict[str, str]) -> None:
    app.blobs["acme/2026-01-31/large.jsonl"] = b"x" * 2_000_000
    first = (await blob(app, boss, "acme/2026-01-31/large.jsonl")).json()

    assert (len(base64.b64decode(first["content"])), first["next_offset"]) == (1_048_576, 1_048_576)
