"""No text makes the tokenizer panic, or hold anybody up for long: its work is bounded before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.contracts import ChatMessage
from shared.llm.chat_model import ChatPrompt, PromptTooLongError
from shared.llm.token_counting import MAX_CHARACTERS, RANKS, TokenCounter, encoding_name
from tests.support.cpu_time import LeastTime
from tests.support.soak import REPEATABLE, SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTER = TokenCounter()
MODELS = ("gpt-4o", "gpt-4")
LONGEST_SECONDS = 1.0
LENGTHS = (1, 999, 10_000, 10_001, 50_000) if not SOAK else (1, 9_999, 20_001, 100_000)

_ANY = st.characters(exclude_categories=())
"""Controls, unassigned ones and halves of characters included."""

_RUN = st.builds(
    lambda unit, length: (unit * (length // len(unit) + 1))[:length],
    st.text(_ANY, min_size=1, max_size=2),
    st.sampled_from(LENGTHS),
)
_MIXED = st.lists(
    st.text(_ANY, max_size=200) | st.builds(str.__mul__, st.text(_ANY, max_size=3), st.integers(0, 9_000))
)
TEXTS = st.one_of(_RUN, st.builds("".join, _MIXED), st.builds(lambda *runs: "".join(runs), _RUN, _RUN)).map(
    lambda text: text[:MAX_CHARACTERS]
)


@sized(seconds=60)
@settings(REPEATABLE, max_examples=100_000 if SOAK else 60)
@given(text=TEXTS, model=st.sampled_from(MODELS))
@example(text=" " * 1_000_000, model="gpt-4o")
@example(text=" " * 1_000_000, model="gpt-4")
@example(text=" " * MAX_CHARACTERS, model="gpt-4o")
@example(text="\t " * 500_000 + "x", model="gpt-4o")
@example(text="A" * 1_000_000, model="gpt-4o")
@example(text="\ud83d" * 100_000, model="gpt-4o")
@pytest.mark.slow
async def test_any_text_is_counted_within_a_second(text: str, model: str) -> None:
    least = LeastTime(
        LONGEST_SECONDS
    )  # not the clock's: how busy the machine is besides is no fault of the text
    for _ in least.tries():
        assert 0 <= await COUNTER.count_text(text, model) <= 4 * len(text)
    assert least.seconds < LONGEST_SECONDS


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "write",
    [
        lambda number: f"The {number}th fox, it's said, jumps; over {number * 7} DOGS!  ",
        lambda number: f"line {number}\n\n  indented\tby tabs \r\n",
        lambda number: f"{{'key_{number}': [1.5, None]}} # übergrößenträger 汉字 😀 ",
    ],
)
async def test_cutting_a_long_text_at_words_changes_no_count(
    write: Callable[[int], str], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(RANKS))
    text = "".join(write(number) for number in range(6_000))
    assert len(text) > 100_000
    assert await COUNTER.count_text(text, model) == len(
        tiktoken.get_encoding(encoding_name(model)).encode_ordinary(text)
    )


@pytest.mark.parametrize("unit", ["a", "漢", "=", "\n", "xY", "0"])
async def test_cutting_where_there_are_no_words_changes_a_count_by_less_than_a_hundredth(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(RANKS))
    text = unit * (100_000 // len(unit))
    exact = len(tiktoken.get_encoding("o200k_base").encode_ordinary(text))
    assert abs(await COUNTER.count_text(text, "gpt-4o") - exact) < exact / 100


async def test_a_prompt_that_is_longer_than_what_is_counted_is_refused_before_the_work_begins() -> None:
    half = "x " * (MAX_CHARACTERS // 4)
    messages = (ChatMessage(role="user", content=half), ChatMessage(role="user", content=half + "and more"))
    least = LeastTime(0.1)
    for _ in least.tries():
        with pytest.raises(PromptTooLongError) as caught:
            await COUNTER.count_prompt(ChatPrompt(messages, "gpt-4o", 10))
    assert least.seconds < 0.1
    assert (caught.value.status, caught.value.detail) == (422, {"max_characters": 2_000_000})
