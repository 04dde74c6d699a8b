"""The HTTP front on requests in memory: routes, limits, keys, answers and the host's own pages."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.host.admin import Admin
from local.host.bindings import (
    BlobBinding,
    BlobTrigger,
    Function,
    HttpResponseBinding,
    HttpTrigger,
    Queue,
    ServiceBusTrigger,
    TimerTrigger,
    WarmupTrigger,
)
from local.host.depths import QueueReport
from local.host.executor import Executor, Limits
from local.host.hostjson import HttpOptions
from local.host.http_front import FrontOptions, HttpFront, RouteConflictError, RouteTable
from local.host.http_messages import BodyBounds, classic_response
from local.host.instances import Board
from local.host.invocation import HttpInput, HttpOutput, Json, Outcome
from local.host.keys import Keys, load_keys
from local.host.logs import LogLevels
from local.host.status import HostState, HostStatus
from tests.unit_tests.local_host.fakes import FAILED, Browser, FakeServices, FakeWorker, a_function, settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.host.invocation import Invocation, Receive, Scope, Send, Value

_RETURN = HttpResponseBinding("$return")


class _ByHand:
    """Remembers what it was asked to start."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []

    def start(self, function: Function, text: str) -> None:
        """Remember it."""
        self.started.append((function.name, text))


async def no_queues() -> QueueReport:
    return QueueReport()


class _Site:
    """A front over functions that are one function of the test."""

    def __init__(  # noqa: PLR0913 -- each test sets one or two of them
        self,
        *functions: Function,
        body: Callable[[Invocation], Awaitable[Outcome]] | None = None,
        app: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None,
        options: FrontOptions | None = None,
        home_page: bool = True,
        queues: Callable[[], Awaitable[QueueReport]] | None = None,
        errors: tuple[str, ...] = (),
    ) -> None:
        options = options or FrontOptions(HttpOptions(), BodyBounds(10), app is not None)
        self.worker = FakeWorker(body or self._echo, app=app)
        self.services = FakeServices()
        executor = Executor(
            self.worker, self.services, Limits(timedelta(seconds=30)), LogLevels({"default": "None"})
        )
        self.by_hand = _ByHand()
        state = HostState(
            "app",
            "http://localhost:1",
            "api",
            functions,
            executor.tallies,
            lambda: [{"BlobName": "p"}],
            errors,
        )
        status = HostStatus(state, Board(Path("absent")), queues or no_queues)
        admin = Admin(status, self.by_hand, options.keys, home_page=home_page)
        self.front = HttpFront(RouteTable(functions, options.http.route_prefix), executor, admin, options)

    @staticmethod
    async def _echo(invocation: Invocation) -> Outcome:
        request = invocation.inputs["req"]
        assert isinstance(request, HttpInput)
        return Outcome(return_value=request.body or b"empty")

    async def get(self, target: str, **headers: str) -> Browser:
        return await Browser().request(self.front, "GET", target, headers=headers)


def _http(
    route: str, name: str = "work", methods: tuple[str, ...] = ("GET", "POST"), level: str = "anonymous"
) -> Function:
    return a_function(HttpTrigger("req", route, methods, level), name=name, outputs=[_RETURN])  # type: ignore[arg-type] # a text


async def test_a_request_reaches_the_function_of_the_most_precise_route() -> None:
    site = _Site(_http("a/{*rest}", "rest"), _http("a/{id:int}", "one"), _http("a/b", "literal"))
    for target in ("/api/a/b", "/api/a/7", "/api/a/x/y"):
        assert (await site.get(target)).status == 200
    assert [invocation.function_id for invocation in site.worker.invocations] == [
        "id-of-literal",
        "id-of-one",
        "id-of-rest",
    ]


async def test_another_method_or_path_and_a_disabled_function_are_a_404() -> None:
    disabled = Function("off", "id", HttpTrigger("req", "off"), disabled=True)
    site = _Site(_http("a"), disabled)
    assert (await site.get("/api/b")).status == 404
    assert (await site.get("/api/off")).status == 404
    assert (await Browser().request(site.front, "DELETE", "/api/a")).status == 404


def test_a_route_that_the_host_keeps_is_refused() -> None:
    with pytest.raises(RouteConflictError, match="'work' function is in error"):
        RouteTable([_http("admin/x")], "")


async def test_a_catch_all_at_the_root_leaves_the_host_its_own_addresses() -> None:
    site = _Site(
        _http("{*rest}"), options=FrontOptions(HttpOptions(route_prefix=""), BodyBounds(10), streams=False)
    )
    assert (await site.get("/anything")).body == b"empty"
    assert (await site.get("/admin/host/ping")).body == b""


async def test_a_warm_up_runs_the_functions_that_are_there_for_it() -> None:
    site = _Site(a_function(WarmupTrigger("warm"), name="warms"), _http("a"))
    assert (await site.get("/admin/warmup")).status == 200
    assert site.by_hand.started == [("warms", "")]


async def test_a_body_over_the_limit_is_a_413() -> None:
    site = _Site(_http("a"))
    declared = {"content-length": "11"}
    assert (await Browser().request(site.front, "POST", "/api/a", headers=declared)).status == 413
    assert (
        await Browser().request(site.front, "POST", "/api/a", chunks=[b"123456", b"123456"])
    ).status == 413
    assert (
        await Browser().request(site.front, "POST", "/api/a", chunks=[b"12345", b"12345"])
    ).body == b"1234512345"


async def test_a_client_that_leaves_early_gets_nothing_and_runs_nothing() -> None:
    site = _Site(_http("a"))
    assert (await Browser().request(site.front, "POST", "/api/a", leaves=True)).status == 0
    assert site.worker.invocations == []


async def test_a_streaming_function_that_reads_too_much_is_answered_413() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while (await receive()).get("more_body"):
                pass
        finally:
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"error"})

    site = _Site(_http("a"), app=app, body=lambda _: _outcome(FAILED))
    answer = await Browser().request(site.front, "POST", "/api/a", chunks=[b"123456", b"123456"])
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "PayloadTooLargeError")


async def _outcome(outcome: Outcome) -> Outcome:
    return outcome


async def _answer(outcome: Outcome, _invocation: Invocation) -> Outcome:
    return outcome


async def test_a_streaming_function_without_an_answer_is_a_500() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    site = _Site(_http("a"), app=app, body=lambda _: _outcome(FAILED))
    assert (await site.get("/api/a")).status == 500


@pytest.mark.parametrize(
    ("value", "status", "content_type", "body"),
    [
        (None, 204, "", b""),
        ("text", 200, "text/plain; charset=utf-8", b"text"),
        (b"raw", 200, "application/octet-stream", b"raw"),
        (Json("{}"), 200, "application/json; charset=utf-8", b"{}"),
        (7, 200, "text/plain; charset=utf-8", b"7"),
        (HttpOutput(201, [("X-A", "1"), ("Content-Length", "99")], b"made"), 201, "", b"made"),
    ],
)
async def test_a_value_becomes_an_answer(value: Value, status: int, content_type: str, body: bytes) -> None:
    site = _Site(_http("a"), body=lambda _: _outcome(Outcome(return_value=value)))
    answer = await site.get("/api/a")
    assert (answer.status, answer.headers.get("content-type", ""), answer.body) == (
        status,
        content_type,
        body,
    )
    if status == 201:
        assert (answer.headers["x-a"], answer.headers["content-length"]) == ("1", "4")


async def test_a_value_that_is_no_answer_and_a_failure_are_a_500() -> None:
    with pytest.raises(TypeError):
        classic_response(["a"])
    for outcome in (Outcome(return_value=["a"]), FAILED):
        body = partial(_answer, outcome)
        assert (await _Site(_http("a"), body=body).get("/api/a")).status == 500


async def test_a_named_output_is_the_answer_and_expressions_see_the_request() -> None:
    function = a_function(
        HttpTrigger("req", "a/{id}"),
        outputs=[HttpResponseBinding("resp"), BlobBinding("$return", "c/{id}-{query.q}-{headers.x-h}", "")],
    )
    site = _Site(function, body=lambda _: _outcome(Outcome("blob", {"resp": "answer"})))
    answer = await Browser().request(site.front, "GET", "/api/a/7?q=8", headers={"X-H": "9"})
    assert answer.body == b"answer"
    assert site.services.blobs == {"c/7-8-9": b"blob"}


async def test_a_named_output_that_was_not_set_answers_200() -> None:
    async def nothing(_invocation: Invocation) -> Outcome:
        return Outcome()

    function = a_function(HttpTrigger("req", "a"), outputs=[HttpResponseBinding("response")])
    answer = await _Site(function, body=nothing).get("/api/a")
    assert (answer.status, answer.body) == (200, b"")


async def test_requests_over_max_outstanding_are_a_429_and_concurrency_is_bounded() -> None:
    release = asyncio.Event()

    async def body(_invocation: Invocation) -> Outcome:
        await release.wait()
        return Outcome("x")

    options = HttpOptions(max_outstanding_requests=2, max_concurrent_requests=1)
    site = _Site(_http("a"), body=body, options=FrontOptions(options, BodyBounds(10), streams=False))
    waiting = [asyncio.create_task(site.get("/api/a")) for _ in range(2)]
    await settle()
    assert (await site.get("/api/a")).status == 429
    assert len(site.worker.invocations) == 1
    release.set()
    assert [browser.status for browser in await asyncio.gather(*waiting)] == [200, 200]


async def test_levels_are_enforced_with_keys() -> None:
    keys = Keys("master", "host", {"work": "own"})
    functions = (
        _http("open", "open"),
        _http("keyed", level="function"),
        _http("admins", "admins", level="admin"),
    )
    site = _Site(*functions, options=FrontOptions(HttpOptions(), BodyBounds(10), streams=False, keys=keys))

    async def statuses(path: str) -> list[int]:
        given = [await site.get(f"{path}?code={key}") for key in ("", "own", "host", "master")]
        return [browser.status for browser in given]

    assert await statuses("/api/open") == [200, 200, 200, 200]
    assert await statuses("/api/keyed") == [401, 200, 200, 200]
    assert await statuses("/api/admins") == [401, 401, 401, 200]
    assert await statuses("/admin/host/status") == [401, 401, 401, 200]
    assert (await site.get("/admin/host/ping")).status == 200
    assert (await site.get("/api/keyed", **{"X-Functions-Key": "own"})).status == 200


def test_keys_are_made_once_and_new_functions_get_theirs(tmp_path: Path) -> None:
    first = load_keys(tmp_path / "keys.json", ["a"])
    second = load_keys(tmp_path / "keys.json", ["a", "b"])
    assert load_keys(tmp_path / "keys.json", ["a", "b"]) == second
    assert (first.master, first.functions["a"]) == (second.master, second.functions["a"])
    assert len({second.master, second.host, *second.functions.values()}) == 4
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0


async def test_the_hosts_own_pages() -> None:
    functions = (
        _http("a"),
        a_function(TimerTrigger("t", "0 * * * * *"), name="Clock"),
        a_function(ServiceBusTrigger("m", Queue("orders"), ""), name="queue"),
        a_function(BlobTrigger("b", "c/{x}", ""), name="blob"),
    )
    site = _Site(*functions)
    await site.get("/api/a")
    home = await site.get("/")
    assert b"work: [GET,POST] http://localhost:1/api/a" in home.body
    status = json.loads((await site.get("/admin/host/status")).body)
    assert [(each["trigger"], each["address"], each["invocations"]) for each in status["functions"]] == [
        ("httpTrigger", "[GET,POST] http://localhost:1/api/a", 1),
        ("timerTrigger", "0 * * * * *", 0),
        ("serviceBusTrigger", "orders", 0),
        ("blobTrigger", "c/{x}", 0),
    ]
    assert status["poisonBlobs"] == [{"BlobName": "p"}]
    assert len(json.loads((await site.get("/admin/functions")).body)) == 4
    assert json.loads((await site.get("/admin/functions/clock")).body)["invoke_url_template"] is None
    assert json.loads((await site.get("/admin/functions/clock/status")).body) == {"errors": None}
    for target in ("/admin", "/admin/functions/absent", "/admin/functions/clock/else", "/elsewhere"):
        assert (await site.get(target)).status == 404
    assert (await _Site(home_page=False).get("/")).status == 204


async def test_a_browser_gets_the_view_and_anybody_else_a_text() -> None:
    site = _Site(_http("a"))
    view = await site.get("/admin/host/view")
    assert view.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in view.headers["content-security-policy"]
    assert (await site.get("/", accept="text/html,*/*")).body == view.body
    assert b"<html" not in (await site.get("/", accept="*/*")).body


async def test_the_state_tells_of_queues_and_of_how_long_calls_take() -> None:
    async def queues() -> QueueReport:
        return QueueReport({"work": {"active": 3, "dead_lettered": 1}})

    site = _Site(_http("a"), queues=queues)
    await site.get("/api/a")
    (function,) = json.loads((await site.get("/admin/host/status")).body)["functions"]
    assert function["queue"] == {"active": 3, "dead_lettered": 1}
    assert function["averageMilliseconds"] >= 0
    assert function["lastEnded"].endswith("+00:00")


async def test_an_app_that_does_not_run_answers_503_with_its_reason_everywhere() -> None:
    site = _Site(errors=("function_app.py: no module named 'x'",))
    for target in ("/api/a", "/", "/elsewhere"):
        answer = await site.get(target)
        assert answer.status == 503
        assert "no module named 'x'" in json.loads(answer.body)["message"]
    page = await site.get("/", accept="text/html")
    assert (page.status, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    status = json.loads((await site.get("/admin/host/status")).body)
    assert (status["state"], status["errors"]) == ("Error", ["function_app.py: no module named 'x'"])
    assert (await site.get("/admin/host/ping")).status == 200


async def test_the_view_fits_a_phone_and_names_each_figure() -> None:
    view = (await _Site().get("/admin/host/view")).body.decode()
    assert "@media (max-width: 56rem)" in view
    assert "attr(data-head)" in view
    assert "status.errors" in view


@pytest.mark.parametrize(
    ("body", "status", "started"),
    [
        (b'{"input": "x"}', 202, ["x"]),
        (b'{"input": {"a": 1}}', 202, ['{"a": 1}']),
        (b"{}", 202, [""]),
        (b"[]", 400, []),
        (b"", 400, []),
    ],
)
async def test_a_function_is_run_by_hand(body: bytes, status: int, started: list[str]) -> None:
    options = FrontOptions(HttpOptions(), BodyBounds(100), streams=False)
    site = _Site(a_function(TimerTrigger("t", "0 * * * * *"), name="Clock"), options=options)
    kind = {"content-type": "application/json; charset=utf-8"}
    target = "/admin/functions/CLOCK"
    answer = await Browser().request(site.front, "POST", target, headers=kind, chunks=[body])
    assert answer.status == status
    # What a page of another origin can send without being asked first runs nothing.
    simple = {"content-type": "text/plain"}
    assert (await Browser().request(site.front, "POST", target, headers=simple, chunks=[body])).status == 415
    assert site.by_hand.started == [("Clock", text) for text in started]


async def test_only_http_is_served() -> None:
    async def nothing(*_: object) -> dict[str, object]:
        return {}

    with pytest.raises(RuntimeError, match="no websocket connections"):
        await _Site().front({"type": "websocket"}, nothing, nothing)  # type: ignore[arg-type] # never called
