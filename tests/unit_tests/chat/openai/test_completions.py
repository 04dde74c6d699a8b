"""Chat completions are passed on as they came, metered, and answered as the provider answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.openai_answers import chunk_json
from tests.unit_tests.chat.openai.gateway import HELLO, USED, data_of, gateway, said

if TYPE_CHECKING:
    from tests.unit_tests.chat.openai.gateway import Json

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}
PASSED = {
    "n": 2,
    "temperature": 0.2,
    "top_p": 0.5,
    "frequency_penalty": 1.0,
    "presence_penalty": -1.0,
    "logit_bias": {"50256": -100.0},
    "logprobs": True,
    "top_logprobs": 3,
    "seed": 7,
    "stop": ["END"],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "parallel_tool_calls": False,
    "response_format": SCHEMA,
    "verbosity": "low",
    "metadata": {"a": "b"},
    "prompt_cache_retention": "24h",
}


async def test_every_parameter_that_a_model_takes_is_passed_on_as_it_came() -> None:
    async with gateway() as opened:
        await opened.complete(**PASSED)
        [body] = opened.provider.bodies

    assert {name: body[name] for name in PASSED} == PASSED
    assert body["messages"] == HELLO["messages"]
    assert set(body) - set(PASSED) == {"messages", "model", "max_tokens", "prompt_cache_key"}


async def test_messages_of_every_kind_are_passed_on_as_they_came() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "Be brief.", "name": "boss"},
        {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    async with gateway() as opened:
        await opened.complete(messages=messages)

        assert opened.provider.bodies[0]["messages"] == messages


async def test_fields_of_the_answer_that_nobody_here_knows_reach_the_caller() -> None:
    async with gateway() as opened:
        told = opened.provider.answer | {"system_fingerprint": "fp", "from_next_year": {"x": [1, None, "é"]}}
        opened.provider.answer = told

        answer = await opened.complete()

    assert answer == told | {"model": "gpt-4o"}


@pytest.mark.parametrize(("asked", "sent"), [("gpt-4o", "max_tokens"), ("gpt-5", "max_completion_tokens")])
async def test_the_limit_is_sent_by_the_name_that_the_model_knows(asked: str, sent: str) -> None:
    async with gateway() as opened:
        await opened.complete(model=asked, max_tokens=50)
        await opened.complete(model=asked, max_completion_tokens=50)

        assert [body[sent] for body in opened.provider.bodies] == [50, 50]
        assert all(
            ("max_tokens" in body) != ("max_completion_tokens" in body) for body in opened.provider.bodies
        )


async def test_all_wanted_answers_are_locked_and_what_they_used_is_reported() -> None:
    async with gateway() as opened:
        one = await opened.send(HELLO | {"max_tokens": 100})
        three = await opened.send(HELLO | {"max_tokens": 100, "n": 3})
        left = [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in (one, three)]

        # The first one's report has taken the place of its lock.
        assert left[0] - left[1] == 200 + USED.total_tokens
        assert await opened.used_tokens() == (2 * USED.total_tokens, 0)


async def test_tools_and_schemas_are_counted_in_the_lock() -> None:
    async with gateway() as opened:
        plain = await opened.send(HELLO)
        larger = await opened.send(HELLO | {"tools": [TOOL] * 10, "response_format": SCHEMA})
        left = [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in (plain, larger)]

    assert left[0] - left[1] > USED.total_tokens + 10 * 20


async def test_the_answer_tells_its_overhead_and_its_wait_and_what_is_left() -> None:
    async with gateway() as opened:
        headers = (await opened.send(HELLO)).headers

    assert float(headers["x-tenantry-overhead-ms"]) >= 0
    assert float(headers["x-tenantry-queue-ms"]) >= 0
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert int(headers["x-ratelimit-remaining-requests"]) < int(headers["x-ratelimit-limit-requests"])


async def test_the_provider_is_told_a_hash_of_the_user_and_of_the_callers_cache_key() -> None:
    async with gateway() as opened:
        await opened.complete(user="ann@example.com", prompt_cache_key="secret-project")
        await opened.complete(safety_identifier="ann@example.com")
        first, second = opened.provider.bodies

    assert first["safety_identifier"] == second["safety_identifier"]
    assert "ann" not in json.dumps(first)
    assert "secret-project" not in json.dumps(first)
    assert first["prompt_cache_key"] != second["prompt_cache_key"]


async def test_parts_are_passed_on_as_they_came_and_end_as_openai_ends() -> None:
    async with gateway() as opened:
        opened.provider.parts = [*said("Hi", ".", x_new={"a": 1}), "[DONE]"]
        async with await opened.stream() as reader:
            *told, last = data_of(await reader.rest())
        parts = [json.loads(part) for part in told]

    assert last == "[DONE]"
    assert [part["choices"][0]["delta"].get("content") for part in parts] == ["", "Hi", ".", None]
    assert {part["model"] for part in parts} == {"gpt-4o"}
    assert all("usage" not in part and part["x_new"] == {"a": 1} for part in parts)
    assert opened.provider.bodies[0]["stream_options"] == {"include_usage": True}


async def test_a_streams_usage_is_told_to_whoever_asks_for_it() -> None:
    async with gateway() as opened:
        options = {"include_usage": True, "include_obfuscation": False}
        async with await opened.stream(stream_options=options) as reader:
            parts = [json.loads(part) for part in data_of(await reader.rest())[:-1]]

    assert [part["usage"] for part in parts[:-1]] == [None] * 4
    assert parts[-1]["usage"]["total_tokens"] == USED.total_tokens
    assert opened.provider.bodies[0]["stream_options"] == options


async def test_a_stream_that_breaks_off_ends_with_an_error_and_never_as_if_it_were_whole() -> None:
    async with gateway() as opened:
        opened.provider.parts = said("Hi")[:2]
        async with await opened.stream() as reader:
            told = data_of(await reader.rest())

        assert "[DONE]" not in told
        assert json.loads(told[-1])["error"]["type"] == "server_error"
        used, locked = await opened.used_tokens()
    assert (used > 0, locked) == (True, 0)


async def test_an_error_of_the_provider_in_a_stream_is_no_part() -> None:
    async with gateway() as opened:
        opened.provider.parts = [*said("Hi")[:2], {"error": {"message": "secret words of the provider"}}]
        async with await opened.stream() as reader:
            body = await reader.rest()

    assert b"secret words" not in body
    assert json.loads(data_of(body)[-1])["error"]["code"] is None


async def test_a_stream_that_is_repeated_under_its_key_comes_again_as_one_part() -> None:
    async with gateway() as opened:
        first = await opened.send(HELLO | {"stream": True}, idempotency_key="k1")
        again = await opened.send(HELLO | {"stream": True}, idempotency_key="k1")

        part, done = data_of(again.body)
        assert len(opened.provider.bodies) == 1
    assert done == "[DONE]"
    assert len(data_of(first.body)) > 2
    [choice] = json.loads(part)["choices"]
    assert (choice["delta"]["content"], choice["finish_reason"]) == ("Hi.", "stop")
    assert again.headers["content-type"].startswith("text/event-stream")


async def test_a_plain_answer_is_repeated_under_its_key_byte_for_byte() -> None:
    async with gateway() as opened:
        first = await opened.send(HELLO, idempotency_key="k1")
        again = await opened.send(HELLO, idempotency_key="k1")

        assert len(opened.provider.bodies) == 1
    assert first.body == again.body


async def test_a_client_that_leaves_stops_the_model_and_what_came_is_in_the_ledger() -> None:
    async with gateway() as opened:
        async with await opened.stream() as reader:
            await reader.piece()

        used, locked = await opened.used_tokens()
    assert used > 0
    assert locked == 0


async def test_a_tool_call_comes_through_in_its_parts() -> None:
    begin = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    deltas: list[Json] = [
        {"role": "assistant", "content": None, "tool_calls": [begin]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Rome"}'}}]},
    ]
    async with gateway() as opened:
        opened.provider.parts = [*(chunk_json(delta) for delta in deltas), *said()[1:], "[DONE]"]
        first = await opened.send(HELLO | {"stream": True, "tools": [TOOL]}, idempotency_key="k1")
        again = await opened.send(HELLO | {"stream": True, "tools": [TOOL]}, idempotency_key="k1")

    assert [json.loads(part)["choices"][0]["delta"] for part in data_of(first.body)[:3]] == deltas
    [call] = json.loads(data_of(again.body)[0])["choices"][0]["delta"]["tool_calls"]
    assert call == begin | {"function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}
