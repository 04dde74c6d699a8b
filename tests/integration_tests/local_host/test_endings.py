"""Whatever a request or a function does, over real sockets: an answer, and a host that goes on."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration_tests.local_host.running import running_host, wait_for
from tests.support.plain_http import plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.local_host.running import RunningHost

WAYS = ("error", "exit", "interrupt", "panic", "cancelled", "generator_exit")


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host of the app whose functions end in every way."""
    with running_host("endings", tmp_path_factory.mktemp("endings")) as host:
        yield host


def _tally(host: RunningHost, function: str) -> dict[str, int]:
    status = plain_http.get(f"{host.url}/admin/host/status").json()
    found: dict[str, int] = next(one for one in status["functions"] if one["name"] == function)
    return found


def _speak(host: RunningHost, sent: bytes, seconds: float = 20) -> tuple[int, dict[str, str], bytes]:
    """Send bytes and read one answer until the connection ends."""
    with socket.create_connection(("127.0.0.1", host.port), timeout=seconds) as client:
        client.sendall(sent)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def _assert_shape(status: int, headers: dict[str, str], body: bytes, error: str) -> None:
    content = json.loads(body)
    assert (content["error"], set(content)) == (
        error,
        {"error", "message", "detail", "timestamp", "request_id"},
    ), status
    assert headers["x-request-id"] == content["request_id"].lower()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", ["ends", "ends_in_a_thread", "ends_in_a_child"])
def test_a_function_that_ends_in_whatever_way_is_a_500_and_a_failure(
    endings: RunningHost, function: str, way: str
) -> None:
    before = _tally(endings, function)["failures"]
    assert plain_http.get(f"{endings.url}/api/{function}/{way}", timeout=10).status_code == 500
    after = _tally(endings, function)
    assert (after["failures"], after["running"]) == (before + 1, 0)


def test_a_function_that_cancels_its_own_task_is_a_500(endings: RunningHost) -> None:
    assert plain_http.get(f"{endings.url}/api/cancels_itself", timeout=10).status_code == 500


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_ends_midway_is_cut_off_and_the_host_goes_on(endings: RunningHost, way: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        plain_http.get(f"{endings.url}/api/ends_midway/{way}", timeout=10)
    assert plain_http.get(f"{endings.url}/api/seen").status_code == 200


@pytest.mark.parametrize("path", ["status/999", "status/0", "status/42", "status/100", "header"])
def test_an_answer_that_http_cannot_carry_is_a_500(endings: RunningHost, path: str) -> None:
    answer = plain_http.get(f"{endings.url}/api/{path}")
    assert answer.status_code == 500
    _assert_shape(500, dict(answer.headers), answer.content, "InternalError")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize("path", ["v1/bots/a%0Ab", "a%0A", "%0A", "a%0D%0Ab", "a%E2%80%A8b", "ping%00"])
def test_a_path_with_a_line_break_is_the_apps_own_404(endings: RunningHost, method: str, path: str) -> None:
    answer = plain_http.request(method, f"{endings.url}/api/{path}")
    assert (answer.status_code, answer.headers.get("x-app")) == (404, "says so")
    assert _tally(endings, "anything_else")["failures"] == 0
    assert not [
        line for line in endings.stderr if "Exception in ASGI application" in line and "\n404" in line
    ]


def test_an_escaped_slash_stays_in_its_segment(endings: RunningHost) -> None:
    assert plain_http.get(f"{endings.url}/api/a%2Fb").json()["rest"] == "a%2Fb"


@pytest.mark.parametrize(
    "headers",
    [
        b"x-ms-invocation-id: anything\r\n",
        b"X-MS-Invocation-Id: one\r\nX-Ms-Invocation-ID: two\r\n",
        b"x-ms-invocation-id:\r\n",
    ],
)
def test_the_callers_invocation_id_is_dropped(endings: RunningHost, headers: bytes) -> None:
    status, _, body = _speak(
        endings, b"GET /api/seen HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"
    )
    assert (status, body[:1]) == (200, b"[")
    assert _tally(endings, "seen")["running"] == 0


def test_an_invocation_ends_when_its_client_leaves(endings: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", endings.port)) as client:
        client.sendall(b"GET /api/waits/leaver HTTP/1.1\r\nHost: x\r\nX-Ms-Invocation-Id: y\r\n\r\n")
        wait_for(lambda: "leaver began" in plain_http.get(f"{endings.url}/api/seen").json())
        assert _tally(endings, "waits")["running"] == 1
    wait_for(lambda: "leaver ended" in plain_http.get(f"{endings.url}/api/seen").json())
    assert _tally(endings, "waits")["running"] == 0


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (b"nonsense\r\n\r\n", 400, "MalformedRequestError"),
        (b"GET /api/seen HTTP/1.1\r\nHost x\r\n\r\n", 400, "MalformedRequestError"),
        (b"GET /api/seen HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "MalformedRequestError"),
        (
            b"POST /api/reads HTTP/1.1\r\nContent-Length: " + b"0" * 5000 + b"2\r\n\r\nab",
            400,
            "MalformedRequestError",
        ),
        (
            b"POST /api/reads HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            400,
            "MalformedRequestError",
        ),
        (b"POST /api/reads HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", 413, "PayloadTooLargeError"),
        (
            b"POST /api/reads HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            "MalformedRequestError",
        ),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "RequestTargetTooLongError"),
        (
            b"GET / HTTP/1.1\r\nA: " + b"a" * 40_000 + b"\r\n\r\n",
            431,
            "RequestHeadersTooLargeError",
        ),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431, "RequestHeadersTooLargeError"),
        (b"CONNECT example.com:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "MalformedRequestError"),
    ],
)
def test_broken_http_is_refused_in_the_edges_shape(
    endings: RunningHost, sent: bytes, status: int, error: str
) -> None:
    sent = sent.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1)
    got, headers, body = _speak(endings, sent)
    assert got == status
    _assert_shape(got, headers, body, error)


def test_a_head_without_an_end_is_refused_before_it_is_large(endings: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", endings.port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nA: ")
        sent = 0
        try:
            while sent < 60 << 20:
                sent += client.send(b"a" * 16_384)
        except ConnectionError:
            pass
        assert sent < 16 << 20


def test_a_body_that_never_comes_is_a_408(endings: RunningHost) -> None:
    got, headers, body = _speak(
        endings,
        b"POST /api/reads HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-Request-Id: mine\r\n\r\nabc",
    )
    assert got == 408
    _assert_shape(got, headers, body, "RequestTimeoutError")
    assert headers["x-request-id"] == "mine"
    assert _tally(endings, "reads")["running"] == 0
