"""Responses: OpenAI's wire format, whole and in events, as the chat completion that each amounts to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.unit_tests.local_llm.client import Model

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
VERDICT = {
    "type": "json_schema",
    "name": "verdict",
    "schema": {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]},
}


async def respond(model: Model, /, **body: object) -> httpx.Response:
    return await model.client.post("/v1/responses", json={"model": "gpt-4o", "input": "hello world"} | body)


async def responded(model: Model, /, **body: object) -> dict[str, Any]:
    answer = await respond(model, **body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def read_events(answer: httpx.Response) -> list[dict[str, Any]]:
    told = [block.partition("\ndata: ") for block in answer.text.split("\n\n") if block]
    events = [json.loads(data) for _, _, data in told]
    assert [head.removeprefix("event: ") for head, _, _ in told] == [one["type"] for one in events]
    return events


async def test_a_response_says_and_costs_what_the_chat_completion_does(model: Model) -> None:
    answer = await responded(model, instructions="Be brief.", store=False)
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hello world"}]
    chat = (await model.ask(messages=messages)).json()

    (item,) = answer["output"]
    assert item["content"][0]["text"] == chat["choices"][0]["message"]["content"]
    assert (answer["object"], answer["status"], answer["store"]) == ("response", "completed", False)
    assert answer["instructions"] == "Be brief."
    assert answer["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]
    assert answer["usage"]["output_tokens"] == chat["usage"]["completion_tokens"]


async def test_the_events_add_up_to_the_response(model: Model) -> None:
    events = read_events(await respond(model, stream=True))

    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(one["type"] for one in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    whole = events[-1]["response"]
    deltas = [one["delta"] for one in events if one["type"] == "response.output_text.delta"]
    assert "".join(deltas) == whole["output"][0]["content"][0]["text"]
    assert events[0]["response"]["output"] == []
    assert {one["response"]["id"] for one in events if "response" in one} == {whole["id"]}


async def test_a_function_is_called_and_its_output_taken_up(model: Model) -> None:
    asked = {"role": "user", "content": [{"type": "input_text", "text": "What is the weather?"}]}
    called = await responded(model, input=[asked], tools=[WEATHER])
    (call,) = called["output"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees"}
    told = await responded(model, input=[asked, call, output], tools=[WEATHER])

    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    assert "city" in json.loads(call["arguments"])
    assert "18 degrees" in told["output"][0]["content"][0]["text"]


async def test_a_streamed_call_adds_up(model: Model) -> None:
    choice = {"type": "function", "name": "get_weather"}
    events = read_events(await respond(model, tools=[WEATHER], tool_choice=choice, stream=True))

    deltas = [one["delta"] for one in events if one["type"] == "response.function_call_arguments.delta"]
    (call,) = events[-1]["response"]["output"]
    assert "".join(deltas) == call["arguments"]


async def test_two_calls_at_once_are_one_turn_of_the_models(model: Model) -> None:
    asked = {"role": "user", "content": "go"}
    calls = [
        {"type": "function_call", "call_id": f"c{at}", "name": "get_weather", "arguments": "{}"}
        for at in range(2)
    ]
    outputs = [{"type": "function_call_output", "call_id": f"c{at}", "output": f"{at}"} for at in range(2)]

    assert (await responded(model, input=[asked, *calls, *outputs]))["status"] == "completed"


async def test_an_answer_keeps_to_its_format(model: Model) -> None:
    answer = await responded(model, text={"format": VERDICT})

    assert isinstance(json.loads(answer["output"][0]["content"][0]["text"])["score"], int)
    assert answer["text"]["format"] == VERDICT


async def test_what_is_cut_is_incomplete(model: Model) -> None:
    answer = await responded(model, max_output_tokens=3)

    assert (answer["status"], answer["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert answer["usage"]["output_tokens"] == 3


async def test_a_model_that_reasons_tells_so_before_its_text(model: Model) -> None:
    answer = await responded(model, model="o4-mini", reasoning={"effort": "low"})

    assert [item["type"] for item in answer["output"]] == ["reasoning", "message"]
    assert answer["usage"]["output_tokens_details"] == {"reasoning_tokens": 16}


async def test_a_refusal_is_told_as_one(model: Model) -> None:
    await model.tell("answers", answers=[{"refusal": "I would rather not."}], repeat=True)

    (item,) = (await responded(model))["output"]
    events = read_events(await respond(model, stream=True))

    assert item["content"] == [{"type": "refusal", "refusal": "I would rather not."}]
    assert "response.refusal.done" in {one["type"] for one in events}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "odd"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "odd"}]}, "input[0].type"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].tool_call_id"),
        ({"tools": 5}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"reasoning": 5}, "reasoning"),
        ({"text": {"format": {"type": "odd"}}}, "text.format.type"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"nothing": 1}, "nothing"),
    ],
)
async def test_what_it_does_not_take_is_refused_by_name(
    model: Model, body: dict[str, Any], param: str
) -> None:
    answer = await respond(model, **body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
