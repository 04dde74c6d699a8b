"""Last turns of a conversation, as they are kept at hand for the next one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.chat.conversations.history import most_turns
from functions.chat.conversations.retention import FOR_EVER, is_over, seconds_left
from functions.chat.conversations.stored_models import (
    HeadItem,
    RecentItem,
    RecentTurn,
    RunningSummary,
    TurnItem,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import Clock

MOST_MEMORY = 4_000
"""Tokens of which a bot is taken to be reminded, where that is not known yet."""

MOST_BYTES = 128 * 1024
"""The most text that is kept at hand, since each turn writes it anew; what is beyond is looked up."""


@dataclass(frozen=True, slots=True)
class Recollection:
    """The last turns of a conversation, and what is known of those before them.

    Attributes:
        turns: The turns, oldest first: as many as `memory_tokens` may hold.
        memory_tokens: The tokens of which the bot may be reminded.
        tokenizer: The encoding in which the tokens of the turns were counted.
        whole: Whether no visible turn done is before them; where there is a summary, none after its last one.
        summary: The summary of turns before them.
        summary_failed_at: The number of the turn for which no summary could be made.
    """

    turns: Sequence[RecentTurn]
    memory_tokens: int
    whole: bool
    summary: RunningSummary | None = None
    summary_failed_at: int = 0
    tokenizer: str | None = None


def remember(turn: TurnItem, tokens: tuple[int, int] | None = None) -> RecentTurn:
    """Return what a model is reminded of from a turn done, with the tokens of its message and its answer."""
    return RecentTurn(
        number=turn.number,
        message=turn.message,
        response=turn.response or "",
        expires_at=turn.expires_at,
        tokens=tokens,
    )


def keep_recent(head: HeadItem, known: Recollection, clock: Clock) -> RecentItem:
    """Make the item of the last turns, at most `MOST_BYTES` of them.

    Args:
        head: The conversation's head.
        known: What is to be kept.
        clock: Tells the time.
    """
    kept: list[RecentTurn] = []
    limit = most_turns(known.memory_tokens)
    whole, memory_tokens = known.whole, known.memory_tokens
    room = MOST_BYTES
    for turn in reversed(known.turns):
        room -= len(json.dumps([turn.message, turn.response]))
        if room < 0 or len(kept) == limit:
            whole = False
            memory_tokens = memory_tokens if room >= 0 else 0
            break
        kept.append(turn)
    kept.reverse()
    summary = kept_summary(known.summary, clock)
    has_summary = known.summary is not None
    ends = [turn.expires_at for turn in kept if turn.expires_at is not None]
    if summary is not None and summary.expires_at is not None:
        ends.append(summary.expires_at)
    return RecentItem(
        bot_id=head.bot_id,
        conversation_id=head.conversation_id,
        remembered=tuple(kept),
        whole=whole and not has_summary,
        memory_tokens=0 if has_summary else memory_tokens,
        tokenizer=known.tokenizer,
        unseen=head.unseen,
        begun=head.created_at,
        summary=summary,
        joins_summary=whole and summary is not None,
        summary_failed_at=known.summary_failed_at,
        ttl=seconds_left(min(ends), clock) if ends else FOR_EVER,
    )


def still_kept(turns: Sequence[RecentTurn], clock: Clock) -> tuple[RecentTurn, ...]:
    """Leave out the turns whose time is over."""
    return tuple(turn for turn in turns if not is_over(turn.expires_at, clock))


def kept_summary(summary: RunningSummary | None, clock: Clock) -> RunningSummary | None:
    """Return a summary, unless the time of a turn that it speaks of is over."""
    return None if summary is None or is_over(summary.expires_at, clock) else summary


def summary_until(recent: RecentItem | None, head: HeadItem, last: int) -> RunningSummary | None:
    """Return the summary at hand, unless it is another conversation's or speaks of turns after a number."""
    if recent is None or recent.summary is None or recent.begun != head.created_at:
        return None
    return recent.summary if recent.summary.through <= last else None


def after_summary(turns: Sequence[RecentTurn], summary: RunningSummary | None) -> tuple[RecentTurn, ...]:
    """Leave out the turns that the summary speaks of."""
    return tuple(turn for turn in turns if summary is None or turn.number > summary.through)
