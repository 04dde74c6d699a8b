"""The official client, synchronous."""

from __future__ import annotations

import base64
import json
import os
import struct
from typing import Any

import openai
from stand_in import (  # type: ignore[import-not-found]  # beside this file, where it runs
    BEGINNING,
    CHAT,
    DIMENSIONS,
    EMBEDDINGS,
    REASONING,
    TOOL,
    WEATHER,
    Verdict,
)

_HELLO: Any = [{"role": "user", "content": "hello"}]


def _client() -> openai.OpenAI:
    return openai.OpenAI(max_retries=0)


def _refusal(
    kind: type[openai.APIStatusError],
    client: openai.OpenAI,
    **changes: Any,  # noqa: ANN401  # of any shape
) -> openai.APIStatusError:
    try:
        client.chat.completions.create(**{"model": CHAT, "messages": _HELLO} | changes)
    except openai.APIStatusError as error:
        assert type(error) is kind, repr(error)
        assert isinstance(error.body, dict), error.body
        assert error.message
        return error
    raise AssertionError(f"no {kind.__name__}")


def check_models() -> None:
    names = [model.id for model in _client().models.list()]
    assert CHAT in names
    assert EMBEDDINGS in names
    found = _client().models.retrieve(CHAT)
    assert (found.id, found.object) == (CHAT, "model")


def check_chat() -> None:
    answer = _client().chat.completions.create(model=CHAT, messages=_HELLO, max_tokens=50, temperature=0)
    assert answer.choices[0].message.content is not None
    assert answer.choices[0].message.content.startswith(BEGINNING)
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def check_stream() -> None:
    with _client().chat.completions.create(
        model=CHAT, messages=_HELLO, stream=True, stream_options={"include_usage": True}
    ) as parts:
        chunks = list(parts)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith(BEGINNING)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None


def check_stream_without_usage() -> None:
    chunks = list(_client().chat.completions.create(model=CHAT, messages=_HELLO, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def check_tools() -> None:
    client, tools = _client(), [TOOL]
    messages: Any = [{"role": "user", "content": WEATHER}]
    called = client.chat.completions.create(model=CHAT, messages=messages, tools=tools).choices[0]
    assert called.finish_reason == "tool_calls"
    assert called.message.tool_calls is not None
    call: Any = called.message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    conversation: Any = [*messages, called.message, result]
    told = client.chat.completions.create(model=CHAT, messages=conversation, tools=tools)
    assert "18 degrees" in (told.choices[0].message.content or "")


def check_streamed_tools() -> None:
    with _client().chat.completions.stream(
        model=CHAT, messages=[{"role": "user", "content": WEATHER}], tools=[TOOL]
    ) as events:
        final = events.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.name == "get_weather"


def check_parsed() -> None:
    answer = _client().chat.completions.parse(model=CHAT, messages=_HELLO, response_format=Verdict)
    assert isinstance(answer.choices[0].message.parsed, Verdict)


def check_reasoning() -> None:
    answer = _client().chat.completions.create(
        model=REASONING, messages=_HELLO, max_completion_tokens=400, reasoning_effort="low"
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens


def check_idempotency_key() -> None:
    headers = {"Idempotency-Key": "one-and-the-same"}
    first, second = (
        _client().chat.completions.create(model=CHAT, messages=_HELLO, extra_headers=headers)
        for _ in range(2)
    )
    assert first == second


def check_headers() -> None:
    raw = _client().chat.completions.with_raw_response.create(model=CHAT, messages=_HELLO)
    for name in (
        "x-request-id",
        "x-tenantry-overhead-ms",
        "x-tenantry-queue-ms",
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-requests",
    ):
        assert raw.headers.get(name), name


def check_embeddings() -> None:
    texts = ["hello world", "good bye"]
    answer = _client().embeddings.create(model=EMBEDDINGS, input=texts)
    assert [len(one.embedding) for one in answer.data] == [DIMENSIONS, DIMENSIONS]
    assert answer.usage.total_tokens == 4
    floats = _client().embeddings.create(model=EMBEDDINGS, input=texts, encoding_format="float")
    assert all(
        abs(one - other) < 1e-6
        for one, other in zip(floats.data[0].embedding, answer.data[0].embedding, strict=True)
    )
    packed: Any = _client().embeddings.create(model=EMBEDDINGS, input=texts, encoding_format="base64")
    assert len(struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(packed.data[0].embedding))) == DIMENSIONS


def check_embeddings_of_tokens_and_fewer_dimensions() -> None:
    answer = _client().embeddings.create(model=EMBEDDINGS, input=[[15339, 1917], [15339]], dimensions=256)
    assert [len(one.embedding) for one in answer.data] == [256, 256]
    assert answer.usage.prompt_tokens == 3


def check_embeddings_refuse_a_chat_model() -> None:
    try:
        _client().embeddings.create(model=CHAT, input="hello")
    except (openai.BadRequestError, openai.NotFoundError) as error:
        assert error.param == "model"
    else:
        raise AssertionError("no error")


def check_a_wrong_key() -> None:
    _refusal(openai.AuthenticationError, openai.OpenAI(api_key="sk-wrong", max_retries=0))


def check_an_unknown_model() -> None:
    error = _refusal(openai.NotFoundError, _client(), model="gpt-unknown")
    assert (error.code, error.param) == ("model_not_found", "model")


def check_a_bad_body() -> None:
    error = _refusal(openai.BadRequestError, _client(), messages="hello")
    assert error.param == "messages"


def check_a_parameter_that_is_not_taken() -> None:
    error = _refusal(openai.BadRequestError, _client(), extra_body={"no_such_parameter": 1})
    assert error.param == "no_such_parameter"


def check_a_budget_that_is_used_up() -> None:
    poor = openai.OpenAI(api_key=os.environ["COMPAT_POOR_KEY"], max_retries=0)
    for _ in range(20):
        try:
            poor.chat.completions.create(model=CHAT, messages=_HELLO, max_tokens=1_600)
        except openai.RateLimitError as error:
            assert int(error.response.headers["retry-after"]) > 0
            return
    raise AssertionError("no RateLimitError")


def check_an_unknown_path() -> None:
    try:
        _client().get("/no/such/path", cast_to=object)
    except openai.NotFoundError:
        return
    raise AssertionError("no NotFoundError")
