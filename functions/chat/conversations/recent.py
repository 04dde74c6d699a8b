"""Last turns of a conversation, as they are kept at hand for the next one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from functions.chat.conversations.history import most_turns
from functions.chat.conversations.retention import FOR_EVER, is_over, seconds_left
from functions.chat.conversations.stored_models import HeadItem, RecentItem, RecentTurn, TurnItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import Clock

MOST_MEMORY = 4_000
"""Tokens of which a bot is taken to be reminded, where that is not known yet."""

MOST_BYTES = 128 * 1024
"""The most text that is kept at hand, since each turn writes it anew; what is beyond is looked up."""


def remember(turn: TurnItem) -> RecentTurn:
    """Return what a model is reminded of from a turn done."""
    return RecentTurn(
        number=turn.number, message=turn.message, response=turn.response or "", expires_at=turn.expires_at
    )


def keep_recent(
    head: HeadItem, turns: Sequence[RecentTurn], memory_tokens: int, clock: Clock, *, whole: bool
) -> RecentItem:
    """Make the item of the last turns, at most `MOST_BYTES` of them.

    Args:
        head: The conversation's head.
        turns: The turns, oldest first: as many as `memory_tokens` may hold.
        memory_tokens: The tokens of which the bot may be reminded.
        clock: Tells the time.
        whole: Whether no visible turn is before them.
    """
    kept: list[RecentTurn] = []
    limit = most_turns(memory_tokens)
    room = MOST_BYTES
    for turn in reversed(turns):
        room -= len(json.dumps([turn.message, turn.response]))
        if room < 0 or len(kept) == limit:
            whole = False
            memory_tokens = memory_tokens if room >= 0 else 0
            break
        kept.append(turn)
    kept.reverse()
    ends = [turn.expires_at for turn in kept if turn.expires_at is not None]
    return RecentItem(
        bot_id=head.bot_id,
        conversation_id=head.conversation_id,
        remembered=tuple(kept),
        whole=whole,
        memory_tokens=memory_tokens,
        unseen=head.unseen,
        begun=head.created_at,
        ttl=seconds_left(min(ends), clock) if ends else FOR_EVER,
    )


def still_kept(turns: Sequence[RecentTurn], clock: Clock) -> tuple[RecentTurn, ...]:
    """Leave out the turns whose time is over."""
    return tuple(turn for turn in turns if not is_over(turn.expires_at, clock))
