"""Choice of the turns that the model is reminded of: the last ones that a budget of tokens holds."""

from __future__ import annotations

from itertools import accumulate
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
    if fits_by_bytes(answered, max_tokens):
        return answered
    sizes = await measure_last(answered, max_tokens, model, counter)
    return answered[len(answered) - count_fitting(sizes, max_tokens) :]


def fits_by_bytes(turns: Sequence[RecentTurn], max_tokens: int) -> bool:
    """Tell whether turns have no more bytes than a budget has tokens, so that nothing need be counted."""
    return sum(count_bytes(turn) + TOKENS_AROUND_TURN for turn in turns) <= max_tokens


def count_fitting(sizes: Sequence[int], room: int) -> int:
    """Return how many of the first sizes have room together."""
    return sum(total <= room for total in accumulate(sizes))


async def measure_last(
    turns: Sequence[RecentTurn], max_tokens: int, model: str, counter: CountsText
) -> list[int]:
    """Return the tokens of the last turns in a prompt, the last one first, up to one that has no room."""
    sizes: list[int] = []
    room = max_tokens
    for turn in reversed(turns):
        size = TOKENS_AROUND_TURN + await _count_tokens(turn, room, model, counter)
        sizes.append(size)
        room -= size
        if room < 0:
            break
    return sizes


def count_bytes(turn: RecentTurn) -> int:
    """Return the bytes of a turn's texts."""
    return len(turn.message.encode()) + len(turn.response.encode())


async def _count_tokens(turn: RecentTurn, room: int, model: str, counter: CountsText) -> int:
    tokens = await counter.count_text(turn.message, model)
    if tokens > room:
        return tokens
    return tokens + await counter.count_text(turn.response, model)
