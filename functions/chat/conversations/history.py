"""Choice of the turns that the model is reminded of: the last ones that a budget of tokens holds."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from functions.chat.bots.models import MAX_HISTORY_TURNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    """Return the last of the answered turns that together have at most so many tokens, oldest first."""
    counted = await count_last([turn for turn in turns if turn.response], max_tokens, model, counter)
    return counted[len(counted) - count_fitting(sizes_of(counted), max_tokens) :]


async def count_last(
    turns: Sequence[RecentTurn], max_tokens: int, model: str, counter: CountsText
) -> Sequence[RecentTurn]:
    """Return the turns with the tokens of the last ones, up to one that has no room.

    Where the bytes are no more than the budget, neither are the tokens, and nothing is counted.
    """
    if sum(sizes_of(turns)) <= max_tokens:
        return turns
    counted = list(turns)
    room = max_tokens
    for place in reversed(range(len(counted))):
        counted[place] = await _count_turn(counted[place], room, model, counter)
        room -= size_of(counted[place])
        if room < 0:
            break
    return counted


def count_fitting(sizes: Iterable[int], room: int) -> int:
    """Return how many of the first sizes have room together."""
    return sum(total <= room for total in accumulate(sizes))


def sizes_of(turns: Sequence[RecentTurn]) -> list[int]:
    """Return the sizes of turns, the last one's first."""
    return [size_of(turn) for turn in reversed(turns)]


def size_of(turn: RecentTurn) -> int:
    """Return the tokens of a turn in a prompt; where they were not counted, a bound: its bytes."""
    return TOKENS_AROUND_TURN + (count_bytes(turn) if turn.tokens is None else sum(turn.tokens))


def count_bytes(turn: RecentTurn) -> int:
    """Return the bytes of a turn's texts."""
    return len(turn.message.encode()) + len(turn.response.encode())


async def _count_turn(turn: RecentTurn, room: int, model: str, counter: CountsText) -> RecentTurn:
    if turn.tokens is not None:
        return turn
    message = await counter.count_text(turn.message, model)
    if message > room:
        return turn
    return turn.model_copy(update={"tokens": (message, await counter.count_text(turn.response, model))})
