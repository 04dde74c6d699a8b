"""The tour against an app that answers from memory: what it asks, what it shows, when it gives up."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from local.supervisor.lock import locked
from local.supervisor.options import ROOT
from local.tour.__main__ import main
from local.tour.client import Api, TourError, wait_for
from local.tour.display import Display, Ways
from local.tour.exports import exports, known_keys, read_exports, write_exports
from local.tour.journey import (
    Answered,
    Asked,
    Budget,
    Isolation,
    Job,
    Journey,
    Shipped,
    Tenant,
    Turn,
    Words,
)
from local.tour.log_file import rotate


class FakeApp:
    """Answers the tour's requests, and remembers them."""

    def __init__(self, *, exists: bool = False) -> None:
        self.exists = exists
        self.requests: list[tuple[str, str]] = []
        self.shipped = 0
        self.turns = 0
        self.cuts_streams = False
        self.keys: list[dict[str, Any]] = []
        self.dead: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911  # one per route
        self.requests.append((request.method, request.url.path))
        if request.headers.get("authorization", "").removeprefix("Bearer ") in self.dead:
            return httpx.Response(401, json={})
        match request.method, request.url.path.split("/")[2:]:
            case "POST", ["v1", "tenants"]:
                return httpx.Response(409 if self.exists else 201, json={})
            case method, ["v1", "tenants", tenant, "keys", *rest]:
                return self.answer_of_keys(method, tenant, rest)
            case "PUT", _:
                return httpx.Response(200, json={})
            case "POST", ["v1", "bots", "helpdesk", "chat"]:
                return self.answer_of_chat(json.loads(request.content))
            case "POST", ["v1", "reasoning", "jobs"]:
                job_id = json.loads(request.content).get("id", "j0")
                url = f"/api/v1/reasoning/jobs/{job_id}"
                return httpx.Response(202, json={"job_id": job_id, "status_url": url})
            case "GET", ["v1", "reasoning", "jobs", job_id]:
                return self.job(request, job_id)
            case "GET", ["v1", "tokens", "status"]:
                return httpx.Response(200, json={"used_tokens": 20, "limit_tokens": 1000})
            case "GET", ["v1", "logs", "summary"]:
                return httpx.Response(200, json={"chunks": self.shipped, "days": [{"lines": 3}]})
            case _:
                self.shipped += 1
                return httpx.Response(202)

    def answer_of_chat(self, body: dict[str, Any]) -> httpx.Response:
        self.turns += 1
        done = {"turn": self.turns, "response": "Hello there", "usage": {"total_tokens": 10}}
        if not body.get("stream"):
            return httpx.Response(200, json=done)
        events = [("token", {"text": "Hello "}), ("token", {"text": "there"}), ("done", done)]
        if self.cuts_streams:
            events[-1] = ("error", {"error": "TruncatedAnswerError", "message": "broke off"})
        said = "".join(
            f": still at work\n\nevent: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events
        )
        return httpx.Response(200, text=said)

    def answer_of_keys(self, method: str, tenant: str, rest: list[str]) -> httpx.Response:
        if method == "DELETE":
            return httpx.Response(204)
        if method == "GET":
            return httpx.Response(200, json={"items": self.keys, "next_cursor": None})
        made = f"after-{rest[0]}" if rest else "x"
        return httpx.Response(201, json={"key": f"tk.{tenant}.{made}"})

    def job(self, request: httpx.Request, job_id: str) -> httpx.Response:
        if "globex" in request.headers["authorization"]:
            return httpx.Response(404, json={})
        body: dict[str, Any] = {
            "job_id": job_id,
            "status": "succeeded",
            "steps": [1, 2],
            "result": {"summary": "Short."},
            "usage": {"total_tokens": 30},
        }
        return httpx.Response(200, json=body)


def client(app: FakeApp) -> httpx.Client:
    return httpx.Client(base_url="http://app", transport=httpx.MockTransport(app))


def test_the_tour_takes_every_step_and_shows_it() -> None:
    app, console = FakeApp(), Console(record=True, width=120)
    display = Display(console)
    slowed: list[int] = []
    with client(app) as http:
        events = list(Journey(http, "admin", slow_down=lambda: slowed.append(app.turns)).walk())
    for event in events:
        display.show(event)
    addresses = {"app": "http://app", "cosmos": "http://cosmos"}
    ways = Ways(exports(addresses, "admin", display.tenants), Path("env.sh"))
    display.conclude(addresses, ways, 1.5)

    kinds = [type(event) for event in events]
    conversation = [Turn, Asked, Words, Words, Answered]
    rest = [Isolation, Job, Budget, Budget, Shipped]
    assert kinds == [Tenant, Tenant, *conversation, *conversation, *rest]
    assert slowed == [1, 3]
    shown = console.export_text()
    for words in (
        "acme created",
        "404",
        "succeeded in 2 steps",
        "2.0 %",
        "Tenantry is running",
        "tk.globex.x",
        "bot       Hello there",
        "globex · streamed · turn 4 · 10 tokens",
    ):
        assert words in shown
    assert ("POST", "/admin/functions/ship_logs") in app.requests


def test_a_stream_that_ends_with_an_error_stops_the_tour() -> None:
    app = FakeApp()
    app.cuts_streams = True
    with client(app) as http, pytest.raises(TourError, match="TruncatedAnswerError: broke off"):
        list(Journey(http, "admin").walk())


def test_a_tenant_of_an_earlier_run_is_welcomed_back() -> None:
    console = Console(record=True, width=120)
    with client(FakeApp(exists=True)) as http:
        Display(console).show(next(Journey(http, "admin").walk()))

    assert "still here from an earlier run" in console.export_text()


def a_key(key_id: str, name: str = "tour", status: str = "active", replaced_by: str = "") -> dict[str, Any]:
    return {"key_id": key_id, "name": name, "status": status, "replaced_by": replaced_by or None}


def test_a_key_of_the_last_run_that_is_good_is_used_again() -> None:
    app, console = FakeApp(exists=True), Console(record=True, width=120)
    with client(app) as http:
        first = next(Journey(http, "admin", {"acme": "tk.acme.kept"}).walk())
    Display(console).show(first)

    assert isinstance(first, Tenant)
    assert first.key == "tk.acme.kept"
    assert ("POST", "/api/v1/tenants/acme/keys") not in app.requests
    assert "still here from an earlier run, with its key" in console.export_text()


def test_a_key_that_is_not_good_any_more_is_rotated_and_what_is_left_over_is_revoked() -> None:
    app = FakeApp(exists=True)
    app.dead = {"tk.acme.lost"}
    app.keys = [
        a_key("theirs", name="production"),
        a_key("old", replaced_by="k1"),
        a_key("gone", status="revoked"),
        a_key("k1"),
        a_key("k2"),
    ]
    with client(app) as http:
        first = next(Journey(http, "admin", {"acme": "tk.acme.lost"}).walk())

    assert isinstance(first, Tenant)
    assert first.key == "tk.acme.after-k1"
    deleted = [path for method, path in app.requests if method == "DELETE" and "/acme/" in path]
    assert deleted == ["/api/v1/tenants/acme/keys/k2"]


def test_the_exports_are_private_and_come_back_as_they_were(tmp_path: Path) -> None:
    with client(FakeApp()) as http:
        tenants = [event for event in Journey(http, "admin").walk() if isinstance(event, Tenant)]
    addresses = {"app": "http://localhost:1", "llm": "http://localhost:2", "servicebus": "sb://localhost:3"}
    addresses["blob"] = "http://localhost:4/devstoreaccount1"
    variables = exports(addresses, "it's $secret", tenants)
    path = tmp_path / "env.sh"
    path.write_text("export OLD=1\n")
    path.chmod(0o644)

    write_exports(path, variables)

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_exports(path) == variables
    assert known_keys(variables) == {"acme": "tk.acme.x", "globex": "tk.globex.x"}
    assert [*variables] == [
        "TENANTRY_URL",
        "TENANTRY_TENANT",
        "TENANTRY_KEY",
        "TENANTRY_OTHER_TENANT",
        "TENANTRY_OTHER_KEY",
        "ADMIN_API_KEY",
        "TENANTRY_SERVICEBUS",
        "TENANTRY_STORAGE",
        "TENANTRY_LLM_URL",
    ]
    shell = subprocess.run(  # noqa: S603  # our own file
        ["/bin/sh", "-c", '. "$0" && printf "%s %s" "$TENANTRY_URL" "$ADMIN_API_KEY"', str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == "http://localhost:1 it's $secret"


def test_exports_that_are_not_there_or_broken_are_none(tmp_path: Path) -> None:
    assert read_exports(tmp_path / "env.sh") == {}
    (tmp_path / "env.sh").write_text("export A='")
    assert read_exports(tmp_path / "env.sh") == {}


def test_the_logs_of_the_last_five_runs_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "platform.log"
    for number in range(8):
        log.write_text(f"run {number}")
        rotate(log)
    log.touch()
    rotate(log)

    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"platform.log": ""} | {f"platform.log.{n}": f"run {8 - n}" for n in range(1, 6)}


def test_without_a_tenant_there_is_nothing_to_talk_to() -> None:
    console = Console(record=True, width=120)
    Display(console).conclude({"app": "http://app"}, Ways({}, Path("env.sh")), 1.0)

    assert "Talk to it" not in console.export_text()


def test_a_refusal_stops_the_tour_with_its_words() -> None:
    with (
        httpx.Client(
            base_url="http://app",
            transport=httpx.MockTransport(lambda _: httpx.Response(503, text="Cosmos DB is down")),
        ) as http,
        pytest.raises(TourError, match="POST /api/v1/tenants: 503 Cosmos DB is down"),
    ):
        Api(http, "key").create("/api/v1/tenants", {})


def test_what_never_comes_about_is_given_up() -> None:
    with pytest.raises(TourError, match="It did not happen within 0 s"):
        wait_for("It", lambda: 1, lambda _: False, seconds=0.2)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()

    assert main(["--data-dir", str(tmp_path / "file" / "data")]) == 1
    assert "cannot be written to (Not a directory): choose another one" in capsys.readouterr().err


def run_tour(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "local.tour", "--data-dir", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.slow
async def test_a_second_run_on_the_folder_says_so_and_leaves_the_first_ones_log(tmp_path: Path) -> None:
    log = tmp_path / "platform.log"
    log.write_text("what the first one says\n")

    async with locked(tmp_path):
        second = run_tour(tmp_path)

    assert second.returncode == 1
    assert second.stderr.startswith(f"local: {tmp_path} is in use by another local platform")
    assert log.read_text().startswith("what the first one says\n")


@pytest.mark.slow
def test_a_run_that_cannot_start_says_why_in_place_of_an_earlier_ones_log(tmp_path: Path) -> None:
    log = tmp_path / "platform.log"
    log.write_text("what an earlier one said\n" * 100)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        run = run_tour(tmp_path, "--only", "cosmos", "--cosmos-port", str(port))

    assert run.returncode == 2
    assert run.stderr.startswith(f"local: cosmos: port {port} is already in use")
    assert run.stderr == f"{log.read_text()}All that was said before is in {log}\n"
    assert (tmp_path / "platform.log.1").read_text() == "what an earlier one said\n" * 100


@pytest.mark.slow
def test_the_end_of_a_platform_that_nobody_has_stopped_is_told(tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "local.tour",
        "--data-dir",
        str(tmp_path),
        "--only",
        "llm",
        "--llm-port",
        "0",
    ]
    with subprocess.Popen(  # noqa: S603  # our own command line
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tour:
        assert tour.stdout is not None
        assert any("platform.log" in said for said in tour.stdout)
        os.kill(int((tmp_path / "lock").read_text()), signal.SIGKILL)
        _, told = tour.communicate(timeout=30)

    assert tour.returncode != 0
    assert told.endswith(f"All that was said before is in {tmp_path / 'platform.log'}\n")
