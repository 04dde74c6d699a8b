"""The keys that the endpoint takes, the paths that it has not, and the names that its answers give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from local.llm.app import build_app
from local.llm.endpoint import Endpoint, Manners
from tests.unit_tests.local_llm.client import HELLO, chunks_of

if TYPE_CHECKING:
    from tests.unit_tests.local_llm.client import Model


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/v1/chat", "/openai/v1/x/y", "/", "/_local/x"])
async def test_a_path_that_is_not_there_is_openais_404(model: Model, path: str) -> None:
    response = await model.client.post(path, json={})

    assert response.status_code == 404
    assert response.json() == {
        "error": {
            "message": f"Invalid URL (POST {path})",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }
    assert response.headers["x-request-id"]


async def test_a_path_of_azures_that_is_not_there_is_azures_404(model: Model) -> None:
    response = await model.client.post("/openai/deployments/gpt-4o/nothing", json={})

    assert (response.status_code, response.json()) == (
        404,
        {"error": {"code": "404", "message": "Resource not found"}},
    )


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/chat/completions"), ("DELETE", "/v1/models")])
async def test_a_method_that_a_path_has_not_is_openais_405(model: Model, method: str, path: str) -> None:
    response = await model.client.request(method, path)

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (405, "method_not_supported")
    assert error["message"].startswith(f"Not allowed to {method} on {path}")
    assert response.headers["allow"]


async def test_only_accepted_keys_are_good_once_some_were_named(model: Model) -> None:
    await model.tell("keys", accepted=["good-key-1", "good-key-2"])

    assert (await model.ask()).status_code == 401
    for headers in ({"api-key": "good-key-2"}, {"authorization": "Bearer good-key-1", "api-key": ""}):
        response = await model.client.post(
            "/v1/chat/completions", json={"model": "gpt-4o", "messages": HELLO}, headers=headers
        )
        assert response.status_code == 200
    wrong = await model.client.get("/v1/models", headers={"api-key": "wrong-key-9876"})
    assert wrong.json()["error"]["code"] == "invalid_api_key"
    assert "***9876" in wrong.json()["error"]["message"]
    assert "wrong-key" not in wrong.text
    assert (await model.ask_azure()).json()["error"]["code"] == "401"


async def test_accepted_keys_are_listed_masked_and_taken_back(model: Model) -> None:
    listed = (await model.tell("keys", accepted=[])).json()
    assert listed == {"keys": {"refuses_others": True, "accepted": []}}
    assert (await model.ask()).status_code == 401
    listed = (await model.tell("keys", accepted=["good-key-1"])).json()
    assert listed["keys"]["accepted"] == ["***ey-1"]

    await model.client.delete("/_local/keys")

    assert (await model.ask()).status_code == 200


async def test_an_answer_names_the_dated_release_once_that_is_switched_on(model: Model) -> None:
    assert (await model.ask()).json()["model"] == "gpt-4o"
    await model.tell("releases")
    assert (await model.ask()).json()["model"] == "gpt-4o-2024-08-06"
    assert {chunk["model"] for chunk in chunks_of(await model.ask(stream=True))} == {"gpt-4o-2024-08-06"}
    await model.tell("releases", model="gpt-4o", release="gpt-4o-2024-11-20")
    assert (await model.ask_azure()).json()["model"] == "gpt-4o-2024-11-20"
    assert "gpt-4o" in (await model.served())["by_model"]
    refused = await model.client.post("/_local/releases", json={"model": "gpt-4o"})
    assert refused.status_code == 400

    await model.client.delete("/_local/releases")

    assert (await model.ask()).json()["model"] == "gpt-4o"


async def test_the_command_lines_manners_hold_until_something_else_is_said() -> None:
    manners = Manners(accepted_keys=("good",), dated_releases=True)
    app = build_app(Endpoint(lambda: 0.0, lambda: 0.0, manners=manners))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://llm") as client:
        await client.delete("/_local/keys")
        await client.delete("/_local/releases")
        body = {"model": "gpt-4.1", "messages": HELLO}
        assert (
            await client.post("/v1/chat/completions", json=body, headers={"api-key": "bad"})
        ).status_code == 401
        answer = await client.post("/v1/chat/completions", json=body, headers={"api-key": "good"})
        assert answer.json()["model"] == "gpt-4.1-2025-04-14"


async def test_a_defect_of_the_endpoint_is_said_in_openais_shape() -> None:
    def broken() -> float:
        raise ZeroDivisionError

    app = build_app(Endpoint(broken, broken))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://llm") as client:
        body = {"model": "gpt-4o", "messages": HELLO}
        answer = await client.post("/v1/chat/completions", json=body, headers={"api-key": "k"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
