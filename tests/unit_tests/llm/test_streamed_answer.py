"""A stream's bytes become the data of events, and those a text, its end and its usage."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import Usage
from shared.llm.chat_model import (
    DeclinedAnswerError,
    FilteredAnswerError,
    OutputLimitReachedError,
    TruncatedAnswerError,
    UnusableAnswerError,
)
from shared.llm.streamed_answer import EventDecoder, EventTooLongError, StreamedAnswer

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
USED = Usage.model_validate(USAGE)
DONE = b"[DONE]"


def part(content: object = None, finish: str | None = None, **delta: object) -> bytes:
    choice = {"index": 0, "delta": {"content": content} | delta, "finish_reason": finish}
    return json.dumps({"model": "gpt-4o-x", "choices": [choice], "usage": None}).encode()


END = part(finish="stop")
TOLD = json.dumps({"choices": [], "usage": USAGE}).encode()


def taken(*events: bytes, most_characters: int = 100) -> tuple[str, StreamedAnswer]:
    answer = StreamedAnswer("gpt-4o", most_characters)
    return "".join(map(answer.take, events)) + answer.end(), answer


@given(cuts=st.lists(st.integers(0, 60)), end=st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_found_however_the_bytes_are_cut(cuts: list[int], end: bytes) -> None:
    lines = [b": hi", b"event: x", b"data: one", b"", b"data:two", b"data: more", b"", b"", b"data: cut"]
    content = end.join(lines)
    decoder = EventDecoder(1000)
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[start:stop] for start, stop in pairwise(edges)]

    assert [event for piece in pieces for event in decoder.feed(piece)] == [b"one", b"two\nmore"]


@pytest.mark.parametrize("content", [b"data: " + b"x" * 100, b"data: x\n" * 51, b"x" * 101])
def test_an_event_that_is_too_long_is_refused_before_its_end(content: bytes) -> None:
    with pytest.raises(EventTooLongError):
        EventDecoder(100).feed(content)


def test_a_text_comes_in_parts_and_ends_with_what_it_used() -> None:
    text, answer = taken(part(""), part("hel"), part("lo"), END, TOLD, DONE)
    completion = answer.complete()

    assert (text, answer.is_over) == ("hello", True)
    assert (completion.text, completion.model, completion.finish_reason) == ("hello", "gpt-4o-x", "stop")
    assert completion.usage == USED


@pytest.mark.parametrize(
    "odd",
    [b"{}", b"null", b"[]", b'{"choices": {}}', b'{"choices": [null]}', b'{"choices": [{"delta": 3}]}'],
)
def test_an_event_that_says_nothing_changes_nothing(odd: bytes) -> None:
    text, answer = taken(part("hi"), odd, END, TOLD, DONE)
    assert text == answer.complete().text == "hi"


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (["so \ud83d", "\ude00!"], "so \U0001f600!"),
        (["so \ud83d", "what"], "so \N{REPLACEMENT CHARACTER}what"),
        (["so \ud83d"], "so \N{REPLACEMENT CHARACTER}"),
        (["\ude00 so"], "\N{REPLACEMENT CHARACTER} so"),
    ],
)
def test_a_character_that_is_cut_in_two_comes_whole_or_replaced(contents: list[str], text: str) -> None:
    parts, answer = taken(*map(part, contents), END, TOLD)
    assert parts == answer.complete().text == text


@pytest.mark.parametrize("events", [[part("hel")], [part("hel"), DONE], [part("hel"), TOLD, DONE], []])
def test_a_stream_without_a_finish_reason_is_truncated(events: list[bytes]) -> None:
    _, answer = taken(*events)
    with pytest.raises(TruncatedAnswerError) as caught:
        answer.complete()
    assert caught.value.usage == (USED if TOLD in events else None)


def test_a_whole_answer_is_one_without_the_last_word_of_its_stream() -> None:
    assert taken(part("hi"), END, TOLD)[1].complete().text == "hi"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (b"{broken", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"error": {"message": "my rash"}}', "with an error"),
        (part("x" * 101), "more text"),
    ],
)
def test_a_fault_ends_the_text_and_the_use_is_read_all_the_same(fault: bytes, reason: str) -> None:
    text, answer = taken(part("hel"), fault, part("lo"), END, TOLD, DONE)
    with pytest.raises(UnusableAnswerError, match=reason) as caught:
        answer.complete()
    assert text == "hel"
    assert caught.value.usage == USED
    assert "rash" not in caught.value.message


def test_an_answer_without_a_text_is_unusable_and_its_use_is_known() -> None:
    with pytest.raises(UnusableAnswerError, match="no text") as caught:
        taken(part(finish="stop"), TOLD, DONE)[1].complete()
    assert caught.value.usage == USED


def test_an_output_limit_that_was_used_before_any_text_is_an_error_of_its_own() -> None:
    with pytest.raises(OutputLimitReachedError) as caught:
        taken(part(finish="length"), TOLD, DONE)[1].complete()
    assert (caught.value.usage, caught.value.status) == (USED, 422)


def test_an_answer_that_does_not_tell_its_use_is_unusable() -> None:
    with pytest.raises(UnusableAnswerError, match="what its answer used") as caught:
        taken(part("hi"), END, DONE)[1].complete()
    assert caught.value.usage is None


def test_the_content_filter_is_an_error_of_its_own_whose_use_is_known() -> None:
    with pytest.raises(FilteredAnswerError) as caught:
        taken(part("hal"), part(finish="content_filter"), TOLD, DONE)[1].complete()
    assert caught.value.usage == USED


def test_a_model_that_declines_is_an_error_of_its_own_whose_use_is_known() -> None:
    text, answer = taken(part(refusal="I"), part(refusal=" cannot"), END, TOLD, DONE)
    with pytest.raises(DeclinedAnswerError) as caught:
        answer.complete()
    assert (text, caught.value.usage, caught.value.status) == ("", USED, 422)
