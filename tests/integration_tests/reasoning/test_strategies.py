"""Strategies over the real SDKs: followed by events, approved, cancelled, and with a large input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration_tests.platform import wait_for

if TYPE_CHECKING:
    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(180)

JOBS = "/api/v1/reasoning/jobs"
LAST_STEPS = {"plan_and_solve": "answer", "self_consistency": "sample_5", "research": "answer"}


@pytest.fixture(scope="module")
def boss(platform: Platform) -> Caller:
    return platform.caller(platform.new_tenant("premium"))


def follow(caller: Caller, job_id: str, last_event_id: str | None = None) -> list[tuple[str, Any]]:
    """Follow a job to its end; returns the name and the data of each event."""
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {caller.key}"}
    headers |= {} if last_event_id is None else {"last-event-id": last_event_id}
    events: list[tuple[str, Any]] = []
    with caller.client.stream("GET", f"{JOBS}/{job_id}", headers=headers, timeout=120) as answer:
        assert answer.status_code == 200
        name = ""
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            if field == "data":
                events.append((name, json.loads(value)))
    return events


def wait_until(caller: Caller, job_id: str, status: str) -> dict[str, Any]:
    job: dict[str, Any] = wait_for(
        lambda: caller.must("GET", f"{JOBS}/{job_id}"), lambda answer: answer["status"] == status
    )
    return job


@pytest.mark.parametrize("strategy", LAST_STEPS)
def test_a_job_is_followed_step_by_step_to_its_result(boss: Caller, strategy: str) -> None:
    boss.must("POST", JOBS, {"id": strategy, "text": "Why does it print twice?", "strategy": strategy})

    events = follow(boss, strategy)

    name, job = events[-1]
    assert (name, job["status"], job["error"]) == ("done", "succeeded", None)
    steps = [data["name"] for kind, data in events if kind == "step"]
    assert steps == [step["name"] for step in job["steps"]]
    assert LAST_STEPS[strategy] in steps
    assert job["usage"]["total_tokens"] == sum(step["usage"]["total_tokens"] for step in job["steps"])


def test_a_large_job_waits_for_a_person_and_ends_when_it_is_approved(boss: Caller) -> None:
    text = "The printer prints every page twice. " * 13_000
    body = {"id": "large", "text": text, "needs_approval": True, "model": "gpt-4.1"}
    boss.must("POST", JOBS, body)

    waiting = wait_until(boss, "large", "waiting")
    boss.must("POST", f"{JOBS}/large/approve", {"step": waiting["waiting_step"], "approved": True})

    assert follow(boss, "large")[-1][1]["status"] == "succeeded"


def test_a_job_that_waits_is_cancelled(boss: Caller) -> None:
    boss.must("POST", JOBS, {"id": "cancelled", "text": "Why?", "needs_approval": True})
    wait_until(boss, "cancelled", "waiting")

    boss.must("DELETE", f"{JOBS}/cancelled")

    assert boss.must("GET", f"{JOBS}/cancelled")["status"] == "cancelled"
