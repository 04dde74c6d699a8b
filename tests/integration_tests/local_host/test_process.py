"""How a host starts, refuses and stops."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.local_host.running import command, environment, running_host
from tests.support.plain_http import plain_http

if TYPE_CHECKING:
    from pathlib import Path


def _refused(app: str, data_dir: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- our own command line
        command(app, data_dir, *flags),
        capture_output=True,
        text=True,
        env=environment({}),
        timeout=60,
        check=False,
    )


def test_a_folder_without_a_host_json_is_refused_with_its_reason(tmp_path: Path) -> None:
    ended = _refused("", tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == ""
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("The function app in ")
    assert "no host.json in" in last


def _assert_stays_up(app: str, data_dir: Path, reason: str) -> list[str]:
    """Check that a host answers with the reason why its app does not run, and return what it logged."""
    with running_host(app, data_dir) as host:
        for path in ("/", "/api/anything"):
            answer = plain_http.get(f"{host.url}{path}")
            assert answer.status_code == 503
            assert reason in answer.json()["message"]
        status = plain_http.get(f"{host.url}/admin/host/status").json()
        assert status["state"] == "Error"
        assert reason in status["errors"][0]
    assert reason in next(line for line in host.stderr if line.startswith("The function app in "))
    return host.stderr


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("broken_import", "No module named 'a_module_that_nobody_wrote'"),
        ("broken_binding", "the binding type 'eventHubTrigger' is not supported"),
        ("sdk_types", "the parameter 'client' of blob is an SDK type"),
    ],
)
def test_an_app_that_cannot_run_leaves_the_host_up_with_its_reason(
    app: str, reason: str, tmp_path: Path
) -> None:
    _assert_stays_up(app, tmp_path, reason)


_APP = "import azure.functions as func\napp = func.FunctionApp()\n"
_HTTP = "@app.route(route='{route}')\ndef {name}(req: func.HttpRequest) -> str:\n    return ''\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(:\n", "SyntaxError: invalid syntax"),
        ("raise RuntimeError('while it was imported')\n", "RuntimeError: while it was imported"),
        ("app = None\n", "Could not find top level function app instances in function_app.py"),
        (
            _APP + _HTTP.format(name="twice", route="a") + _HTTP.format(name="twice", route="b"),
            "Function twice does not have a unique function name",
        ),
        (
            _APP
            + "@app.route(route='a')\ndef work(req: func.HttpRequest, more: str) -> str:\n    return ''\n",
            "the following parameters are declared in Python but not in the function definition",
        ),
        (_APP + _HTTP.format(name="work", route="a/{x:wonder}"), "wonder"),
        (_APP + _HTTP.format(name="work", route="{x}/{x}"), "has a parameter twice"),
        (
            _APP + "@app.timer_trigger(arg_name='t', schedule='soon')\n"
            "def work(t: func.TimerRequest) -> None:\n    pass\n",
            "the schedule 'soon'",
        ),
        (
            _APP + "@app.queue_trigger(arg_name='m', queue_name='q', connection='C')\n"
            "def work(m: func.QueueMessage) -> None:\n    pass\n",
            "the binding type 'queueTrigger' is not supported",
        ),
    ],
)
def test_what_keeps_an_app_from_being_indexed_is_told(source: str, reason: str, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "host.json").write_text('{"version": "2.0"}')
    (app / "function_app.py").write_text(source)
    _assert_stays_up(str(app), tmp_path / "data", reason)


def test_an_app_that_fails_to_import_is_told_as_azure_logs_it(tmp_path: Path) -> None:
    logged = "".join(_assert_stays_up("broken_import", tmp_path, "No module named"))
    assert "Worker failed to index functions\nResult: Failure\n" in logged
    assert "Traceback (most recent call last)" in logged


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()", "BaseException('a panic')"])
def test_an_import_that_ends_in_whatever_way_leaves_the_host_up(error: str, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "host.json").write_text('{"version": "2.0"}')
    (app / "function_app.py").write_text(f"raise {error}\n")
    _assert_stays_up(str(app), tmp_path / "data", error.partition("(")[0])


def test_origins_that_local_settings_allow_may_ask(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "host.json").write_text('{"version": "2.0"}')
    (app / "function_app.py").write_text(_APP + _HTTP.format(name="work", route="a"))
    (app / "local.settings.json").write_text(
        '{"Host": {"CORS": "https://a.example", "CORSCredentials": true, "LocalHttpPort": 1}, "Values": {}}'
    )
    with running_host(str(app), tmp_path / "data") as host:
        ours, others = {"origin": "https://a.example"}, {"origin": "https://b.example"}
        answer = plain_http.get(f"{host.url}/api/a", headers=ours)
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert (
            "access-control-allow-origin" not in plain_http.get(f"{host.url}/api/a", headers=others).headers
        )
        asking = {"access-control-request-method": "PUT", "access-control-request-headers": "x-a"}
        asked = plain_http.options(f"{host.url}/api/a", headers=ours | asking)
        assert (asked.status_code, asked.headers["access-control-allow-methods"]) == (204, "PUT")
        assert asked.headers["access-control-allow-headers"] == "x-a"
        host.wait_for_line("the option 'Host.LocalHttpPort' is not supported")


def test_a_taken_port_is_exit_code_2_and_one_line(tmp_path: Path) -> None:
    with running_host("classic", tmp_path / "a") as host:
        ended = _refused("classic", tmp_path / "b", "--port", str(host.port))
    assert ended.returncode == 2
    assert (
        ended.stderr
        == f"port {host.port} is already in use: stop what listens there, or choose another one\n"
    )


def test_the_host_stops_when_its_supervisor_is_gone(tmp_path: Path) -> None:
    with running_host("classic", tmp_path) as host:
        assert host.process.stdin is not None
        host.process.stdin.close()
        host.process.stdin = None
        assert host.process.wait(30) == 0


def test_a_stop_lets_a_request_in_flight_finish(tmp_path: Path) -> None:
    with (
        running_host("streaming", tmp_path) as host,
        plain_http.stream("GET", f"{host.url}/api/nap/1500") as answer,
    ):
        host.process.terminate()
        host.wait_for_line("Stopping")
        assert answer.read() == b"slept"
        assert host.process.wait(30) == 0


def test_a_synchronous_function_that_hangs_is_told_failed_and_holds_no_stop_up(tmp_path: Path) -> None:
    with running_host("streaming", tmp_path) as host:
        assert plain_http.get(f"{host.url}/api/nap/60000", timeout=20).status_code == 500
        host.process.terminate()
        assert host.process.wait(20) == 0
        host.wait_for_line("a synchronous function is still running; it is left behind")
