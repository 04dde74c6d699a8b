"""The model is reminded of the last turns that a budget of tokens holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functions.chat.bots.models import MAX_HISTORY_TURNS
from functions.chat.conversations.history import TOKENS_AROUND_TURN, fit_history, most_turns
from functions.chat.conversations.stored_models import RecentTurn
from shared.contracts import ChatMessage
from shared.llm.chat_model import ChatPrompt
from shared.llm.token_counting import TokenCounter

if TYPE_CHECKING:
    from tests.unit_tests.chat.app import App

TURN = TOKENS_AROUND_TURN + 4
"""What a turn of four words takes, each of which is a token."""


class CountingWords:
    """Takes each word for a token, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def count_text(self, text: str, model: str) -> int:
        assert model == "gpt-4o"
        self.asked += 1
        return len(text.split())


def turn(number: int, message: str = "wordy words", response: str = "wordy answer") -> RecentTurn:
    return RecentTurn(number=number, message=message, response=response)


TURNS = [turn(number) for number in range(1, 6)]


@pytest.mark.parametrize(
    ("max_tokens", "kept"),
    [
        (0, []),
        (TURN - 1, []),
        (TURN, [5]),
        (3 * TURN - 1, [4, 5]),
        (3 * TURN, [3, 4, 5]),
        (5 * TURN, [1, 2, 3, 4, 5]),
        (10_000, [1, 2, 3, 4, 5]),
    ],
)
async def test_the_last_turns_that_fit_are_kept_whole(max_tokens: int, kept: list[int]) -> None:
    fitting = await fit_history(TURNS, max_tokens, "gpt-4o", CountingWords())

    assert [one.number for one in fitting] == kept


async def test_a_turn_that_is_too_large_hides_those_before_it() -> None:
    turns = [turn(1), turn(2, "many " * 50), turn(3)]

    fitting = await fit_history(turns, 3 * TURN, "gpt-4o", CountingWords())

    assert [one.number for one in fitting] == [3]


async def test_a_turn_without_an_answer_takes_no_room() -> None:
    turns = [turn(1), turn(2, response=""), turn(3)]

    fitting = await fit_history(turns, 2 * TURN, "gpt-4o", CountingWords())

    assert [one.number for one in fitting] == [1, 3]


async def test_nothing_is_counted_where_the_bytes_fit_and_no_more_than_the_budget_holds() -> None:
    counter = CountingWords()
    await fit_history(TURNS, 5 * (TOKENS_AROUND_TURN + 23), "gpt-4o", counter)
    assert counter.asked == 0

    await fit_history(TURNS, TURN, "gpt-4o", counter)
    assert counter.asked == 3  # the second turn's message alone is too much


async def test_turns_whose_tokens_are_known_are_not_counted_again() -> None:
    counter = CountingWords()
    turns = [one.model_copy(update={"tokens": (2, 2)}) for one in TURNS]

    fitting = await fit_history([*turns[:-1], TURNS[-1]], 3 * TURN, "gpt-4o", counter)

    assert [(one.number, one.tokens) for one in fitting] == [(3, (2, 2)), (4, (2, 2)), (5, (2, 2))]
    assert counter.asked == 2


async def test_no_turn_that_was_said_before_is_counted_with_the_next(app: App) -> None:
    memory = {"max_tokens": 5 * (TOKENS_AROUND_TURN + 4)}
    await app.save_bot(system_prompt="Be brief.", memory=memory)
    for number in range(20):
        await app.chat(f"message {number}")
    assert app.counter.counted[-2:] == ["message 19", "answer 20"]
    assert [app.counter.counted.count(f"message {number}") for number in range(20)] == [1] * 20

    known = app.model.prompts[-1].counted
    assert known is not None
    assert set(known.tokens) == {one.content for one in app.model.prompts[-1].messages[1:]}


async def test_turns_are_counted_anew_for_a_model_that_counts_in_another_way(app: App) -> None:
    memory = {"max_tokens": 4 * (TOKENS_AROUND_TURN + 4)}
    await app.save_bot(system_prompt="Be brief.", memory=memory)
    for number in range(6):
        await app.chat(f"message {number}")
    await app.save_bot(system_prompt="Be brief.", memory=memory, llm={"model": "gpt-4"})
    before = len(app.counter.counted)
    await app.chat("next")

    assert app.counter.counted[before:] == [
        *("message 5", "answer 6", "message 4", "answer 5", "message 3", "answer 4", "message 2", "answer 3"),
        *("next", "answer 7"),
    ]


def test_a_small_budget_reads_few_turns_and_a_large_one_no_more_than_are_at_hand() -> None:
    assert [most_turns(tokens) for tokens in (0, 9, 10, 35, 100_000)] == [0, 0, 1, 3, MAX_HISTORY_TURNS]


@pytest.mark.parametrize("text", ["hello there", "\u00e9" * 40, "\U0001f600" * 20, "\t \n" * 30, "a" * 300])
@pytest.mark.slow
async def test_a_turn_has_as_many_tokens_in_a_prompt_as_are_counted_and_no_more_than_bytes(text: str) -> None:
    counter = TokenCounter()

    def prompt(*roles: str) -> ChatPrompt:
        messages = tuple(ChatMessage.model_validate({"role": role, "content": text}) for role in roles)
        return ChatPrompt(messages, "gpt-4o", 1)

    plain = await counter.count_prompt(prompt("user"))
    reminded = await counter.count_prompt(prompt("user", "assistant", "user"))
    counted = await counter.count_text(text, "gpt-4o")

    assert reminded - plain == TOKENS_AROUND_TURN + 2 * counted
    assert counted <= len(text.encode())
