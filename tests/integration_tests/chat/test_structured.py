"""Structured answers through the real host and model: what fits, what is repaired, what is counted."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture
def model(platform: Platform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.addresses["llm"], trust_env=False, verify=NO_TLS) as client:
        yield client


def script(model: httpx.Client, *answers: dict[str, str]) -> str:
    """Have a question of its own answered so, and return it."""
    question = f"A question that only {uuid.uuid4().hex} asks"
    told = model.post("/_local/answers", json={"contains": question, "answers": answers})
    assert told.status_code == 201, told.text
    return question


def test_an_answer_that_was_repaired_is_counted_as_both_that_the_model_gave(
    platform: Platform, model: httpx.Client
) -> None:
    caller = platform.caller(platform.new_tenant())
    caller.must("PUT", "/api/v1/bots/b", {"system_prompt": "Analyse.", "response_format": FORMAT})
    wrong, right = '{"sentiment": "fine"}', '{"sentiment": "positive", "topics": []}'
    question = script(model, {"content": wrong}, {"content": right})

    answer = caller.must("POST", "/api/v1/bots/b/chat", {"message": question})
    used = caller.must("GET", "/api/v1/usage")["total"]

    assert json.loads(answer["response"]) == {"sentiment": "positive", "topics": []}
    assert used["requests"] == 2
    kinds = ("prompt_tokens", "cached_tokens", "completion_tokens", "total_tokens")
    assert {kind: used[kind] for kind in kinds} == {kind: answer["usage"][kind] for kind in kinds}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"refusal": "I would rather not."}, "DeclinedAnswerError"),
        ({"content": "Half a", "finish_reason": "content_filter"}, "FilteredAnswerError"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_paid_shown_with_its_turn_and_not_asked_for_again(
    platform: Platform, model: httpx.Client, said: dict[str, str], error: str, *, stream: bool
) -> None:
    caller = platform.caller(platform.new_tenant())
    caller.must("PUT", "/api/v1/bots/b", {"system_prompt": "Analyse.", "response_format": FORMAT})
    question = script(model, said)

    body = {"message": question, "conversation_id": "c", "stream": stream}
    refused = caller.send("POST", "/api/v1/bots/b/chat", body)
    [turn] = caller.must("GET", "/api/v1/bots/b/conversations/c")["items"]
    used = caller.must("GET", "/api/v1/usage")["total"]

    assert f'"error":"{error}"' in refused.text
    assert used["requests"] == 1
    assert (turn["status"], turn["response"]) == ("failed", None)
    assert turn["usage"]["total_tokens"] == used["total_tokens"] > 0
