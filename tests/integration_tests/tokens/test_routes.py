"""`/tokens/*` and `/usage` over real sockets, on two instances that are killed and started again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration_tests.platform import Caller, running_platform

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

LIMIT = 200_000
"""What a tenant of the standard tier may use in any 60 seconds."""

SIZE = 15_000
ASKING = 40
PARTS = ("--instances", "2", "--only", "host,cosmos,servicebus,llm")


def lock(caller: Caller, tokens: int = SIZE, query: str = "") -> httpx.Response:
    return caller.send("POST", f"/api/v1/tokens/lock{query}", {"app_id": "bot", "token_count": tokens})


def report(caller: Caller, request_id: str, prompt: int, completion: int = 0) -> Any:  # noqa: ANN401  # JSON
    body = {"app_id": "bot", "request_id": request_id}
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "user_id": "u1"}
    return caller.must("POST", "/api/v1/tokens/report", body | counts)


def status(caller: Caller) -> Any:  # noqa: ANN401  # JSON
    return caller.must("GET", "/api/v1/tokens/status?app_id=bot")


@pytest.mark.timeout(240)
def test_two_instances_hand_out_one_budget_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_platform(data, *PARTS) as first:
        tenant = first.new_tenant()
        boss = first.caller(tenant)
        with ThreadPoolExecutor(ASKING) as pool:  # each on a connection of its own, to one of the instances
            answers = list(pool.map(lambda _: lock(boss), range(ASKING)))
        granted = [one.json()["request_id"] for one in answers if one.json()["allowed"]]
        assert {one.status_code for one in answers} == {200}
        assert len(granted) == LIMIT // SIZE
        assert status(boss)["locked_tokens"] == SIZE * len(granted)
        refused = lock(boss, query="?strict=true")
        assert (refused.status_code, refused.json()["request_id"]) == (429, None)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-ratelimit-remaining-tokens"] == str(LIMIT - SIZE * len(granted))
        used, unused, later, *_ = granted
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda _: report(boss, used, 700, 300), range(8)))
        assert told == [{"success": True}] * 8
        boss.must("POST", "/api/v1/tokens/release", {"app_id": "bot", "request_id": unused})
        before = status(boss)
        assert (before["used_tokens"], before["used_requests"]) == (1_000, 1)
        first.kill_everything()

    with running_platform(data, *PARTS) as second:
        again = Caller(second.client, boss.key)
        assert report(again, used, 700, 300) == {"success": True}
        assert report(again, unused, 1) == {"success": True}  # it was given back: this changes nothing
        assert report(again, later, 20, 5) == {"success": True}
        [row] = again.must("GET", "/api/v1/usage?group_by=app_id,user_id")["items"]
        assert (row["app_id"], row["user_id"], row["requests"]) == ("bot", "u1", 2)
        assert (row["prompt_tokens"], row["completion_tokens"]) == (720, 305)
        stranger = second.caller(second.new_tenant())
        foreign = {"app_id": "bot", "request_id": later}
        assert stranger.send("POST", "/api/v1/tokens/release", foreign).status_code == 404
        assert stranger.must("GET", "/api/v1/usage")["items"] == []
