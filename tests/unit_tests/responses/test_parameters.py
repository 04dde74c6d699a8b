"""Refusals of responses name fields that their request has, whoever refuses, and in whatever words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.unit_tests.chat.openai.gateway import gateway

if TYPE_CHECKING:
    from tests.unit_tests.chat.openai.gateway import Gateway, Json

BOT: Json = {"system_prompt": "x", "llm": {"model": "gpt-4o"}, "limits": {"max_message_characters": 100}}
IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png"}
SAYS = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]


async def ask(opened: Gateway, **fields: object) -> Json:
    """Ask for a response; return the whole answer."""
    body = {"model": "gpt-4o", "input": "hello"} | fields
    answered: Json = (await opened.send(body, "create_response")).json()
    return answered


async def refusal(opened: Gateway, **fields: object) -> tuple[str | None, str]:
    """Ask what has to be refused; return the parameter that is named, and the words."""
    error = (await ask(opened, **fields))["error"]
    return error["param"], error["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": "x" * 101}, "input"),
        ({"input": [{"role": "developer", "content": "x"}]}, "input"),
        ({"input": [*SAYS, {"role": "user", "content": "x" * 101}]}, "input[2]"),
        ({"input": [*SAYS, {"role": "system", "content": "x"}]}, "input[2]"),
        ({"instructions": "Be mine."}, "instructions"),
        ({"reasoning": {"effort": "high"}, "model": "bot/thinker"}, "reasoning.effort"),
    ],
    ids=str,
)
async def test_what_a_bot_does_not_take_is_named_as_the_request_has_it(fields: Json, param: str) -> None:
    async with gateway() as opened:
        await opened.save_bot("support", BOT)
        thinker = {"model": "gpt-4o", "reasoning_effort": "low"}
        await opened.save_bot("thinker", {"system_prompt": "x", "llm": thinker})
        named, words = await refusal(opened, **{"model": "bot/support"} | fields)

    assert named == param
    assert "messages" not in words


async def test_what_a_bot_does_not_take_of_the_responses_before_is_named_by_their_field() -> None:
    async with gateway() as opened:
        await opened.save_bot("support", BOT)
        before = await ask(opened, input="x" * 101)
        named, _ = await refusal(opened, model="bot/support", previous_response_id=before["id"])

    assert named == "previous_response_id"


async def test_an_image_that_a_model_does_not_see_is_named_as_input() -> None:
    async with gateway() as opened:
        named, words = await refusal(opened, model="o3-mini", input=[{"role": "user", "content": [IMAGE]}])

    assert (named, "messages" in words) == ("input", False)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("messages[0].content", "instructions"),
        ("messages[1].content[0].type", "input[0]"),
        ("messages[2].content", "input[1]"),
        ("messages[9].content", "input"),
        ("messages", "input"),
        ("max_tokens", "max_output_tokens"),
        ("max_completion_tokens", "max_output_tokens"),
        ("response_format.json_schema.schema", "text.format.schema"),
        ("response_format", "text.format"),
        ("reasoning_effort", "reasoning.effort"),
        ("tools[0].function.parameters", "tools[0].parameters"),
        ("tool_choice.function.name", "tool_choice.name"),
        ("temperature", "temperature"),
        ("a parameter, such as sk-1234", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_provider_names_is_named_as_the_request_has_it(
    theirs: str | None, ours: str | None, *, stream: bool
) -> None:
    async def refuse(_: Json) -> httpx2.Response:
        told: dict[str, Any] = {"code": "invalid_value", "message": "sk-1234", "param": theirs}
        return httpx2.Response(400, json={"error": told})

    async with gateway() as opened:
        opened.provider.respond = refuse
        named, words = await refusal(opened, instructions="Be brief.", input=SAYS, stream=stream)

    assert named == ours
    assert "sk-1234" not in words
