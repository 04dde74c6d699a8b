"""Choice of the turns that the model is reminded of: the last ones that a budget of tokens holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from functions.chat.bots.models import MAX_HISTORY_TURNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.chat.conversations.stored_models import RecentTurn

TOKENS_AROUND_TURN = 8
"""Two messages are framed by three tokens each, and have a role (see shared/llm/token_counting.py)."""

_LEAST_TOKENS = TOKENS_AROUND_TURN + 2


class CountsText(Protocol):
    """Tokenizer of a model's texts."""

    async def count_text(self, text: str, model: str) -> int:
        """Return the tokens of a text."""
        ...


def most_turns(max_tokens: int) -> int:
    """Return how many turns a budget can hold at most: more of them need not be read."""
    return min(MAX_HISTORY_TURNS, max_tokens // _LEAST_TOKENS)


async def fit_history(
    turns: Sequence[RecentTurn], max_tokens: int, model: str, counter: CountsText
) -> Sequence[RecentTurn]:
    """Return the last of the answered turns that together have at most so many tokens, oldest first.

    Where the bytes are no more than the budget, neither are the tokens, and nothing is counted.
    """
    answered = [turn for turn in turns if turn.response]
    if sum(_count_bytes(turn) + TOKENS_AROUND_TURN for turn in answered) <= max_tokens:
        return answered
    room = max_tokens
    for place in reversed(range(len(answered))):
        room -= TOKENS_AROUND_TURN + await _count_tokens(answered[place], room, model, counter)
        if room < 0:
            return answered[place + 1 :]
    return answered


def _count_bytes(turn: RecentTurn) -> int:
    return len(turn.message.encode()) + len(turn.response.encode())


async def _count_tokens(turn: RecentTurn, room: int, model: str, counter: CountsText) -> int:
    tokens = await counter.count_text(turn.message, model)
    if tokens > room:
        return tokens
    return tokens + await counter.count_text(turn.response, model)
