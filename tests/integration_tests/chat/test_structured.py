"""Structured answers through the real host and model: what fits, what is repaired, what is counted."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.integration_tests.platform import Platform

SCHEMA = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["positive", "negative"]},
        "topics": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["sentiment", "topics"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "schema": SCHEMA}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", "gpt-4-turbo"])
def test_each_kind_of_model_answers_in_the_form_or_the_turn_is_refused(
    platform: Platform, model: str
) -> None:
    caller = platform.caller(platform.new_tenant())
    bot = {"system_prompt": "Analyse.", "llm": {"model": model}, "response_format": FORMAT}
    caller.must("PUT", "/api/v1/bots/b", bot)

    answer = caller.send("POST", "/api/v1/bots/b/chat", {"message": "The printer is great."}).json()
    used = caller.must("GET", "/api/v1/usage")["total"]

    if model == "gpt-4-turbo":  # the stand-in cannot be held to a schema under this name, as the model cannot
        assert answer["error"] == "InvalidAnswerError"
        assert used["total_tokens"] == answer["detail"]["usage"]["total_tokens"] > 0
        return
    made = json.loads(answer["response"])
    assert made["sentiment"] in {"positive", "negative"}
    assert used["total_tokens"] == answer["usage"]["total_tokens"]


def test_an_answer_that_was_repaired_is_counted_as_both_that_the_model_gave(platform: Platform) -> None:
    caller = platform.caller(platform.new_tenant())
    caller.must("PUT", "/api/v1/bots/b", {"system_prompt": "Analyse.", "response_format": FORMAT})
    mark = f"A question that only {uuid.uuid4().hex} asks"
    answers: list[Any] = [
        {"content": '{"sentiment": "fine"}'},
        {"content": '{"sentiment": "positive", "topics": []}'},
    ]
    with httpx.Client(base_url=platform.addresses["llm"], trust_env=False) as model:
        told = model.post("/_local/answers", json={"contains": mark, "answers": answers})
        assert told.status_code == 201, told.text

    answer = caller.must("POST", "/api/v1/bots/b/chat", {"message": mark})
    used = caller.must("GET", "/api/v1/usage")["total"]

    assert json.loads(answer["response"]) == {"sentiment": "positive", "topics": []}
    assert used["requests"] == 2
    kinds = ("prompt_tokens", "cached_tokens", "completion_tokens", "total_tokens")
    assert {kind: used[kind] for kind in kinds} == {kind: answer["usage"][kind] for kind in kinds}
