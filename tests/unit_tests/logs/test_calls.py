"""`GET /calls`, its sums and the way of a request, over the edge: log lines that record model calls."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from functions.logs.histogram import bucket_of, quantile
from shared.tenancy.context import Role
from tests.support.fakes import tenant_context
from tests.unit_tests.logs.fakes import DAY
from tests.unit_tests.logs.log_app import LogApp
from tests.unit_tests.logs.test_search import MONTH, WHOLE_DAY, entry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos


def call(seconds: float = 0, tenant: str = "acme", request: str = "r-1", **facts: Any) -> dict[str, Any]:  # noqa: ANN401  # fields of JSON
    """Return the line of a call that ended so many seconds after nine."""
    record = {
        "event": "model_call",
        "time": f"{DAY}T09:00:00+00:00",
        "model": "gpt-4o",
        "status": "succeeded",
        "prompt_tokens": 30,
        "completion_tokens": 10,
        "cost": "0.0005",
        "duration_ms": 800.0,
        "wait_ms": 100.0,
        "overhead_ms": 50.0,
        "attempts": 1,
        "stream": False,
    }
    return entry("Model call", seconds, tenant, request_id=request, extra=record | facts)


@pytest.fixture
def app(cosmos: MemoryCosmos, clock: FakeClock) -> LogApp:
    return LogApp(cosmos, clock)


async def test_a_call_is_shown_as_it_was_recorded(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [entry("Hello"), call(prompt_version=3, time_to_first_token_ms=120.5)])

    [shown] = (await app.get("acme", "list_calls", WHOLE_DAY))["items"]

    assert {name: value for name, value in shown.items() if value is not None} == {
        "time": "2026-01-31T09:00:00Z",
        "request_id": "r-1",
        "model": "gpt-4o",
        "prompt_version": 3,
        "stream": False,
        "prompt_tokens": 30,
        "completion_tokens": 10,
        "cost": "0.0005",
        "attempts": 1,
        "wait_ms": 100.0,
        "time_to_first_token_ms": 120.5,
        "duration_ms": 800.0,
        "overhead_ms": 50.0,
        "status": "succeeded",
    }


async def test_calls_are_filtered_and_paged(app: LogApp, tmp_path: Path) -> None:
    await app.ship(
        tmp_path,
        "acme",
        [
            call(1, model="a/b", request="1"),
            call(2, bot_id="support", request="2"),
            call(3, conversation_id="c-1", status="failed", error="TimeoutError", request="3"),
        ],
    )

    async def found(query: str) -> list[str]:
        page = await app.get("acme", "list_calls", f"{WHOLE_DAY}&{query}")
        return [one["request_id"] for one in page["items"]]

    assert await found("limit=100") == ["3", "2", "1"]
    assert await found("model=a/b") == ["1"]
    assert await found("bot_id=support") == ["2"]
    assert await found("conversation_id=c-1&status=failed") == ["3"]
    assert await found("conversation_id=c-1&status=refused") == []
    first = await app.get("acme", "list_calls", f"{WHOLE_DAY}&limit=2")
    assert await found(f"limit=2&cursor={first['next_cursor']}") == ["1"]


async def test_a_record_that_cannot_be_read_hides_no_other(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [call(1, status="odd", model=None, cost="much"), call(2)])

    page = await app.get("acme", "list_calls", WHOLE_DAY)
    sums = await app.get("acme", "get_call_summary", f"from={DAY}&to={DAY}")

    assert [one["status"] for one in page["items"]] == ["succeeded"]
    assert [(row["model"], row["cost"]) for row in sums["items"]] == [("gpt-4o", "0.0005"), ("others", "0")]


async def test_calls_are_summed_up_over_chunks_and_days(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [call(1), call(2, model="small", duration_ms=90.0)], source="1")
    await app.ship(tmp_path, "acme", [call(3, status="failed", cost=None)], source="2")
    await app.ship(tmp_path, "acme", [call(-86_400, bot_id="support", prompt_name="p", prompt_version=2)])
    await app.ship(tmp_path, "globex", [call(1, "globex")])

    async def rows(group_by: str) -> list[tuple[Any, ...]]:
        query = f"from=2026-01-02&to={DAY}&group_by={group_by}"
        names = ("day", "model", "bot_id", "prompt_name", "prompt_version", "calls")
        summary = await app.get("acme", "get_call_summary", query)
        assert summary["calls"] == 4
        return [tuple(row[name] for name in names if row[name] is not None) for row in summary["items"]]

    assert await rows("model") == [("gpt-4o", 3), ("small", 1)]
    assert await rows("day") == [("2026-01-30", 1), (DAY, 3)]
    assert await rows("bot_id") == [(3,), ("support", 1)]
    assert await rows("prompt") == [(3,), ("p", 2, 1)]
    [today] = (await app.get("acme", "get_call_summary", f"from={DAY}&to={DAY}&group_by=day"))["items"]
    assert today["statuses"] == {"failed": 1, "succeeded": 2}
    assert (today["prompt_tokens"], today["completion_tokens"], today["cost"]) == (90, 30, "0.0010")
    assert today["duration_ms"]["p50"] == pytest.approx(800, rel=0.1)
    assert today["time_to_first_token_ms"] is None


async def test_a_requests_way_tells_what_took_its_time(app: LogApp, tmp_path: Path) -> None:
    turn = {"event": "turn", "duration_ms": 1_900.0}
    answered = {"route": "chat", "duration_ms": 2_000.0, "status": 200}
    await app.ship(tmp_path, "acme", [call(0.9), call(1.8, status="failed", error="TimeoutError")])
    await app.ship(
        tmp_path,
        "acme",
        [
            entry("Turn answered", 1.95, request_id="r-1", extra=turn),
            entry("Request answered", 2, request_id="r-1", extra=answered),
            entry("Of another", 2, request_id="r-2"),
        ],
        source="2",
    )

    way = await app.get("acme", "get_request_calls", request_id="r-1")

    assert [
        (step["event"], step["name"], step["offset_ms"], step["duration_ms"]) for step in way["steps"]
    ] == [
        ("request", "chat", 0.0, 2_000.0),
        ("turn", "Turn answered", 50.0, 1_900.0),
        ("model_call", "gpt-4o", 100.0, 800.0),
        ("model_call", "gpt-4o", 1_000.0, 800.0),
    ]
    assert (way["duration_ms"], way["calls"], way["ledger_ms"], way["model_ms"]) == (
        2_000.0,
        2,
        200.0,
        1_300.0,
    )
    assert (way["steps"][0]["status"], way["steps"][3]["error"]) == ("200", "TimeoutError")


async def test_a_request_that_another_tenant_made_is_not_found(app: LogApp, tmp_path: Path) -> None:
    await app.ship(tmp_path, "acme", [call(1)])

    assert (await app.get("globex", "get_request_calls", request_id="r-1"))[0] == 404
    assert (await app.get("acme", "get_request_calls", request_id="r-2"))[0] == 404
    assert (await app.get("globex", "list_calls", MONTH))["items"] == []


async def test_only_administrators_see_calls(app: LogApp) -> None:
    app.admin["user"] = app.authenticator.add("user", tenant_context("acme", Role.USER))

    for route in ("list_calls", "get_call_summary"):
        assert (await app.get("user", route))[0] == 403
    assert (await app.get("user", "get_request_calls", request_id="r-1"))[0] == 403


@pytest.mark.parametrize(
    ("route", "query", "field"),
    [
        ("list_calls", "status=odd", "query.status"),
        ("list_calls", "model=%20", "query.model"),
        ("get_call_summary", "group_by=user", "query.group_by"),
        ("get_call_summary", "from=2026-01-01&to=2026-02-01", "query.from"),
    ],
)
async def test_what_makes_no_sense_of_calls_is_refused_by_name(
    app: LogApp, route: str, query: str, field: str
) -> None:
    status, detail = await app.get("acme", route, query)

    assert (status, list(detail["fields"])) == (422, [field])


def test_a_quantile_is_within_a_tenth_of_the_exact_one() -> None:
    chosen = random.Random(3)  # noqa: S311  # chosen, not secret
    times = sorted(chosen.lognormvariate(6, 1.5) for _ in range(2_000))
    counts: dict[int, int] = {}
    for took in times:
        counts[bucket_of(took)] = counts.get(bucket_of(took), 0) + 1

    for share in (0.5, 0.95, 0.99):
        assert quantile(counts, share) == pytest.approx(times[int(share * 2_000) - 1], rel=0.1)
    assert quantile({}, 0.5) is None
    assert quantile({bucket_of(0.2): 1}, 0.5) == 0.5
    assert bucket_of(1e12) == bucket_of(1e9)
