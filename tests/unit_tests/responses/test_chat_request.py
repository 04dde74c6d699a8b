"""What a response asks for, as a chat completion has it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from functions.chat.openai.responses.chat_request import build_chat_request, drop_unasked_outputs
from functions.chat.openai.responses.input_items import STORED_ITEM, ItemReference
from functions.chat.openai.responses.models import CreateResponseRequest

if TYPE_CHECKING:
    from types import FrameType

    from functions.chat.openai.responses.chat_request import ChatField

CALL = {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": '{"id": 7}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
TOOL = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": True}


def read(**fields: object) -> CreateResponseRequest:
    return CreateResponseRequest.model_validate_json(
        json.dumps({"model": "gpt-4o", "input": "hello"} | fields)
    )


def translate(**fields: object) -> ChatField:
    request = read(**fields)
    items = [one for one in request.input if not isinstance(one, ItemReference)]
    return build_chat_request(request, items).body


def messages(*items: object) -> list[Any]:
    found = translate(input=list(items))["messages"]
    assert isinstance(found, list)
    return found


def problems(**fields: object) -> str:
    with pytest.raises(ValidationError) as refused:
        read(**fields)
    return str(refused.value)


def test_a_text_is_a_message_of_the_users() -> None:
    assert translate() == {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


def test_instructions_come_before_all_messages() -> None:
    told = translate(instructions="Be brief.", input=[{"role": "developer", "content": "Be kind."}])

    assert told["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
    ]


def test_parts_of_a_message_keep_their_order() -> None:
    parts = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
    ]

    assert messages({"role": "user", "content": parts}) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            ],
        }
    ]


def test_an_answer_comes_back_as_the_assistants_text() -> None:
    content = [
        {"type": "output_text", "text": "It is ", "annotations": [], "logprobs": []},
        {"type": "output_text", "text": "a cat.", "annotations": []},
    ]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}

    assert messages(item, {"role": "user", "content": "Sure?"}) == [
        {"role": "assistant", "content": "It is a cat."},
        {"role": "user", "content": "Sure?"},
    ]


def test_a_refusal_comes_back_as_one() -> None:
    item = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}

    assert messages(item) == [{"role": "assistant", "content": None, "refusal": "No."}]


def test_calls_and_the_text_before_them_are_one_message_of_the_assistants() -> None:
    text = {"role": "assistant", "content": "Let me see."}

    told = messages(text, CALL, CALL | {"call_id": "c2"}, OUTPUT, OUTPUT | {"call_id": "c2"}, CALL)

    assert [(one["role"], len(one.get("tool_calls", ()))) for one in told] == [
        ("assistant", 2),
        ("tool", 0),
        ("tool", 0),
        ("assistant", 1),
    ]
    assert told[0]["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "look_up", "arguments": '{"id": 7}'},
    }
    assert told[1] == {"role": "tool", "tool_call_id": "c1", "content": "sunny"}


def test_an_output_in_parts_is_one_text() -> None:
    parts = [{"type": "input_text", "text": "sun"}, {"type": "input_text", "text": "ny"}]

    assert messages(CALL, OUTPUT | {"output": parts})[1]["content"] == "sunny"


def test_no_model_is_told_its_reasoning_again() -> None:
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
    }

    told = messages(reasoning, CALL, reasoning, CALL | {"call_id": "c2"})

    assert [len(one["tool_calls"]) for one in told] == [2]


def test_tools_and_their_choice_are_nested_as_chat_completions_have_them() -> None:
    function = {"name": "look_up", "parameters": {"type": "object"}, "strict": True}
    named = {"type": "function", "function": {"name": "look_up"}}
    choices = {
        "required": "required",
        "one": named,
        "some": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}},
    }
    asked = {
        "required": "required",
        "one": {"type": "function", "name": "look_up"},
        "some": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "look_up"}],
        },
    }

    for case, choice in asked.items():
        told = translate(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)
        assert told["tools"] == [{"type": "function", "function": function}]
        assert (told["tool_choice"], told["parallel_tool_calls"]) == (choices[case], False)
    assert "tool_choice" not in translate(tool_choice="auto", parallel_tool_calls=True)


def test_the_form_of_the_text_is_nested_as_chat_completions_have_it() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form = {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}

    told = translate(text={"format": form, "verbosity": "low"})

    assert told["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }
    assert told["verbosity"] == "low"
    assert translate(text={"format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}
    assert "response_format" not in translate(text={"format": {"type": "text"}})


def test_what_a_model_is_told_beside_messages_has_chat_completions_names() -> None:
    told = translate(
        max_output_tokens=50,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "low", "summary": "auto"},
        include=["message.output_text.logprobs"],
        top_logprobs=3,
        user="u1",
        safety_identifier="s1",
        prompt_cache_key="k",
        service_tier="auto",
        metadata={"a": "b"},
    )

    del told["messages"]
    assert told == {
        "model": "gpt-4o",
        "max_completion_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning_effort": "low",
        "logprobs": True,
        "top_logprobs": 3,
        "user": "u1",
        "safety_identifier": "s1",
        "prompt_cache_key": "k",
        "service_tier": "auto",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"max_tool_calls": 1},
        {"truncation": "auto"},
        {"tools": [{"type": "web_search"}]},
        {"input": [{"type": "computer_call_output", "call_id": "c"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        {"input": [{"role": "user", "content": [{"type": "output_text", "text": "a"}]}]},
        {"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "data:,"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        {"input": [OUTPUT | {"output": [{"type": "input_image", "image_url": "data:,"}]}]},
        {"store": False, "background": True},
        {"input": []},
        {"what_is_new": 1},
    ],
    ids=str,
)
def test_what_is_not_supported_is_refused_and_not_dropped(fields: dict[str, Any]) -> None:
    assert next(iter(fields)) in problems(**fields) or "body" not in problems(**fields)


def test_a_field_that_says_nothing_is_no_reason_to_refuse() -> None:
    assert read(conversation=None, prompt=None, moderation=None, max_tool_calls=None).is_stored


def test_an_output_whose_call_is_gone_is_left_out() -> None:
    items = [STORED_ITEM.validate_python(one) for one in (OUTPUT, CALL, OUTPUT)]

    assert [item.type for item in drop_unasked_outputs(items)] == ["function_call", "function_call_output"]


def _nest(levels: int) -> dict[str, Any]:
    """Return a schema of so many objects, the deepest first."""
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        inner = {"type": "object", "properties": {"a": inner}}
    return inner


def _count_steps(body: bytes) -> int:
    """Return how many Python functions reading a request calls."""
    steps = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal steps
        steps += event == "call"

    sys.setprofile(count)
    try:
        CreateResponseRequest.model_validate_json(body)
    finally:
        sys.setprofile(None)
    return steps


def test_reading_tools_takes_few_steps_however_deep_they_are() -> None:
    def write(levels: int) -> bytes:
        tools = [TOOL | {"parameters": _nest(levels)} for _ in range(128)]
        return json.dumps({"model": "gpt-4o", "input": "hello", "tools": tools}).encode()

    read()  # the model is built when it is first used

    assert max(_count_steps(write(levels)) for levels in (1, 28)) < 500
