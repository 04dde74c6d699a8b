"""The official `openai` client on the real host, stores and model, with its address and its key alone."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(120)

MODEL = "gpt-4o"
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class Verdict(BaseModel):
    """What a parsed answer holds."""

    hashtag: Literal["#bug", "#praise"]
    summary: str


@pytest.fixture(scope="module")
def caller(platform: Platform) -> Caller:
    """Make a tenant's server with a key, and a bot."""
    caller = platform.caller(platform.new_tenant("premium"))
    caller.must("PUT", "/api/v1/bots/helper", {"system_prompt": "Be brief.", "llm": {"model": MODEL}})
    return caller


@pytest.fixture(scope="module")
def client(platform: Platform, caller: Caller) -> Iterator[openai.OpenAI]:
    """Open the client as everybody does."""
    with openai.OpenAI(base_url=f"{platform.addresses['app']}/api/v1", api_key=caller.key) as opened:
        yield opened


def say(text: str) -> list[ChatCompletionMessageParam]:
    """Say something as a user."""
    return [{"role": "user", "content": text}]


@contextmanager
def told(platform: Platform, text: str, **fault: object) -> Iterator[httpx.Client]:
    """Have something happen to the model's answer to a text; gives the model."""
    with httpx.Client(base_url=platform.addresses["llm"], trust_env=False, verify=NO_TLS) as model:
        answer = model.post("/_local/faults", json={"contains": text} | fault)
        assert answer.status_code == 201, answer.text
        yield model


def test_a_chat_is_completed_whole_and_in_parts(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=say("hello"), max_tokens=60)
    with client.chat.completions.create(
        model=MODEL,
        messages=say("hello"),
        max_tokens=60,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        parts = list(stream)

    assert whole.model == MODEL
    assert whole.usage is not None
    assert parts[-1].usage == whole.usage
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == whole.choices[0].message.content


def test_the_headers_tell_what_a_call_took_and_what_is_left(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=say("hello"), max_tokens=20)

    assert float(raw.headers["x-tenantry-overhead-ms"]) > 0
    assert float(raw.headers["x-tenantry-queue-ms"]) >= 0
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) > 0
    assert raw.request_id == raw.headers["x-request-id"]


def test_tools_are_called_and_their_answers_understood(client: openai.OpenAI) -> None:
    messages = say("weather please")
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER], max_tokens=60)
    [call] = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    messages += [
        {"role": "assistant", "tool_calls": [call.model_dump()]},  # type: ignore[list-item]  # the client's own
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER], max_tokens=60)

    assert set(json.loads(call.function.arguments)) == {"city"}
    assert "sunny" in (second.choices[0].message.content or "")


def test_an_answer_is_parsed_into_a_model_whole_and_in_parts(client: openai.OpenAI) -> None:
    messages = say("It crashes: a bug.")
    whole = client.chat.completions.parse(model=MODEL, messages=messages, response_format=Verdict)
    with client.chat.completions.stream(model=MODEL, messages=messages, response_format=Verdict) as stream:
        streamed = stream.get_final_completion()

    assert isinstance(whole.choices[0].message.parsed, Verdict)
    assert streamed.choices[0].message.parsed == whole.choices[0].message.parsed


async def test_the_asynchronous_client_does_the_same(platform: Platform, caller: Caller) -> None:
    base = f"{platform.addresses['app']}/api/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key=caller.key) as client:
        whole = await client.chat.completions.create(model=MODEL, messages=say("hello"), max_tokens=60)
        stream = await client.chat.completions.create(
            model=MODEL, messages=say("hello"), max_tokens=60, stream=True
        )
        text = "".join([part.choices[0].delta.content or "" async for part in stream])

    assert text == whole.choices[0].message.content


def test_models_and_bots_are_found(client: openai.OpenAI) -> None:
    assert MODEL in {model.id for model in client.models.list()}
    assert client.models.retrieve(MODEL).id == MODEL
    assert client.models.retrieve("bot/helper").id == "bot/helper"
    answer = client.chat.completions.create(model="bot/helper", messages=say("hello"), max_tokens=80)
    assert "My instructions have 2 words" in (answer.choices[0].message.content or "")
    assert "bot/helper" in {model.id for model in client.models.list()}
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("bot/nobody")


def test_what_has_no_route_is_raised_as_not_found_with_what_there_is(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as speech:
        client.audio.speech.create(model="tts-1", voice="alloy", input="hello")
    with pytest.raises(openai.NotFoundError) as files:
        client.files.list()

    assert [one.value.code for one in (speech, files)] == ["unknown_url"] * 2
    assert "POST /chat/completions" in speech.value.message


def test_refusals_are_raised_as_openais_are(platform: Platform, client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as wrong_key:
        client.with_options(api_key="sk-nonsense").models.list()
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-17", messages=say("x"))
    with pytest.raises(openai.BadRequestError) as invalid:
        client.chat.completions.create(model=MODEL, messages=say("x"), temperature=9)
    poor = platform.caller(platform.new_tenant("free"))
    tenant_id = poor.must("GET", "/api/v1/me")["tenant_id"]
    platform.admin.must("PUT", f"/api/v1/tenants/{tenant_id}/limits", {"tokens_per_day": 1_000})
    over = client.with_options(api_key=poor.key)
    over.chat.completions.create(model=MODEL, messages=say("x"), max_tokens=900)
    with pytest.raises(openai.RateLimitError) as budget:
        over.chat.completions.create(model=MODEL, messages=say("x"), max_tokens=980)

    codes = [one.value.code for one in (wrong_key, unknown, invalid, budget)]
    assert codes == ["invalid_api_key", "model_not_found", "invalid_value", "insufficient_quota"]
    assert invalid.value.param == "temperature"


def test_a_stream_that_breaks_off_is_an_error(platform: Platform, client: openai.OpenAI) -> None:
    text = f"break off {uuid.uuid4().hex}"
    with told(platform, text, truncate_after=3):
        stream = client.chat.completions.create(model=MODEL, messages=say(text), stream=True, max_tokens=60)
        got = [next(stream)]
        with pytest.raises(openai.APIError):
            got += list(stream)

    assert got
