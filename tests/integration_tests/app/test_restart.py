"""Kill -9 of the whole stack: what was acknowledged is there when it starts again with the same folder."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local.supervisor.lock import is_locked
from tests.integration_tests.platform import ROOT, Caller, running_platform, wait_for

if TYPE_CHECKING:
    from pathlib import Path


JOBS = 12
LOCK_SECONDS = 6
HOLD_SECONDS = 8
"""The order of the app's own, 60 and 75: a lock ends first, and who gets the message again waits a little."""


@pytest.mark.timeout(240)
def test_tenants_conversations_and_queued_jobs_survive_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "data"
    flags = ("--servicebus-config", str(queues_with_short_locks(tmp_path)))
    settings = {"REASONER_HOLD_SECONDS": str(HOLD_SECONDS)}
    with running_platform(data, *flags, settings=settings) as first:
        tenant = first.new_tenant()
        boss = first.caller(tenant)
        boss.must("PUT", "/api/v1/bots/helpdesk", {"system_prompt": "You help."})
        turn = boss.must("POST", "/api/v1/bots/helpdesk/chat", {"message": "One", "conversation_id": "c1"})
        jobs = [
            boss.must("POST", "/api/v1/reasoning/jobs", {"id": f"job-{number}", "text": f"Text {number}"})
            for number in range(JOBS)
        ]
        first.kill_everything()

    with running_platform(data, *flags, settings=settings) as second:
        again = Caller(second.client, boss.key)
        stored = again.must("GET", "/api/v1/bots/helpdesk/conversations/c1")
        assert [item["response"] for item in stored["items"]] == [turn["response"]]
        following = again.must(
            "POST", "/api/v1/bots/helpdesk/chat", {"message": "Two", "conversation_id": "c1"}
        )
        assert following["turn"] == 2
        # A message that was in work when it was killed comes back when its lock ends.
        for job in jobs:
            done = wait_for(
                lambda url=job["status_url"]: again.must("GET", url),  # type: ignore[misc]  # bound per job
                lambda found: found["status"] == "succeeded",
                seconds=120,
            )
            assert len(done["steps"]) == 2


@pytest.mark.timeout(120)
def test_no_part_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_platform(data) as first:
        first.process.kill()
        first.process.wait(30)

    # The folder is locked for as long as any part of the first platform runs.
    with running_platform(data) as second:
        assert second.client.get("/api/health/live").status_code == 200


@pytest.mark.timeout(120)
def test_nothing_outlives_a_killed_tour(tmp_path: Path) -> None:
    options = ["--data-dir", str(tmp_path)]
    for part in ("", "cosmos-", "servicebus-", "llm-", "azurite-"):
        options += [f"--{part}port", "0"]
    with subprocess.Popen(  # noqa: S603  # our own command line
        [sys.executable, "-m", "local.tour", *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as tour:
        assert tour.stdout is not None
        assert any("Tenant acme" in line for line in tour.stdout)
        assert is_locked(tmp_path)
        tour.kill()

    wait_for(lambda: not is_locked(tmp_path), bool, seconds=60)


def queues_with_short_locks(folder: Path) -> Path:
    """Declare the platform's queues with locks that end sooner."""
    config = json.loads((ROOT / "local" / "servicebus" / "Config.json").read_text())
    for queue in config["UserConfig"]["Namespaces"][0]["Queues"]:
        queue["Properties"]["LockDuration"] = f"PT{LOCK_SECONDS}S"
    written = folder / "Config.json"
    written.write_text(json.dumps(config))
    return written
