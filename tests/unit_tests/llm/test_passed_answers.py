"""Answers that are passed on: what is read of them, and that nothing of them is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import Usage
from shared.llm.chat_model import TruncatedAnswerError, UnusableAnswerError
from shared.llm.passed_answer import PassedAnswer, parse_passed_answer
from shared.llm.passed_json import read_passed_json, write_passed_json
from tests.support.openai_answers import chunk_json, completion_json, usage_json

if TYPE_CHECKING:
    from collections.abc import Iterable

type Json = dict[str, Any]

USED = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
TOLD = chunk_json({}) | {"choices": [], "usage": usage_json(USED)}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def take(*events: Json | bytes, choices: int = 1) -> tuple[PassedAnswer, list[str]]:
    """Read a stream's events."""
    answer = PassedAnswer("asked", choices)
    data: Iterable[bytes] = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in events)
    return answer, list(answer.take_all(data))


@pytest.mark.slow
@given(JSON)
def test_all_json_comes_through_unchanged(value: object) -> None:
    assert json.loads(write_passed_json(value)) == value
    assert read_passed_json(json.dumps(value).encode()) == value


def test_half_a_character_comes_through_as_it_came() -> None:
    half = "\ud83d"
    read = read_passed_json(json.dumps({"a": half}).encode())

    assert read == {"a": half}
    assert json.loads(write_passed_json(read)) == {"a": half}


def test_the_words_of_a_part_are_those_of_all_that_the_model_says_in_it() -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    deltas: tuple[Json, ...] = (
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"reasoning_content": "b"},
        {"tool_calls": [call]},
    )
    answer, parts = take(*(chunk_json(delta) for delta in deltas), chunk_json({}, "stop"), TOLD, b"[DONE]")

    assert parts == ["", "a", "b", "f{}", "", ""]
    assert (answer.is_over, answer.is_whole) == (True, True)
    completion = answer.complete()
    assert (completion.usage, completion.finish_reason, completion.model) == (
        USED,
        "stop",
        "gpt-4o-2024-08-06",
    )


@pytest.mark.parametrize(
    "events",
    [
        (chunk_json({"content": "a"}), TOLD),
        (chunk_json({"content": "a"}),),
    ],
)
def test_an_answer_without_an_end_is_none(events: tuple[Json, ...]) -> None:
    with pytest.raises(TruncatedAnswerError):
        take(*events)[0].complete()


def of_choice(index: int, delta: Json, finish_reason: str | None = None) -> Json:
    """Write a part of one of several answers, of a provider that tells its usage with each."""
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return chunk_json({}) | {"choices": [choice], "usage": usage_json(USED)}


@pytest.mark.parametrize("others", [(), (of_choice(1, {"content": "b"}),)])
def test_several_answers_of_which_one_has_no_end_are_none(others: tuple[Json, ...]) -> None:
    answer, _ = take(of_choice(0, {"content": "a"}), *others, of_choice(0, {}, "stop"), choices=2)

    assert not answer.is_whole
    with pytest.raises(TruncatedAnswerError):
        answer.complete()


def test_several_answers_are_whole_when_each_has_its_end_or_the_provider_says_so() -> None:
    both, _ = take(of_choice(0, {}, "stop"), of_choice(1, {}, "length"), choices=2)
    fewer, _ = take(of_choice(0, {}, "stop"), b"[DONE]", choices=2)

    assert (both.is_whole, fewer.is_whole) == (True, True)
    assert both.complete().finish_reason == fewer.complete().finish_reason == "stop"


@pytest.mark.parametrize(
    "last", [{"error": {"message": "no"}}, b"{", b"[1", b"[" * 100_000, chunk_json({}, "stop")]
)
def test_an_answer_with_a_fault_or_without_its_usage_is_none(last: Json | bytes) -> None:
    with pytest.raises(UnusableAnswerError):
        take(chunk_json({}, "stop"), last)[0].complete()


def test_nothing_is_passed_on_after_a_fault() -> None:
    assert take(b"{", chunk_json({"content": "a"}))[1] == []


@pytest.mark.parametrize(
    "odd", [None, [], {}, {"usage": usage_json(USED)}, {"choices": [{}]}, {"choices": "x"}]
)
def test_an_odd_answer_is_not_passed_on_as_if_it_were_one(odd: object) -> None:
    with pytest.raises(UnusableAnswerError) as refused:
        parse_passed_answer(odd, "asked")

    usage = odd.get("usage") if isinstance(odd, dict) else None
    assert (refused.value.usage == USED) == (usage is not None)


def test_a_whole_answer_is_kept_as_it_came() -> None:
    sent = completion_json("hello", USED, "gpt-4o") | {"new": 1}

    assert parse_passed_answer(sent, "asked").answer == sent
