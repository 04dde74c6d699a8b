"""The worker runtime and whole hosts, each in a process of its own because the runtime's state is global."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration_tests.local_host.running import APPS, command, environment, running_host, wait_for
from tests.support.plain_http import plain_http

if TYPE_CHECKING:
    from pathlib import Path


def _drive(app: Path) -> dict[str, Any]:
    ended = subprocess.run(  # noqa: S603 -- our own command line
        [sys.executable, "-m", "tests.unit_tests.local_host.drive_worker", str(app)],
        capture_output=True,
        text=True,
        env=environment({}),
        timeout=60,
        check=True,
    )
    outcome: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return outcome


@pytest.mark.slow
def test_an_app_of_fastapi_types_is_driven_in_process() -> None:
    driven = _drive(APPS / "streaming")
    assert driven["streams"]
    assert driven["unknown"]
    assert driven["remembered"] == 0
    assert driven["answers"] == {
        "/ping": [200, "pong"],
        "/fails": [500, "Internal Server Error"],
        "/numbers/3": [200, "0\n1\n2\n"],
        "/fails_midway": [200, "first\n"],
        "/fails_midway broke": "midway on purpose",
    }


@pytest.mark.slow
def test_an_app_of_classic_types_is_driven() -> None:
    driven = _drive(APPS / "classic")
    assert not driven["streams"]
    assert driven["answers"]["/text"] == "Hello World!"
    assert driven["answers"]["/nothing"] is None
    assert driven["answers"]["/cookies"] == [200, "ok"]


@pytest.mark.slow
def test_triggers_and_retry_policies_are_indexed() -> None:
    driven = _drive(APPS / "triggers")
    over_http = {name for name, is_http in driven["functions"].items() if is_http}
    assert {"copies", "send"} <= over_http
    assert not over_http & {"ticks", "takes_blob", "takes_message"}
    assert driven["retries"] == {"stubborn": 2, "patient": 2}


@pytest.mark.slow
def test_what_the_runtime_refuses_is_told(tmp_path: Path) -> None:
    refused = _drive(APPS / "broken_import")
    assert "a_module_that_nobody_wrote" in refused["refused"]
    assert refused["stack"]
    assert "function_app.py is not in" in _drive(tmp_path)["refused"]


@pytest.mark.slow
def test_a_host_runs_while_its_services_are_out_of_reach_and_stops_when_told(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.touch()
    settings = {
        "RECORD": str(record),
        "TICK": "*/1 * * * * *",
        "PLAIN_QUEUE": "plain",
        "WEBSITE_TIME_ZONE": "Europe/Berlin",
        "SERVICEBUS": "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://127.0.0.1:1",
        "AzureWebJobs.takes_batch.Disabled": "true",
    }
    with running_host("triggers", tmp_path, "--auth", settings=settings) as host:
        wait_for(lambda: "ticks" in record.read_text())
        assert plain_http.get(host.url).status_code == 200
        assert plain_http.get(f"{host.url}/admin/host/status").status_code == 401


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "there is no setting TICK"),
        ({"TICK": "soon", "PLAIN_QUEUE": "q"}, "the schedule 'soon'"),
        (
            {"TICK": "0 0 0 * * *", "PLAIN_QUEUE": "q"},
            "'Functions.takes_blob' was unable to start: Storage connection",
        ),
        (
            {"TICK": "0 0 0 * * *", "PLAIN_QUEUE": "q", "WEBSITE_TIME_ZONE": "Nowhere/Land"},
            "there is no time zone 'Nowhere/Land'",
        ),
    ],
)
@pytest.mark.slow
def test_a_setting_that_is_missing_or_wrong_is_one_clear_line(
    settings: dict[str, str], reason: str, tmp_path: Path
) -> None:
    with running_host("triggers", tmp_path, settings=settings) as host:
        assert reason in plain_http.get(f"{host.url}/api/copies").json()["message"]
    assert reason in next(line for line in host.stderr if line.startswith("The function app in "))


@pytest.mark.slow
def test_several_worker_processes_are_refused_by_name(tmp_path: Path) -> None:
    ended = subprocess.run(  # noqa: S603 -- our own command line
        command("classic", tmp_path),
        capture_output=True,
        text=True,
        env=environment({"FUNCTIONS_WORKER_PROCESS_COUNT": "4"}),
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "FUNCTIONS_WORKER_PROCESS_COUNT is 4" in ended.stderr
