"""The demo, small: what it fills a platform with, and that a second run leaves it as it is."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration_tests.demo.filling import fill
from tests.integration_tests.platform import Caller, Platform, running_platform, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEDULES = {"LOG_SHIP_SCHEDULE": "*/3 * * * * *", "WEBHOOK_SCHEDULE": "*/5 * * * * *"}
FIRST = "fernhallow-outdoor"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Path, str]]:
    data = tmp_path_factory.mktemp("demo") / "data"
    with running_platform(data, settings=SCHEDULES) as platform:
        yield platform, data, fill(platform, data, tenants=3)
        platform.kill_everything()  # it would wait for the job that the demo leaves running


def days_before(day: str, count: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=count)).isoformat()


def keys(data: Path) -> Any:  # noqa: ANN401  # JSON
    return json.loads((data / "demo.json").read_text())


def owner(platform: Platform, data: Path) -> Caller:
    return Caller(platform.client, keys(data)["admins"][FIRST])


@pytest.mark.timeout(240)
def test_a_first_run_fills_the_platform_and_prints_three_keys(filled: tuple[Platform, Path, str]) -> None:
    platform, data, said = filled
    flat = "".join(line.strip(" │\n") for line in said.splitlines())
    admin, user = owner(platform, data), Caller(platform.client, keys(data)["user"])

    assert f"{platform.addresses['app']}/api/console" in flat
    for key in (platform.admin.key, admin.key, user.key):
        assert key in flat.replace(" ", "")
    assert len(platform.admin.must("GET", "/api/v1/tenants")["items"]) == 3
    statuses = {job["status"] for job in admin.must("GET", "/api/v1/reasoning/jobs?limit=100")["items"]}
    assert statuses >= {"waiting", "succeeded", "failed", "cancelled", "queued"}
    assert len(admin.must("GET", "/api/v1/dead-letters")["items"]) == 3
    assert user.must("GET", "/api/v1/me")["user_id"] == "mara.lind"
    own = user.must("GET", "/api/v1/bots/helpdesk/conversations")["items"]
    assert {conversation["user_id"] for conversation in own} == {"mara.lind"}


def test_the_past_can_be_read_as_usage_calls_and_lines(filled: tuple[Platform, Path, str]) -> None:
    platform, data, _ = filled
    admin = owner(platform, data)
    [today] = {platform.admin.must("GET", f"/api/v1/tenants/{FIRST}")["created_at"][:10]}
    usage = admin.must("GET", f"/api/v1/usage?from={days_before(today, 30)}&to={today}&group_by=day")
    calls = admin.must("GET", f"/api/v1/calls?to={today}T00:00:00Z&limit=10")["items"]

    assert usage["total"]["requests"] > 500
    assert len(calls) == 10
    way = admin.must("GET", f"/api/v1/calls/{calls[0]['request_id']}")
    assert way["calls"] >= 1
    assert admin.must("GET", f"/api/v1/logs?to={today}T00:00:00Z")["items"]


@pytest.mark.timeout(240)
def test_a_second_run_changes_nothing(filled: tuple[Platform, Path, str]) -> None:
    platform, data, _ = filled
    admin = owner(platform, data)

    def state() -> list[Any]:
        paths = (
            "prompts",
            "bots",
            "webhooks",
            "settings",
            f"tenants/{FIRST}/keys",
            "bots/helpdesk/conversations",
        )
        lists = [
            admin.must("GET", f"/api/v1/{path}?limit=100")["items"]
            for path in (*paths, "feedback", "dead-letters")
        ]
        jobs = admin.must("GET", "/api/v1/reasoning/jobs?limit=100")["items"]
        audit = [
            one
            for one in admin.must("GET", "/api/v1/audit?limit=100")["items"]
            if one["action"] != "admin.act"
        ]
        days = admin.must("GET", "/api/v1/usage?group_by=day")["items"][:-1]  # today's is going on
        return [*lists, sorted(job["job_id"] for job in jobs), audit, days]

    def analysed() -> int:
        return sum(
            one["status"] == "succeeded" for one in admin.must("GET", "/api/v1/feedback?limit=100")["items"]
        )

    wait_for(analysed, lambda count: count == len(admin.must("GET", "/api/v1/feedback?limit=100")["items"]))
    before, known = state(), keys(data)
    said = fill(platform, data, tenants=3)

    assert state() == before
    assert keys(data) == known
    assert " new" not in said
