"""A path that is a route's, asked under another method: 405, with the methods that it has."""

from __future__ import annotations

import pytest

from tests.support.fakes import Answer, Call
from tests.support.whole_app import whole_app


async def ask(path: str, method: str, query: str = "") -> Answer:
    async with whole_app() as app:
        return await app.client.call("unknown_route", Call({"rest": path}, query, method=method))


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("v1/bots", "GET"),
        ("V1/Bots", "GET"),
        ("v1/bots/anything", "DELETE, GET, PUT"),
        ("v1/settings/schema", "GET"),
        ("v1/reasoning/jobs", "GET, POST"),
        ("openapi.json", "GET"),
    ],
)
async def test_another_method_is_405_and_the_answer_names_those_there_are(path: str, allowed: str) -> None:
    answer = await ask(path, "OPTIONS")

    assert (answer.status, answer.json()["error"]) == (405, "MethodNotAllowedError")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["", "v1", "/v1/bots", "v1/bots/", "v1/bots/a/b/c/d", "openapixjson", "v1/bots\n"]
)
async def test_a_path_that_is_no_routes_is_404(path: str) -> None:
    assert (await ask(path, "GET")).status == 404


async def test_a_routes_own_method_by_a_path_that_the_host_took_for_another_is_404() -> None:
    answer = await ask("v1/settings/schema", "GET")  # sent as v1/settings%2Fschema

    assert (answer.status, answer.headers.get("allow")) == (404, None)


@pytest.mark.parametrize("query", ["a=1", "a=1&a=2"])
async def test_a_path_that_is_no_routes_is_404_whatever_is_asked_of_it(query: str) -> None:
    assert (await ask("v1/nothing", "GET", query)).status == 404
