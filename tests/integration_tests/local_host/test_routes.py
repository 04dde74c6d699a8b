"""Route templates, prefixes and whole web applications through the real runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.local_host.running import RunningHost, running_host
from tests.support.plain_http import plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host of the app of routes."""
    with running_host("routes", tmp_path_factory.mktemp("routes")) as host:
        yield host


GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("orders/latest", {"function": "latest"}),
        ("ORDERS/Latest", {"function": "latest"}),
        ("orders/10", {"function": "by_number", "number": "10"}),
        ("orders/9", {"function": "anything", "rest": "9"}),
        ("orders/anna", {"function": "by_name", "name": "anna"}),
        ("orders/an", {"function": "anything", "rest": "an"}),
        ("orders/a/b%20c/d", {"function": "anything", "rest": "a/b c/d"}),
        ("orders", {"function": "anything"}),
        ("pages/20", {"function": "pages", "size": "20", "page": "1"}),
        ("pages/20/3", {"function": "pages", "size": "20", "page": "3"}),
        ("pages/20/x", None),
        ("maybe/a", {"function": "maybe", "first": "a"}),
        ("maybe/a/b", {"function": "maybe", "first": "a", "second": "b"}),
        ("maybe/a/b/c", None),
        (f"ids/{GUID}", {"function": "id", "id": GUID}),
        ("ids/7", None),
        ("flags/true", {"function": "flag", "flag": "true"}),
        ("flags/yes", None),
        ("days/2026-01-31", {"function": "day", "day": "2026-01-31"}),
        ("days/someday", None),
        ("amounts/49.99", {"function": "amount", "amount": "49.99"}),
        ("amounts/much", None),
        ("codes/DE49", {"function": "code", "code": "DE49"}),
        ("codes/49DE", None),
        ("short/abc", {"function": "short", "text": "abc"}),
        ("short/abcd", None),
        ("percent/100", {"function": "percent", "value": "100"}),
        ("percent/101", None),
        ("files/a.b.txt", {"function": "file", "name": "a.b", "extension": "txt"}),
        ("files/readme", None),
        ("texts/readme", {"function": "page", "name": "readme"}),
        ("texts/a.b.txt", {"function": "page", "name": "a.b", "extension": "txt"}),
        ("ranges/1-2-3", {"function": "range", "from": "1-2", "to": "3"}),
    ],
)
def test_a_template_takes_what_azure_takes(
    routes: RunningHost, path: str, answer: dict[str, str] | None
) -> None:
    got = plain_http.get(f"{routes.url}/shop/v2/{path}")

    if answer is None:
        assert got.status_code == 404
    else:
        assert {name: value for name, value in got.json().items() if value != ""} == answer


def test_without_the_prefix_nothing_is_there(routes: RunningHost) -> None:
    assert plain_http.get(f"{routes.url}/api/orders/latest").status_code == 404


def test_the_host_is_warmed_up_on_demand(routes: RunningHost) -> None:
    assert plain_http.get(f"{routes.url}/admin/warmup").status_code == 200
    routes.wait_for_line("the instance is warm")


def test_what_the_worker_logs_is_kept_apart_from_what_the_app_logs(routes: RunningHost) -> None:
    plain_http.get(f"{routes.url}/shop/v2/disguised")
    routes.wait_for_line("told by the app")
    assert not [line for line in routes.stderr if "told by the worker" in line]


def test_an_asgi_application_has_the_whole_address_space_but_the_hosts(tmp_path: Path) -> None:
    with running_host("asgi", tmp_path) as host:
        assert plain_http.get(f"{host.url}/").status_code == 404
        assert plain_http.get(f"{host.url}/hello").text == "hello world"
        assert plain_http.get(f"{host.url}/hello?name=dummy").text == "hello dummy"
        posted = plain_http.post(f"{host.url}/things/1", json={"name": "apple"})
        assert (posted.status_code, posted.json()) == (201, {"name": "apple"})
        assert plain_http.post(f"{host.url}/admin/host/ping", params={"checkHealth": "1"}).status_code == 200
        assert plain_http.get(f"{host.url}/admin/host/status").json()["state"] == "Running"


def test_a_wsgi_application_is_a_function_app_too(tmp_path: Path) -> None:
    with running_host("wsgi", tmp_path) as host:
        answer = plain_http.post(f"{host.url}/a/b?c=d", content="body")
        assert (answer.status_code, answer.text) == (201, "POST /a/b c=d body")
