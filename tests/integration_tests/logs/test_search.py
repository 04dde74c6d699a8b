"""Lines that the app logs of calls over HTTP are found, followed and streamed by their tenant alone."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(180)
LOGS = "/api/v1/logs"


def ask(caller: Caller, request_id: str) -> None:
    caller.must("GET", "/api/v1/me", **{"x-request-id": request_id})


def find(caller: Caller, query: str) -> list[dict[str, Any]]:
    """Return all lines that are found, page by page."""
    lines: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = caller.must("GET", f"{LOGS}?limit=100&{query}{cursor}")
        lines += page["items"]
        if page["next_cursor"] is None:
            return lines
        cursor = f"&cursor={page['next_cursor']}"


def test_lines_of_calls_are_found_by_their_request_and_nobody_elses_are(platform: Platform) -> None:
    acme, globex = (platform.caller(platform.new_tenant()) for _ in range(2))
    same, of_globex, of_platform = (f"r-{uuid.uuid4().hex}" for _ in range(3))
    ask(acme, same)
    ask(globex, same)
    ask(globex, of_globex)
    platform.admin.must("GET", "/api/v1/tenants?limit=1", **{"x-request-id": of_platform})

    def found(caller: Caller, request_id: str) -> list[dict[str, Any]]:
        return wait_for(lambda: find(caller, f"request_id={request_id}"), bool, 90)

    found(globex, of_globex)
    [mine], [theirs] = found(acme, same), found(globex, same)
    assert mine["fields"]["route"] == theirs["fields"]["route"] == "get_me"
    assert (mine["request_id"], mine["level"]) == (same, "INFO")
    assert find(acme, f"request_id={of_globex}") == []
    assert find(acme, f"request_id={of_platform}") == []
    hour = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    everything = find(acme, f"from={hour}")
    assert {line["request_id"] for line in everything} & {of_globex, of_platform} == set()
    assert all(line["request_id"] for line in everything), "a line of the platform's own work has none"


def test_a_follower_gets_its_tenants_lines_as_they_arrive_and_all_are_streamed(platform: Platform) -> None:
    tenant, stranger = platform.new_tenant(), platform.caller(platform.new_tenant())
    boss, user = platform.caller(tenant), platform.caller(tenant, "user")
    asked, foreign = (f"r-{uuid.uuid4().hex}" for _ in range(2))
    headers = {"authorization": f"Bearer {boss.key}", "accept": "text/event-stream"}
    seen: list[dict[str, Any]] = []
    with boss.client.stream("GET", f"{LOGS}/tail", headers=headers, timeout=60) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("id: ")
        assert next(lines) == "event: start"
        assert json.loads(next(lines).removeprefix("data: "))["delay_seconds"] == 75
        ask(boss, asked)
        ask(stranger, foreign)
        for line in lines:
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: ")))
                if seen[-1]["request_id"] == asked:
                    break
    headers["accept"] = "application/x-ndjson"
    streamed = boss.client.get(LOGS, headers=headers)

    assert foreign not in {line["request_id"] for line in seen}
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert asked in {json.loads(line)["request_id"] for line in streamed.text.splitlines() if line}
    for path in (LOGS, f"{LOGS}/tail", f"{LOGS}/summary"):
        assert user.send("GET", path).status_code == 403
