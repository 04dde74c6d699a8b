"""No body, however broken, breaks the endpoint: it answers, or says in OpenAI's shape what is wrong."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.soak import SOAK
from tests.unit_tests.local_llm.client import HELLO, open_model

EXAMPLES = 20_000 if SOAK else 150
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 1_000_000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(
    [
        "type",
        "function",
        "name",
        "parameters",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "$ref",
        "#/$defs/a",
        "$defs",
        "a",
        "object",
        "array",
        "string",
        "integer",
        "number",
        "boolean",
        "null",
        "strict",
        "schema",
        "json_schema",
        "json_object",
        "text",
        "additionalProperties",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "multipleOf",
        "uniqueItems",
        "prefixItems",
        "role",
        "content",
        "user",
        "assistant",
        "tool",
        "tool_calls",
        "tool_call_id",
        "id",
        "arguments",
        "auto",
        "required",
        "allowed_tools",
        "mode",
        "tools",
        "date-time",
        "^a+$",
        "include_usage",
    ]
)
SHAPED = st.recursive(
    WORDS | st.integers(-2, 5) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=12,
)
FIELDS = [
    "messages",
    "model",
    "n",
    "stream",
    "stream_options",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "user",
    "reasoning_effort",
    "logprobs",
    "functions",
    "seed",
]


def a_tool(schema: object) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "f", "parameters": schema}}]


def a_format(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


BODIES = st.one_of(
    JSON,
    st.dictionaries(st.sampled_from(FIELDS), JSON | SHAPED, max_size=4),
    st.dictionaries(st.sampled_from(FIELDS), JSON | SHAPED, max_size=2).map(
        lambda fields: {"model": "gpt-4o", "messages": HELLO} | fields
    ),
    SHAPED.map(lambda schema: {"model": "gpt-4o", "messages": HELLO, "response_format": a_format(schema)}),
    SHAPED.map(
        lambda schema: {
            "model": "gpt-4o",
            "messages": HELLO,
            "tools": a_tool(schema),
            "tool_choice": "required",
        }
    ),
)


@given(BODIES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.soak
@pytest.mark.slow
def test_every_body_gets_an_answer_or_a_refusal(body: object) -> None:
    async def ask() -> None:
        model = open_model()
        async with model.client:
            response = await model.client.post("/v1/chat/completions", json=body)
        assert response.status_code in {200, 400, 404}, response.text
        if response.status_code != 200:
            error = json.loads(response.text)["error"]
            assert error["message"]
            assert set(error) == {"message", "type", "param", "code"}

    asyncio.run(ask())


@pytest.mark.slow
async def test_a_schema_of_great_depth_is_answered_or_refused() -> None:
    for depth in (50, 200, 500, 900):
        nested: dict[str, Any] = {"type": "string"}
        for _ in range(depth):
            nested = {"type": "object", "properties": {"a": nested}, "required": ["a"]}
        model = open_model()
        async with model.client:
            for asked in (
                {"response_format": a_format(nested)},
                {"tools": a_tool(nested), "tool_choice": "required"},
            ):
                response = await model.client.post(
                    "/v1/chat/completions", json={"model": "gpt-4o", "messages": HELLO} | asked
                )
                assert response.status_code in {200, 400}
