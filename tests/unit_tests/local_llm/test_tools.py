"""Calls of functions: which, with what arguments, whole and piece by piece."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.unit_tests.local_llm.client import chunks_of

if TYPE_CHECKING:
    from tests.unit_tests.local_llm.client import Model

PARAMETERS: dict[str, dict[str, Any]] = {
    "get_weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
    "findHotel": {
        "type": "object",
        "properties": {"stars": {"type": "integer", "minimum": 1, "maximum": 5}},
        "required": ["stars"],
    },
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": parameters}}
    for name, parameters in PARAMETERS.items()
]
BOTH = "The weather in Paris, and a hotel?"


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def names(choice: dict[str, Any]) -> list[str]:
    return [call["function"]["name"] for call in choice["message"].get("tool_calls", [])]


@pytest.mark.parametrize(
    ("asked", "choice", "called", "finish"),
    [
        ("What is the weather?", None, ["get_weather"], "tool_calls"),
        (BOTH, None, ["get_weather", "findHotel"], "tool_calls"),
        (BOTH, "none", [], "stop"),
        ("Hello", "auto", [], "stop"),
        ("Hello", "required", ["get_weather"], "tool_calls"),
        ("A hotel", "required", ["findHotel"], "tool_calls"),
        ("Hello", {"type": "function", "function": {"name": "findHotel"}}, ["findHotel"], "stop"),
        (
            BOTH,
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOLS[1]]}},
            ["findHotel"],
            "tool_calls",
        ),
    ],
)
async def test_the_model_calls_what_is_named_and_chosen(
    model: Model, asked: str, choice: object, called: list[str], finish: str
) -> None:
    answered = await model.said(messages=user(asked), tools=TOOLS, tool_choice=choice)

    assert (names(answered), answered["finish_reason"]) == (called, finish)
    assert (answered["message"]["content"] is None) is bool(called)


async def test_one_at_a_time_is_one(model: Model) -> None:
    answered = await model.said(messages=user(BOTH), tools=TOOLS, parallel_tool_calls=False)

    assert names(answered) == ["get_weather"]


async def test_arguments_validate_and_stay_the_same(model: Model) -> None:
    first, again = [await model.said(messages=user(BOTH), tools=TOOLS) for _ in range(2)]

    assert first == again
    for call in first["message"]["tool_calls"]:
        arguments = json.loads(call["function"]["arguments"])
        jsonschema.validate(arguments, PARAMETERS[call["function"]["name"]])
    assert len({call["id"] for call in first["message"]["tool_calls"]}) == 2


async def test_a_stream_tells_the_same_calls_in_pieces(model: Model) -> None:
    whole = await model.said(messages=user(BOTH), tools=TOOLS)
    chunks = chunks_of(await model.ask(messages=user(BOTH), tools=TOOLS, stream=True))

    deltas = [
        call
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]
    told = [
        {
            "id": next(delta["id"] for delta in deltas if delta["index"] == index and "id" in delta),
            "arguments": "".join(
                delta["function"]["arguments"] for delta in deltas if delta["index"] == index
            ),
        }
        for index in range(2)
    ]
    assert told == [
        {"id": call["id"], "arguments": call["function"]["arguments"]}
        for call in whole["message"]["tool_calls"]
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[0]["choices"][0]["delta"]["content"] is None


async def test_what_a_tool_answered_is_taken_up(model: Model) -> None:
    called = (await model.said(messages=user("weather"), tools=TOOLS))["message"]
    answered = {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "18 degrees"}

    choice = await model.said(messages=[*user("weather"), called, answered], tools=TOOLS)

    assert "“18 degrees”" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"


async def test_a_limit_cuts_the_arguments(model: Model) -> None:
    answered = await model.said(messages=user("weather"), tools=TOOLS, max_tokens=8)

    assert answered["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answered["message"]["tool_calls"][0]["function"]["arguments"])


async def test_a_limit_leaves_no_room_for_the_second_call(model: Model) -> None:
    answered = await model.said(messages=user(BOTH), tools=TOOLS, max_tokens=6)

    assert names(answered) == ["get_weather"]


async def test_a_function_without_parameters_gets_none(model: Model) -> None:
    tools = [{"type": "function", "function": {"name": "now"}}]
    answered = await model.said(messages=user("x"), tools=tools, tool_choice="required")

    assert answered["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
