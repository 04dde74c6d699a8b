"""The stand-in model through the official client: everything that it can ask for."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx2
import openai
import pytest
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello world"}]
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Step(BaseModel):
    text: str
    done: bool


class Plan(BaseModel):
    """Everything that a structured answer may be made of."""

    title: str = Field(max_length=20)
    mood: Mood
    share: float = Field(ge=0, le=1)
    count: int = Field(gt=3)
    note: str | None
    steps: list[Step] = Field(min_length=1)
    either: Step | int


class GetWeather(BaseModel):
    city: str
    days: int = Field(ge=1, le=7)


def test_the_client_gets_an_answer_within_its_limit(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=ASKED, max_tokens=5)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (9, 5)


def test_a_stream_adds_up_to_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="gpt-4o", messages=ASKED)
    with client.chat.completions.create(
        model="gpt-4o", messages=ASKED, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)

    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


async def test_the_asynchronous_client_answers_and_streams(port: int) -> None:
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="local") as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=ASKED)
        stream = await client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)
        text = "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])

    assert text == answer.choices[0].message.content
    assert text.startswith("[stand-in for gpt-4o]")


def test_azures_client_answers_and_streams(azure: openai.AzureOpenAI, tell: Callable[..., None]) -> None:
    tell("deployments", name="our-gpt", model="gpt-4o")
    answer = azure.chat.completions.create(model="our-gpt", messages=ASKED)
    with azure.chat.completions.create(model="our-gpt", messages=ASKED, stream=True) as stream:
        text = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)

    assert answer.model == "gpt-4o"
    assert text == answer.choices[0].message.content


async def test_azures_asynchronous_client_works_too(port: int) -> None:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=f"http://127.0.0.1:{port}", api_key="local", api_version="2024-10-21"
    ) as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=ASKED)

    assert answer.choices[0].finish_reason == "stop"


def test_an_unknown_deployment_is_the_clients_not_found(azure: openai.AzureOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        azure.chat.completions.create(model="nothing", messages=ASKED)

    assert caught.value.code == "DeploymentNotFound"


def test_models_are_listed(client: openai.OpenAI, azure: openai.AzureOpenAI) -> None:
    for asked in (client, azure):
        assert "gpt-4o" in [model.id for model in asked.models.list()]


def test_a_refusal_is_the_clients_own_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens") as caught:
        client.chat.completions.create(model="o3", messages=ASKED, max_tokens=5)

    assert (caught.value.param, caught.value.code) == ("max_tokens", "unsupported_parameter")


def test_a_tool_is_called_answered_and_taken_up(client: openai.OpenAI) -> None:
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "The weather in Paris?"}]
    called = client.chat.completions.create(model="gpt-4o", messages=asked, tools=[WEATHER])
    message = called.choices[0].message
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert isinstance(json.loads(call.function.arguments)["city"], str)

    answered = client.chat.completions.create(
        model="gpt-4o",
        tools=[WEATHER],
        messages=[
            *asked,
            {"role": "assistant", "tool_calls": [call.model_dump()]},  # type: ignore[list-item]  # as people do
            {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
        ],
    )
    assert "18 degrees" in (answered.choices[0].message.content or "")


def test_the_streaming_helper_accumulates_tool_calls_and_usage(client: openai.OpenAI) -> None:
    tools = [openai.pydantic_function_tool(GetWeather), WEATHER]
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "weather"}]
    with client.chat.completions.stream(
        model="gpt-4o",
        messages=asked,
        tools=[tools[0]],
        stream_options={"include_usage": True},
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()

    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert isinstance(calls[0].function.parsed_arguments, GetWeather)
    assert "tool_calls.function.arguments.delta" in kinds
    assert final.usage is not None


def test_structured_answers_parse(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="gpt-4o", messages=ASKED, response_format=Plan)
    again = client.chat.completions.parse(model="gpt-4o", messages=ASKED, response_format=Plan)

    assert isinstance(parsed.choices[0].message.parsed, Plan)
    assert parsed.choices[0].message.parsed == again.choices[0].message.parsed


def test_structured_tool_arguments_parse(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model="gpt-4o",
        messages=ASKED,
        tools=[openai.pydantic_function_tool(GetWeather)],
        tool_choice="required",
    )

    calls = parsed.choices[0].message.tool_calls
    assert calls is not None
    assert isinstance(calls[0].function.parsed_arguments, GetWeather)


def test_structured_streams_parse(azure: openai.AzureOpenAI) -> None:
    with azure.chat.completions.stream(model="gpt-4o", messages=ASKED, response_format=Plan) as stream:
        final = stream.get_final_completion()

    assert isinstance(final.choices[0].message.parsed, Plan)


def test_a_refusal_of_the_model_is_parsed_as_such(client: openai.OpenAI, tell: Callable[..., None]) -> None:
    tell("answers", answers=[{"refusal": "I will not"}])
    parsed = client.chat.completions.parse(model="gpt-4o", messages=ASKED, response_format=Plan)

    assert parsed.choices[0].message.refusal == "I will not"
    assert parsed.choices[0].message.parsed is None


def test_the_client_waits_as_a_429_tells_it(port: int, tell: Callable[..., None]) -> None:
    tell("faults", status=429, retry_after_ms=300)
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="local", max_retries=1) as client:
        began = time.monotonic()
        client.chat.completions.create(model="gpt-4o", messages=ASKED)

    assert time.monotonic() - began >= 0.3


def test_azures_limits_are_the_clients_rate_limit_error(
    azure: openai.AzureOpenAI, tell: Callable[..., None]
) -> None:
    tell("limits", model="gpt-4o", tokens_per_minute=100)
    first = azure.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASKED, max_tokens=80)
    assert first.headers["x-ratelimit-remaining-tokens"] == "11"

    with pytest.raises(openai.RateLimitError) as caught:
        azure.chat.completions.create(model="gpt-4o", messages=ASKED, max_tokens=80)
    assert 0 < int(caught.value.response.headers["retry-after-ms"]) <= 60_000


def test_a_server_error_is_one(client: openai.OpenAI, tell: Callable[..., None]) -> None:
    tell("faults", status=500)

    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="gpt-4o", messages=ASKED)


@pytest.mark.parametrize("fault", [{"drop": True}, {"drop_after": 0}])
def test_a_cut_connection_is_one(
    client: openai.OpenAI, tell: Callable[..., None], fault: dict[str, object]
) -> None:
    tell("faults", **fault)

    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="gpt-4o", messages=ASKED)
    assert client.chat.completions.create(model="gpt-4o", messages=ASKED).choices


def test_a_stream_may_be_cut_or_end_early(client: openai.OpenAI, tell: Callable[..., None]) -> None:
    tell("faults", truncate_after=3)
    with client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True) as early:
        assert [chunk.choices[0].finish_reason for chunk in early] == [None] * 3

    tell("faults", drop_after=3, piece_delay_ms=5)
    with (
        client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True) as cut,
        pytest.raises(openai.APIConnectionError),
    ):
        list(cut)


def test_bills_can_be_checked_against_its_own_count(client: openai.OpenAI, port: int) -> None:
    usages = [
        client.chat.completions.create(model="gpt-4o", messages=ASKED, user="tenant-a").usage
        for _ in range(3)
    ]

    served = httpx2.get(f"http://127.0.0.1:{port}/_local/served").json()
    billed = sum(usage.total_tokens for usage in usages if usage is not None)
    assert served["by_user"]["tenant-a"]["total_tokens"] == billed


def test_embeddings_through_the_client_plain_shortened_and_on_azures_path(
    client: openai.OpenAI, azure: openai.AzureOpenAI
) -> None:
    # The client asks for base64 and unpacks it; asked for floats, it passes them on.
    packed = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    floats = client.embeddings.create(
        model="text-embedding-3-small", input=["a", "b"], encoding_format="float"
    )
    short = azure.embeddings.create(model="text-embedding-3-small", input="a", dimensions=64)

    assert [one.embedding for one in packed.data] == [one.embedding for one in floats.data]
    assert (len(packed.data[1].embedding), packed.usage.prompt_tokens) == (1536, 2)
    assert len(short.data[0].embedding) == 64


def test_a_key_that_is_not_accepted_is_an_authentication_error(
    client: openai.OpenAI, tell: Callable[..., None]
) -> None:
    tell("keys", accepted=["another key"])
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="gpt-4o", messages=ASKED)


def test_a_path_that_is_not_there_is_the_clients_not_found_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"Invalid URL \(POST /v1/moderations\)"):
        client.moderations.create(input="x")


def test_responses_through_the_client_whole_parsed_and_streamed(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="gpt-4o", input="hello world")
    parsed = client.responses.parse(model="gpt-4o", input="judge", text_format=Step)
    with client.responses.stream(model="gpt-4o", input="hello world") as events:
        kinds = [event.type for event in events]
        streamed = events.get_final_response()

    assert whole.output_text.startswith("[stand-in for gpt-4o]")
    assert streamed.output_text == whole.output_text
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert isinstance(parsed.output_parsed, Step)
