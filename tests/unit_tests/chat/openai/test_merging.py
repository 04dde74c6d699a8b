"""Parts of a stream add up to one part that says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.chat.openai.merging import MergedChunks
from tests.support.openai_answers import chunk_json

if TYPE_CHECKING:
    from collections.abc import Sequence

type Json = dict[str, Any]


def merge(*chunks: Json) -> Json:
    """Put parts together."""
    whole = MergedChunks()
    for chunk in chunks:
        whole.add(chunk)
    return whole.merged()


def choice(index: int, delta: Json, finish_reason: str | None = None, **more: object) -> Json:
    """Write a part of one of several answers."""
    return chunk_json({}) | {
        "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason, **more}]
    }


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=5)), max_size=30))
@pytest.mark.slow
def test_the_words_of_each_answer_add_up_however_they_are_mixed(parts: Sequence[tuple[int, str]]) -> None:
    merged = merge(*(choice(index, {"content": text}) for index, text in parts))

    told = {one["index"]: one["delta"]["content"] for one in merged.get("choices", [])}
    assert told == {index: "".join(t for i, t in parts if i == index) for index, _ in parts}


def test_calls_of_tools_and_likelihoods_add_up_and_the_end_is_kept() -> None:
    begin = {"index": 1, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    other = {"index": 0, "id": "call_0", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    merged = merge(
        choice(0, {"role": "assistant", "content": None, "tool_calls": [begin]}),
        choice(0, {"tool_calls": [other, {"index": 1, "function": {"arguments": '{"a"'}}]}),
        choice(0, {"tool_calls": [{"index": 1, "function": {"arguments": ":1}"}}]}),
        choice(0, {"content": "a"}, logprobs={"content": [{"token": "a"}], "refusal": None}),
        choice(0, {"content": "b"}, logprobs={"content": [{"token": "b"}], "refusal": None}),
        choice(0, {}, "tool_calls"),
        chunk_json({}) | {"choices": [], "usage": {"total_tokens": 7}},
    )

    [one] = merged["choices"]
    assert [call["id"] for call in one["delta"]["tool_calls"]] == ["call_0", "call_1"]
    assert one["delta"]["tool_calls"][1]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert (one["delta"]["role"], one["delta"]["content"]) == ("assistant", "ab")
    assert [token["token"] for token in one["logprobs"]["content"]] == ["a", "b"]
    assert one["finish_reason"] == "tool_calls"
    assert merged["usage"] == {"total_tokens": 7}


def test_what_a_later_part_leaves_empty_takes_nothing_back() -> None:
    merged = merge(
        {"id": "", "model": "", "choices": []}, chunk_json({"content": "a"}), {"id": "", "choices": []}
    )

    assert (merged["id"], merged["model"]) == ("chatcmpl-1", "gpt-4o-2024-08-06")


def test_parts_are_not_changed_by_being_put_together() -> None:
    first, second = choice(0, {"x": {"a": "1"}}), choice(0, {"x": {"a": "2"}})
    merge(first, second)

    assert first["choices"][0]["delta"] == {"x": {"a": "1"}}
