"""The demo's past, read by the app's own modules: what was used, what was logged, and that both agree."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from functions.logs.chunks import PLATFORM
from functions.logs.lines import LogLine
from functions.logs.manifest import Manifest, build_manifest
from functions.logs.splitter import split_file
from local.demo.history import Anchor, LogHistory, UsageHistory
from local.demo.past import DAYS, past_day
from local.demo.plan import make_plan
from shared.logging.files import RotatedName
from shared.tenancy.context import Role
from tests.support.fakes import Call, FakeClock
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 3, 2)
ANCHOR = Anchor(TODAY, seed=7)
RETENTION = {"free": 7, "standard": 30, "premium": 90, "own": 90}
BAKERY = next(tenant for tenant in make_plan().tenants if tenant.tier == "free")
BUSIEST = make_plan().tenants[0]
INN = min((one for one in make_plan().tenants if one.tier == "standard"), key=lambda one: one.size)


def shipped(folder: Path, work: Path) -> list[Manifest]:
    """Split and index what was set aside, as the app does."""
    manifests = []
    for number, file in enumerate(sorted(folder.iterdir())):
        rotated = RotatedName.parse(file.name)
        assert rotated is not None, file.name
        chunks = split_file(file, rotated.rotated_at.date(), work / str(number))
        manifests += [build_manifest(one.blob, one.path.read_bytes(), datetime.now(UTC)) for one in chunks]
    return manifests


def write_logs(folder: Path) -> Counter[str]:
    return LogHistory(folder, "tenantry", RETENTION, ANCHOR).write([BAKERY, INN])


def test_a_day_is_the_same_each_time_and_ends_before_midnight() -> None:
    day = date(2026, 2, 27)
    requests = past_day(INN, day, 3, seed=7)

    assert requests == past_day(INN, day, 3, seed=7)
    assert requests != past_day(INN, day, 3, seed=8)
    assert {request.at.date() for request in requests} == {day}
    assert all(before.at <= after.at for before, after in pairwise(requests))
    assert len({request.request_id for request in requests}) == len(requests)


@pytest.mark.slow(30)
def test_calls_fail_on_the_bad_day_and_weekends_are_quiet() -> None:
    ends = {
        days_ago: Counter(
            call.end for request in past_day(BUSIEST, day, days_ago, 7) for call in request.calls
        )
        for day, days_ago in ANCHOR.days()
    }
    weekend = [ends[ago].total() for day, ago in ANCHOR.days() if day.weekday() >= 5]
    week = [ends[ago].total() for day, ago in ANCHOR.days() if day.weekday() < 5]

    assert ends[9]["failed"] > sum(ends[ago]["failed"] for ago in (7, 8, 10, 11))
    assert max(weekend) < min(week)


@pytest.mark.slow(30)
async def test_what_was_used_is_told_by_the_route_of_usage_and_written_once() -> None:
    async with whole_app(FakeClock(datetime(2026, 3, 2, 9, tzinfo=UTC))) as app:
        await app.new_tenant(INN.tenant_id, INN.tier)
        key = await app.new_key(INN.tenant_id, Role.TENANT_ADMIN)
        history = UsageHistory(app.runtime, ANCHOR)

        written, again = await history.write(INN), await history.write(INN)
        query = "from=2026-01-31&to=2026-03-01&group_by=day"
        usage = (await app.must("get_usage", Call(headers=key, query=query))).json()

    paid = [
        call
        for day, ago in ANCHOR.days()
        for request in past_day(INN, day, ago, ANCHOR.seed)
        for call in request.calls
        if call.is_paid
    ]
    assert (written > 0, again) == (True, 0)
    assert [row["day"] for row in usage["items"]] == [day.isoformat() for day, _ in ANCHOR.days()]
    assert usage["total"]["requests"] == len(paid)
    assert usage["total"]["prompt_tokens"] == sum(call.prompt_tokens for call in paid)
    assert usage["total"]["unpriced_models"] == []
    assert float(usage["total"]["cost"]) > 0


@pytest.mark.slow(30)
def test_lines_are_split_and_indexed_like_any_others(tmp_path: Path) -> None:
    days = write_logs(tmp_path / "logs")
    (tmp_path / "work").mkdir()
    manifests = shipped(tmp_path / "logs", tmp_path / "work")

    of_owner = Counter(manifest.blob.partition("/")[0] for manifest in manifests)
    assert of_owner == days
    assert PLATFORM not in of_owner
    assert {level for one in manifests for level in one.levels} <= {"INFO", "WARNING", "ERROR"}
    assert {event for one in manifests for event in one.events} == {"model_call", "turn"}


@pytest.mark.slow(30)
def test_the_lines_tell_of_the_calls_that_usage_counts(tmp_path: Path) -> None:
    write_logs(tmp_path / "logs")
    (tmp_path / "work").mkdir()
    sums = [
        one
        for manifest in shipped(tmp_path / "logs", tmp_path / "work")
        if manifest.blob.startswith(f"{INN.tenant_id}/")
        for one in manifest.calls
    ]
    calls = [
        call
        for day, ago in ANCHOR.days()
        if ago < RETENTION[INN.tier]
        for request in past_day(INN, day, ago, ANCHOR.seed)
        for call in request.calls
    ]

    assert sum(sum(one.statuses.values()) for one in sums) == len(calls)
    used = sum(call.prompt_tokens for call in calls if call.is_paid)
    assert sum(one.tokens.get("prompt_tokens", 0) for one in sums) == used


@pytest.mark.slow(30)
def test_lines_that_a_tier_does_not_keep_are_not_written(tmp_path: Path) -> None:
    days = write_logs(tmp_path)

    assert days[BAKERY.tenant_id] <= RETENTION["free"] - 1
    assert days[INN.tenant_id] == RETENTION["standard"] - 1 == DAYS - 1


@pytest.mark.slow(30)
def test_a_refused_a_failed_and_a_streamed_request_read_as_the_app_logs_them(tmp_path: Path) -> None:
    write_logs(tmp_path)
    lines = [LogLine.parse(text) for file in tmp_path.iterdir() for text in file.read_bytes().splitlines()]
    facts = [{**line.facts, "level": line.level} for line in lines if line is not None]

    assert len(facts) == len(lines)
    assert any(one.get("status") == 429 and one["error"] == "TokenRateLimitError" for one in facts)
    assert any(one.get("status") == 503 and one["level"] == "ERROR" for one in facts)
    assert any("first_event_ms" in one for one in facts)


@pytest.mark.slow(30)
def test_the_same_past_makes_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    write_logs(folder)
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    write_logs(folder)

    assert first == {file.name: file.read_bytes() for file in folder.iterdir()}
    assert len(first) == DAYS - 1
