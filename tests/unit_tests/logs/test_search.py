"""`GET /logs` over the edge: each line once, newest first, within bounds, and none of anybody else's."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.logs.chunks import BlobPath
from functions.logs.manifest import build_manifest
from functions.logs.tokens import ANYTHING, MOST_TOKENS
from shared.cosmos.container import Query
from tests.unit_tests.logs.fakes import DAY
from tests.unit_tests.logs.log_app import LogApp

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

NOON = datetime(2026, 1, 31, 9, tzinfo=UTC)
WHOLE_DAY = f"from={DAY}T00:00:00Z&to=2026-02-01T00:00:00Z"
MONTH = "from=2026-01-02T00:00:00Z&to=2026-02-01T00:00:00Z"


def entry(message: str, seconds: float = 0, tenant: str | None = "acme", **more: Any) -> dict[str, Any]:  # noqa: ANN401  # fields of JSON
    """Return a line so many seconds after noon; `extra` and others by name."""
    fields: dict[str, Any] = {
        "timestamp": (NOON + timedelta(seconds=seconds)).isoformat(timespec="microseconds"),
        "level": "INFO",
        "logger": "functions.x",
        "message": message,
        "app": "tenantry",
        "request_id": None,
        "tenant_id": tenant,
    }
    return fields | more


@pytest.fixture
def app(cosmos: MemoryCosmos, clock: FakeClock) -> LogApp:
    return LogApp(cosmos, clock)


async def messages(app: LogApp, query: str, tenant: str = "acme") -> list[str]:
    page = await app.search(tenant, query)
    return [line["message"] for line in page["items"]]


async def test_a_line_is_shown_with_what_it_tells_and_without_its_stack(app: LogApp, tmp_path: Path) -> None:
    told = {"event": "model_call", "attempts": 2, "model": "gpt-4o"}
    failed = {"type": "TimeoutError", "message": "of 10.0.0.7", "stack": "File x"}
    await app.ship(tmp_path, "acme", [entry("Hello", request_id="r-1", extra=told, exception=failed)])

    page = await app.search("acme", WHOLE_DAY)

    assert page == {
        "items": [
            {
                "time": "2026-01-31T09:00:00Z",
                "level": "INFO",
                "logger": "functions.x",
                "message": "Hello",
                "request_id": "r-1",
                "event": "model_call",
                "error": "TimeoutError",
                "fields": {"attempts": 2, "model": "gpt-4o"},
            }
        ],
        "next_cursor": None,
    }


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_lines_of_processes_that_overlap_come_newest_first_and_once(
    app: LogApp, tmp_path: Path, limit: int
) -> None:
    chosen = random.Random(7)  # noqa: S311  # chosen, not secret
    expected: list[tuple[float, str]] = []
    for process in range(3):
        for minute in range(3):
            at = sorted(chosen.uniform(60 * minute, 60 * minute + 70) for _ in range(4))
            lines = [(second, f"{process}.{minute}.{number}") for number, second in enumerate(at)]
            expected += lines
            await app.ship(
                tmp_path, "acme", [entry(text, second) for second, text in lines], source=f"{process}"
            )

    pages = await app.walk("acme", WHOLE_DAY, limit)

    assert [text for page in pages for text in page] == [text for _, text in sorted(expected, reverse=True)]
    assert all(len(page) <= limit for page in pages)


async def test_lines_of_one_instant_are_each_shown_once(app: LogApp, tmp_path: Path) -> None:
    for process in "abc":
        await app.ship(tmp_path, "acme", [entry(f"{process}{n}") for n in range(3)], source=process)

    found = [text for page in await app.walk("acme", WHOLE_DAY, 2) for text in page]

    assert sorted(found) == sorted(f"{process}{n}" for process in "abc" for n in range(3))


async def test_a_page_reads_twenty_chunks_at_most_and_tells_where_to_go_on(
    app: LogApp, tmp_path: Path
) -> None:
    for minute in range(45):
        await app.ship(tmp_path, "acme", [entry(f"{minute}", 60 * minute)])
    app.blobs.reads.clear()

    pages = await app.walk("acme", f"{WHOLE_DAY}&text=0", 100)

    assert [len(app.blobs.reads), len(pages)] == [45, 3]
    assert [text for page in pages for text in page] == ["40", "30", "20", "10", "0"]


async def test_more_processes_than_a_page_reads_hide_no_line(app: LogApp, tmp_path: Path) -> None:
    for process in range(25):
        lines = [entry(f"{process} {second}", second + process / 100) for second in (0, 1)]
        await app.ship(tmp_path, "acme", lines, source=f"{process}")
    middle = f"from={DAY}T00:00:00Z&to={DAY}T09:00:01Z"

    pages = await app.walk("acme", middle, 10)

    assert [text for page in pages for text in page] == [f"{process} 0" for process in reversed(range(25))]


async def test_a_request_of_a_month_of_a_hundred_thousand_lines_a_day_costs_three_blobs(
    app: LogApp, tmp_path: Path
) -> None:
    """As many chunks as say so, each with fewer lines: what is read does not depend on them."""
    for day in range(30):
        for minute in range(0, 60, 6):
            second = -86_400 * day + 60 * minute
            ids = [f"r-{day}-{minute}-{number}" for number in range(3)]
            await app.ship(tmp_path, "acme", [entry("Hello", second, request_id=one) for one in ids])
    wanted = {"request_id": "wanted"}
    await app.ship(tmp_path, "acme", [entry("one", -86_400 * 17, **wanted)], source="2")
    await app.ship(tmp_path, "acme", [entry("two", -86_400 * 17 + 60, **wanted)], source="2")
    app.blobs.reads.clear()

    page = await app.search("acme", f"{MONTH}&request_id=wanted")

    assert [line["message"] for line in page["items"]] == ["two", "one"]
    assert page["next_cursor"] is None
    assert len(app.blobs.reads) <= 3


async def test_a_chunk_with_more_ids_than_are_kept_may_have_anything(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [entry("Hello", request_id="r-1")])
    path = BlobPath.parse(f"acme/{DAY}/a.jsonl")
    line = '{{"timestamp":"2026-01-31T09:00:00Z","level":"INFO","tenant_id":"acme","request_id":"{}"}}\n'
    content = "".join(line.format(number) for number in range(MOST_TOKENS + 1)).encode()

    assert build_manifest(path, content, NOON).tokens == [ANYTHING]

    whole = app.cosmos.container("log_index")
    [item] = await whole.query(("acme", DAY), Query("SELECT * FROM c"))
    await whole.upsert(("acme", DAY), item | {"tokens": [ANYTHING]})
    assert await messages(app, f"{WHOLE_DAY}&request_id=r-1") == ["Hello"]


async def test_each_filter_narrows(app: LogApp, tmp_path: Path) -> None:
    call = {"event": "model_call", "conversation_id": "c-1", "error": "Too Long"}
    await app.ship(
        tmp_path,
        "acme",
        [
            entry("debug", 1, level="DEBUG"),
            entry("warn", 2, level="WARNING", request_id="r-1"),
            entry("error", 3, level="ERROR", extra={"event": "turn", "parts": ["straße"]}),
            entry("Call", 4, extra=call, request_id="r-1"),
        ],
    )

    async def found(query: str) -> list[str]:
        return await messages(app, f"{WHOLE_DAY}&{query}")

    assert await found("level=WARNING") == ["error", "warn"]
    assert await found("level=CRITICAL") == []
    assert await found("event=model_call") == ["Call"]
    assert await found("event=model") == []
    assert await found("request_id=r-1") == ["Call", "warn"]
    assert await found("request_id=r-1&level=WARNING") == ["warn"]
    assert await found("conversation_id=c-1") == ["Call"]
    assert await found("text=STRASSE") == ["error"]
    assert await found("text=too%20long") == ["Call"]
    assert await found("text=tenantry") == []


async def test_times_bound_what_is_found(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [entry(f"{second}", second) for second in range(5)])
    await app.ship(tmp_path, "acme", [entry("before", -86_400)])
    await app.ship(tmp_path, "acme", [entry("long before", -3 * 86_400)])

    assert await messages(app, f"from={DAY}T09:00:01Z&to={DAY}T09:00:03Z") == ["2", "1"]
    assert await messages(app, f"from={DAY}T11:00:01%2B02:00&to={DAY}T11:00:02%2B02:00") == ["1"]
    assert (await messages(app, f"to={DAY}T23:00:00Z"))[-1] == "before"
    assert (await messages(app, MONTH))[-1] == "long before"


async def test_nothing_of_another_tenant_or_the_platform_is_found(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [entry("mine")])
    await app.ship(tmp_path, "globex", [entry("theirs", tenant="globex")])
    await app.ship(tmp_path, "_platform", [entry("platform's", tenant=None)])

    assert await messages(app, WHOLE_DAY) == ["mine"]
    assert await messages(app, WHOLE_DAY, "globex") == ["theirs"]
    mine = (await app.search("acme", f"{WHOLE_DAY}&limit=1"))["items"]
    assert [line["message"] for line in mine] == ["mine"]


async def test_what_a_chunk_says_of_others_is_counted_and_shown_to_nobody(
    app: LogApp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [entry("mine"), entry("smuggled", tenant="globex"), entry("no line", level="LOUD")]
    await app.ship(tmp_path, "acme", [*lines, entry("no one's", tenant=None), entry("after")])

    assert await messages(app, WHOLE_DAY) == ["after", "mine"]
    assert await messages(app, WHOLE_DAY, "globex") == []
    [day] = (await app.summary("acme"))["days"]
    assert day["levels"] == {"INFO": 2, "REFUSED": 2, "UNREADABLE": 1}
    assert "A chunk has lines that are not its owner's" in caplog.text


async def test_a_chunk_that_is_gone_or_damaged_hides_no_other(app: LogApp, tmp_path: Path) -> None:
    gone, damaged, _ = [
        await app.ship(tmp_path, "acme", [entry(text, second)])
        for second, text in enumerate(("gone", "damaged", "whole"))
    ]
    del app.blobs.blobs[gone]
    app.blobs.blobs[damaged] = b"no gzip"

    assert await messages(app, WHOLE_DAY) == ["whole"]


async def test_events_are_summed_up(app: LogApp, tmp_path: Path) -> None:
    events = [*["model_call"] * 3, "turn", *(f"kind{number}" for number in range(80))]
    await app.ship(tmp_path, "acme", [entry("x", extra={"event": event}) for event in events])

    [day] = (await app.summary("acme"))["days"]

    assert day["events"]["model_call"] == 3
    assert (len(day["events"]), day["events"]["others"]) == (65, 18)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (f"from={DAY}T10:00:00Z&to={DAY}T09:00:00Z", "query.from"),
        ("from=2026-01-01T00:00:00Z&to=2026-02-02T00:00:00Z", "query.from"),
        ("from=2026-01-01", "query.from"),
        ("level=LOUD", "query.level"),
        ("request_id=a%20b", "query.request_id"),
        ("text=", "query.text"),
        ("limit=101", "query.limit"),
        ("cursor=x", "query.cursor"),
        ("cursor=99999999999999999~a~1", "query.cursor"),
        ("tenant_id=globex", "query.tenant_id"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(app: LogApp, query: str, field: str) -> None:
    status, detail = await app.search("acme", query)

    assert (status, list(detail["fields"])) == (422, [field])
