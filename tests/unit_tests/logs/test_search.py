"""`GET /logs` over the edge: each line once, newest first, within bounds, and none of anybody else's."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.logs.chunks import BlobPath
from functions.logs.manifest import build_manifest
from functions.logs.models import LogQuery
from functions.logs.search import MOST_CHUNKS
from functions.logs.service import LogService
from functions.logs.stream_places import STREAM_SECONDS
from functions.logs.tokens import ANYTHING, MOST_TOKENS
from shared.cosmos.container import Query
from shared.http.streaming import StreamEvent
from shared.tenancy.context import Role
from tests.support.fakes import StillClock, tenant_context
from tests.support.soak import SOAK, sized
from tests.unit_tests.logs.fakes import DAY
from tests.unit_tests.logs.log_app import LogApp

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

NOON = datetime(2026, 1, 31, 9, tzinfo=UTC)
WHOLE_DAY = f"from={DAY}T00:00:00Z&to=2026-02-01T00:00:00Z"
CHUNKS_A_DAY, LINES_A_CHUNK = (1_440, 70) if SOAK else (10, 3)
FILTERS = {
    "": False,
    "level=ERROR": True,
    "event=greeting": False,
    "event=farewell": True,
    "conversation_id=c-1": False,
    "text=Hello": False,
    "text=nowhere": False,
    "text=nowhere&level=ERROR": True,
}
"""Filters, and whether their first page is the last one."""

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
                "trace_id": None,
                "span_id": None,
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


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@sized(20)
async def test_a_request_of_a_month_of_a_hundred_thousand_lines_a_day_costs_three_blobs_and_a_page_twenty(
    app: LogApp, tmp_path: Path
) -> None:
    """In a soak, 1,440 chunks a day with 70 lines each."""
    chunks = 0
    for day in range(30):
        for chunk in range(CHUNKS_A_DAY):
            second = -86_400 * day - 9 * 3_600 + 86_400 // CHUNKS_A_DAY * chunk
            ids = [f"r-{day}-{chunk}-{number}" for number in range(LINES_A_CHUNK)]
            extra = {"event": "greeting", "conversation_id": f"c-{chunks % 2}"}
            lines = [entry("Hello", second, request_id=one, extra=extra) for one in ids]
            await app.ship(tmp_path, "acme", lines)
            chunks += 1
    wanted = {"request_id": "wanted", "level": "ERROR"}
    await app.ship(tmp_path, "acme", [entry("one", -86_400 * 17, **wanted)], source="2")
    await app.ship(tmp_path, "acme", [entry("two", -86_400 * 17 + 60, **wanted)], source="2")
    app.blobs.reads.clear()

    page = await app.search("acme", f"{MONTH}&request_id=wanted")

    assert [line["message"] for line in page["items"]] == ["two", "one"]
    assert page["next_cursor"] is None
    assert len(app.blobs.reads) <= 3
    costs = {"request_id=wanted": len(app.blobs.reads)}
    for query, ends in FILTERS.items():
        app.blobs.reads.clear()
        page = await app.search("acme", f"{MONTH}&limit=100&{query}")
        costs[query] = len(app.blobs.reads)
        assert costs[query] <= MOST_CHUNKS
        assert (page["next_cursor"] is None) is ends, query
    print(f"\n{chunks} chunks, {chunks * LINES_A_CHUNK} lines in 30 days; blobs read: {costs}")  # noqa: T201  # a soak prints its sums


@pytest.mark.slow
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


def lines_of(answer: Answer) -> list[dict[str, Any]]:
    """Read JSON lines, of which empty ones say nothing."""
    return [json.loads(line) for line in answer.body.decode().splitlines() if line]


async def test_all_lines_are_streamed_as_json_lines(app: LogApp, tmp_path: Path) -> None:
    app.runtime.clock = StillClock()
    for minute in range(25):
        await app.ship(tmp_path, "acme", [entry(f"{minute}.{n}", 60 * minute + n) for n in range(3)])

    answer = await app.stream("acme", f"{WHOLE_DAY}&limit=2")

    expected = [f"{minute}.{n}" for minute in reversed(range(25)) for n in (2, 1, 0)]
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert [line["message"] for line in lines_of(answer)] == expected
    assert lines_of(await app.stream("globex", WHOLE_DAY)) == []


async def test_a_stream_goes_on_where_its_time_was_over(app: LogApp, tmp_path: Path) -> None:
    app.runtime.clock = clock = StillClock()
    for minute in range(25):
        await app.ship(tmp_path, "acme", [entry(f"{minute}", 60 * minute)])
    app.blobs.before_read = lambda: clock.advance(STREAM_SECONDS / 20)

    *first, last = lines_of(await app.stream("acme", WHOLE_DAY))
    rest = lines_of(await app.stream("acme", f"{WHOLE_DAY}&cursor={last['next_cursor']}"))

    assert [line["message"] for line in first + rest] == [f"{minute}" for minute in reversed(range(25))]


async def test_a_stream_of_times_that_make_no_sense_is_refused(app: LogApp) -> None:
    answer = await app.stream("acme", f"from={DAY}T10:00:00Z&to={DAY}T09:00:00Z")

    assert answer.status == 422


async def test_a_reader_of_a_stream_that_is_slow_is_let_go_with_the_place_to_go_on_from(
    app: LogApp, tmp_path: Path
) -> None:
    clock = StillClock()
    await app.ship(tmp_path, "acme", [entry(f"{number}", number) for number in range(9)])
    tenant = tenant_context("acme", Role.TENANT_ADMIN)
    logs = LogService(tenant, app.cosmos.container("log_index"), app.blobs, clock)
    told: list[StreamEvent] = []
    async for event in logs.stream_lines(LogQuery.model_validate({"to": f"{DAY}T23:00:00Z"})):
        clock.advance(STREAM_SECONDS / 2)
        if isinstance(event, StreamEvent):
            told.append(event)
        else:
            cursor = json.loads(event.sent)["next_cursor"]

    rest = await app.search("acme", f"{WHOLE_DAY}&cursor={cursor}")

    assert [json.loads(event.data)["message"] for event in told] == ["8", "7", "6"]
    assert [line["message"] for line in rest["items"]] == ["5", "4", "3", "2", "1", "0"]
