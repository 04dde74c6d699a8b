"""What OpenAI refuses is refused in its words, and what this endpoint does not do by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit_tests.local_llm.client import Model

HELLO = {"role": "user", "content": "x"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOOL = {"type": "function", "function": {"name": "f"}}
INSTEAD, ONLY_DEFAULT = (
    " Use 'max_completion_tokens' instead.",
    " Only the default (1) value is supported.",
)
UNKNOWN = "unknown_parameter"
HERE = "unsupported_parameter"
TYPE, VALUE, MISSING = "invalid_type", "invalid_value", "missing_required_parameter"


def answering(**function: object) -> dict[str, Any]:
    """Wrap a function as a tool."""
    return {"tools": [{"type": "function", "function": {"name": "f"} | function}]}


def schema(keywords: dict[str, Any], *, strict: bool = True) -> dict[str, Any]:
    """Wrap a schema as a response format."""
    wrapped = {"name": "a", "strict": strict, "schema": keywords}
    return {"response_format": {"type": "json_schema", "json_schema": wrapped}}


CLOSED: dict[str, Any] = {"type": "object", "additionalProperties": False}

REFUSED: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({"messages": None}, "messages", MISSING),
    ({"messages": "x"}, "messages", TYPE),
    ({"messages": []}, "messages", "empty_array"),
    ({"messages": ["x"]}, "messages[0]", TYPE),
    ({"messages": [{"content": "x"}]}, "messages[0].role", MISSING),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", VALUE),
    ({"messages": [{"role": 5, "content": "x"}]}, "messages[0].role", TYPE),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", TYPE),
    ({"messages": [{"role": "user"}]}, "messages[0].content", TYPE),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", TYPE),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
        MISSING,
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].type",
        HERE,
    ),
    ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, "messages[0].content[0].type", VALUE),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", MISSING),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c1"}]}, "messages.[0].role", None),
    ({"messages": [HELLO, CALLED]}, "messages", None),
    ({"messages": [HELLO, CALLED, HELLO]}, "messages.[2].role", None),
    ({"messages": [{"role": "assistant", "tool_calls": "x"}]}, "messages[0].tool_calls", TYPE),
    ({"messages": [{"role": "assistant", "tool_calls": ["x"]}]}, "messages[0].tool_calls[0]", TYPE),
    (
        {"messages": [{"role": "assistant", "tool_calls": [CALL | {"type": "x"}]}]},
        "messages[0].tool_calls[0].type",
        VALUE,
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]},
        "messages[0].tool_calls[0].function",
        MISSING,
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [CALL | {"id": None}]}]},
        "messages[0].tool_calls[0].id",
        MISSING,
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f"}}]}]},
        "messages[0].tool_calls[0].function.arguments",
        MISSING,
    ),
    ({"model": ""}, None, None),
    ({"model": 5}, None, None),
    ({"wonder": 1}, "wonder", UNKNOWN),
    ({"n": 2}, "n", HERE),
    ({"logprobs": True}, "logprobs", HERE),
    ({"functions": [{"name": "f"}]}, "functions", HERE),
    ({"modalities": ["audio"]}, "modalities", HERE),
    ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
    ({"max_tokens": True}, "max_tokens", TYPE),
    ({"max_tokens": 99_999}, "max_tokens", VALUE),
    ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_parameter_combination"),
    ({"temperature": 3}, "temperature", "decimal_above_max_value"),
    ({"temperature": -1}, "temperature", "decimal_below_min_value"),
    ({"top_p": "x"}, "top_p", TYPE),
    ({"stream": "yes"}, "stream", TYPE),
    ({"stream_options": {"include_usage": True}}, "stream_options", None),
    ({"stream": True, "stream_options": 5}, "stream_options", TYPE),
    ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", UNKNOWN),
    ({"stop": 5}, "stop", TYPE),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "array_above_max_length"),
    ({"user": 5}, "user", TYPE),
    ({"reasoning_effort": "low"}, "reasoning_effort", HERE),
    ({"response_format": "json"}, "response_format", TYPE),
    ({"response_format": {"type": "xml"}}, "response_format.type", VALUE),
    ({"response_format": {"type": "json_object"}}, "messages", None),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", MISSING),
    (
        {"response_format": {"type": "json_schema", "json_schema": 5}},
        "response_format.json_schema",
        TYPE,
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
        MISSING,
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
        "response_format.json_schema.name",
        VALUE,
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a" * 65, "schema": {}}}},
        "response_format.json_schema.name",
        "string_above_max_length",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        "response_format.json_schema.schema",
        MISSING,
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 5}}},
        "response_format.json_schema.schema",
        TYPE,
    ),
    ({"model": "gpt-4"} | schema(CLOSED), "response_format", None),
    (schema({"type": "array", "items": {"type": "string"}}), "response_format", None),
    (schema({"type": "object"}), "response_format", None),
    (schema(CLOSED | {"properties": {"a": {"type": "string"}}}), "response_format", None),
    (schema(CLOSED | {"properties": {}, "required": ["a"]}), "response_format", None),
    (schema(CLOSED | {"properties": 5}), "response_format", None),
    (schema(CLOSED | {"allOf": []}), "response_format", None),
    (schema(CLOSED | {"properties": {"a": {}}, "required": ["a"]}), "response_format", None),
    (schema(CLOSED | {"properties": {"a": {"type": "array"}}, "required": ["a"]}), "response_format", None),
    (schema(CLOSED | {"properties": {"a": {"$ref": "#/b"}}, "required": ["a"]}), "response_format", None),
    (schema({"type": "string", "minLength": 2, "maxLength": 1}, strict=False), "response_format", None),
    (schema({"type": "wonder"}, strict=False), "response_format", None),
    (schema({"$ref": "#"}, strict=False), "response_format", None),
    (schema({"type": "string", "pattern": "(?=a)b"}, strict=False), "response_format", None),
    (schema({"type": "string", "pattern": "("}, strict=False), "response_format", None),
    ({"tools": 5}, "tools", TYPE),
    ({"tools": []}, "tools", "empty_array"),
    ({"tools": [TOOL] * 129}, "tools", "array_above_max_length"),
    ({"tools": [5]}, "tools[0]", TYPE),
    ({"tools": [{"type": "custom"}]}, "tools[0].type", HERE),
    ({"tools": [{"type": "x"}]}, "tools[0].type", VALUE),
    ({"tools": [{"type": "function"}]}, "tools[0].function", MISSING),
    (answering(name="a b"), "tools[0].function.name", VALUE),
    (answering(parameters=5), "tools[0].function.parameters", TYPE),
    (answering(parameters={"type": "string"}), "tools[0].function.parameters", "invalid_function_parameters"),
    (
        answering(strict=True, parameters={"type": "object"}),
        "tools[0].function.parameters",
        "invalid_function_parameters",
    ),
    ({"tool_choice": "auto"}, "tool_choice", None),
    ({"parallel_tool_calls": True}, "parallel_tool_calls", None),
    ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice", VALUE),
    ({"tools": [TOOL], "tool_choice": 5}, "tool_choice", TYPE),
    ({"tools": [TOOL], "tool_choice": {"type": "custom"}}, "tool_choice.type", HERE),
    ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function", MISSING),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        "tool_choice",
        None,
    ),
    (
        {
            "tools": [TOOL],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [5]}},
        },
        "tool_choice.allowed_tools.tools[0].function.name",
        MISSING,
    ),
]


@pytest.mark.parametrize(("body", "param", "code"), REFUSED)
async def test_what_cannot_be_is_refused_by_name(
    model: Model, body: dict[str, Any], param: str | None, code: str | None
) -> None:
    error = await model.refused(**body)

    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert error["message"]


@pytest.mark.parametrize(
    "name", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-6.1-sol"]
)
@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            {"max_tokens": 5},
            "unsupported_parameter",
            "Unsupported parameter: 'max_tokens' is not supported with this model." + INSTEAD,
        ),
        (
            {"temperature": 0.2},
            "unsupported_value",
            "Unsupported value: 'temperature' does not support 0.2 with this model." + ONLY_DEFAULT,
        ),
        (
            {"top_p": 0.5},
            "unsupported_parameter",
            "Unsupported parameter: 'top_p' is not supported with this model.",
        ),
        (
            {"presence_penalty": 1},
            "unsupported_parameter",
            "Unsupported parameter: 'presence_penalty' is not supported with this model.",
        ),
        (
            {"stop": ["x"]},
            "unsupported_parameter",
            "Unsupported parameter: 'stop' is not supported with this model.",
        ),
    ],
)
async def test_reasoning_models_refuse_what_the_real_ones_refuse(
    model: Model, name: str, body: dict[str, Any], code: str, message: str
) -> None:
    error = await model.refused(model=name, **body)

    assert error == {
        "message": message,
        "type": "invalid_request_error",
        "param": next(iter(body)),
        "code": code,
    }


@pytest.mark.parametrize(
    "body",
    [
        {"model": "o4-mini", "max_completion_tokens": 50, "temperature": 1, "top_p": 1},
        {"model": "gpt-5", "reasoning_effort": "low"},
        {"model": "gpt-5-chat-latest", "max_tokens": 50, "temperature": 0.2},
        {"model": "gpt-4o", "max_tokens": 50, "temperature": 0.2, "top_p": 0.5, "stop": "x", "seed": 1},
        {"model": "gpt-4o", "modalities": ["text"], "logprobs": False, "stream_options": None},
    ],
)
async def test_what_the_real_ones_take_is_taken(model: Model, body: dict[str, Any]) -> None:
    assert (await model.ask(**body)).status_code == 200


async def test_a_reasoning_effort_has_a_name(model: Model) -> None:
    assert (await model.refused(model="o3", reasoning_effort="x"))["code"] == "invalid_value"


@pytest.mark.parametrize("content", [b"{", b"[]", b"[" * 100_000, b'{"temperature": NaN}'])
async def test_what_is_no_json_object_is_refused(model: Model, content: bytes) -> None:
    assert (await model.client.post("/v1/chat/completions", content=content)).status_code == 400


async def test_a_prompt_that_is_longer_than_the_models_context_is_refused(model: Model) -> None:
    long = [{"role": "user", "content": "word " * 9_000}]
    error = await model.refused(model="gpt-4", messages=long)

    assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")


async def test_a_schema_nested_without_end_is_refused(model: Model) -> None:
    nested: dict[str, Any] = {"type": "string"}
    for _ in range(80):
        nested = {"type": "array", "items": nested}
    closed = {**CLOSED, "properties": {"a": nested}, "required": ["a"]}

    assert "nested too deeply" in (await model.refused(**schema(closed)))["message"]
