"""HTTP functions of classic types, held against what the worker's own end-to-end tests claim."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.local_host.running import running_host
from tests.support.plain_http import plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration_tests.local_host.running import RunningHost


def test_a_request_arrives_as_azure_passes_it(classic: RunningHost) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = plain_http.post(
        f"{classic.url}/api/request/x?a=1&empty=&b=%3A%25)&a=2",
        content="key=value",
        headers={"X-Mixed-Case": "Yes", "traceparent": trace},
    )
    seen = answer.json()
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert seen["method"] == "POST"
    assert seen["params"] == {"a": "1,2", "b": ":%)"}
    assert seen["headers"]["x-mixed-case"] == "Yes"
    assert seen["route_params"] == {"name": "x"}
    assert seen["url"].endswith("/api/request/x?a=1&empty=&b=%3A%25)&a=2")
    assert seen["body"] == "key=value"
    assert seen["function"] == "request"
    assert seen["trace_parent"] == trace


def test_omitted_methods_mean_all(classic: RunningHost) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert plain_http.request(method, f"{classic.url}/api/request/x/y").json()["method"] == method


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [("text", 200, "Hello World!"), ("nothing", 204, ""), ("raw", 500, ""), ("fails", 500, "")],
)
def test_a_functions_value_becomes_the_answer(
    classic: RunningHost, path: str, status: int, text: str
) -> None:
    answer = plain_http.get(f"{classic.url}/api/{path}")
    assert (answer.status_code, answer.text) == (status, text)


def test_cookies_are_written_as_azure_writes_them(classic: RunningHost) -> None:
    answer = plain_http.get(f"{classic.url}/api/cookies")
    assert answer.headers.get_list("set-cookie") == [
        (
            "a=42; expires=Thu, 12 Jan 2017 13:55:08 GMT; max-age=10000000; domain=example.com; "
            "path=/; secure; httponly"
        ),
        "b=43; domain=; path=",
    ]


def test_the_home_page_and_the_ping_answer(classic: RunningHost) -> None:
    assert "up and running" in plain_http.get(classic.url).text
    assert plain_http.post(f"{classic.url}/admin/host/ping").status_code == 200


def test_keys_are_ignored_unless_asked_for(classic: RunningHost) -> None:
    assert plain_http.get(f"{classic.url}/api/keyed").text == "a function's"
    assert plain_http.get(f"{classic.url}/api/guarded").text == "the administrator's"


def test_a_body_over_the_limit_is_a_413(classic: RunningHost) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (bytes(60_000), bytes(60_000))

    url = f"{classic.url}/api/swallows"
    assert plain_http.post(url, content=bytes(100_000)).text == "100000"
    assert plain_http.post(url, content=bytes(100_001)).status_code == 413
    assert plain_http.post(url, content=chunks()).status_code == 413


def test_levels_are_enforced_when_asked_for(tmp_path: Path) -> None:
    with running_host("classic", tmp_path, "--auth") as host:
        keys = json.loads((tmp_path / "keys.json").read_text())

        def status(path: str, key: str) -> int:
            by_header = plain_http.get(f"{host.url}/{path}", headers={"x-functions-key": key}).status_code
            assert plain_http.get(f"{host.url}/{path}", params={"code": key}).status_code == by_header
            return by_header

        function_key, other_key = keys["functionKeys"]["keyed"], keys["functionKeys"]["guarded"]
        assert plain_http.get(f"{host.url}/api/text").status_code == 200
        assert [status("api/keyed", key) for key in ("", "wrong", other_key)] == [401, 401, 401]
        assert [status("api/keyed", key) for key in (function_key, keys["hostKey"], keys["masterKey"])] == [
            200
        ] * 3
        assert [status("api/guarded", key) for key in (function_key, keys["hostKey"], keys["masterKey"])] == [
            401,
            401,
            200,
        ]
        assert status("admin/host/status", keys["hostKey"]) == 401
        assert status("admin/host/status", keys["masterKey"]) == 200
