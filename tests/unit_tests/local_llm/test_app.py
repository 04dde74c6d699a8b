"""The stand-in: stable, within its limit, counted, and refusing by name what it does not do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.llm.app import build_app
from local.llm.model import Message, answer, count_prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HELLO = [{"role": "user", "content": "hello world"}]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(lambda: 1_770_000_000.0))
    headers = {"api-key": "local"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llm", headers=headers) as client:
        yield client


async def ask(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/v1/chat/completions", json={"model": "gpt-4o", "messages": HELLO} | body)


async def test_the_same_question_gets_the_same_answer_and_another_one_another(
    client: httpx.AsyncClient,
) -> None:
    first, again = await ask(client), await ask(client)
    other = await ask(client, messages=[{"role": "user", "content": "bye"}])

    texts = [answered.json()["choices"][0]["message"]["content"] for answered in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith("[stand-in for gpt-4o]")


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_the_limit_is_kept_and_said(client: httpx.AsyncClient, limit: str) -> None:
    reply = (await ask(client, **{limit: 5})).json()

    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 5


async def test_usage_adds_up(client: httpx.AsyncClient) -> None:
    usage = (await ask(client)).json()["usage"]

    assert usage["prompt_tokens"] == count_prompt("gpt-4o", [Message("user", "hello world")]) == 9
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_stream_says_the_same_piece_by_piece(client: httpx.AsyncClient) -> None:
    whole = (await ask(client)).json()
    streamed = await ask(client, stream=True, stream_options={"include_usage": True})

    lines = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
    chunks = [json.loads(line) for line in lines[:-1]]
    text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    assert lines[-1] == "[DONE]"
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"] == whole["usage"]


async def test_azures_path_names_the_deployment(client: httpx.AsyncClient) -> None:
    path = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    reply = await client.post(path, json={"messages": HELLO})

    assert reply.json()["model"] == "my-gpt"


@pytest.mark.parametrize("path", ["/models", "/v1/models", "/openai/models", "/openai/v1/models"])
async def test_models_are_listed(client: httpx.AsyncClient, path: str) -> None:
    assert "gpt-4o" in [model["id"] for model in (await client.get(path)).json()["data"]]


REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
    ({"tools": []}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"n": 2}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"model": ""}, "model"),
    ({"model": "o4-mini", "max_tokens": 5}, "max_tokens"),
    ({"model": "gpt-5", "temperature": 0.2}, "temperature"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED)
async def test_what_is_not_supported_is_refused_by_name(
    client: httpx.AsyncClient, body: dict[str, Any], param: str
) -> None:
    reply = await ask(client, **body)

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("content", [b"{", b"[]"])
async def test_what_is_no_json_object_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    assert (await client.post("/v1/chat/completions", content=content)).status_code == 400


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
async def test_a_key_is_wanted_whatever_it_is(client: httpx.AsyncClient, path: str) -> None:
    client.headers.pop("api-key")
    method = "GET" if path.endswith("models") else "POST"

    assert (await client.request(method, path)).status_code == 401


async def test_text_in_parts_is_text(client: httpx.AsyncClient) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "hello world"}]}]

    assert (await ask(client, messages=parts)).json()["usage"] == (await ask(client)).json()["usage"]


def test_characters_of_several_tokens_stay_whole() -> None:
    said = answer("gpt-4o", [Message("user", "🦜 ünïcödé 中文")], None)

    assert "🦜 ünïcödé 中文" in said.text
    assert "�" not in said.text


def test_older_models_count_with_their_own_encoding() -> None:
    text = [Message("user", "नमस्ते दुनिया, आप कैसे हैं")]

    assert count_prompt("gpt-4", text) != count_prompt("gpt-4o", text)
