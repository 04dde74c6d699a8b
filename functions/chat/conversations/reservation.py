"""Reservation of a conversation's next turn: for how long it is one worker's, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.cosmos.leases import LeaseFields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.chat.conversations.path import Spill, VisiblePath
    from functions.chat.conversations.stored_models import (
        HeadItem,
        PendingTurn,
        RecentTurn,
        RunningSummary,
    )
    from shared.llm.answer_format import AnswerFormat

RESERVATION_SECONDS = 100.0
"""A turn may be worked on for so long; the service stops well before (`ANSWER_SECONDS` in service.py)."""

ATTEMPT_WAITS = (0.1, 0.3, 0.6, 1.0)
"""Seconds between the attempts to get the next turn while another one is in work."""

RESERVATION_LEASE = LeaseFields(until="busy_until")
"""The fields of a head that say who has its last turn, and until when."""


@dataclass(frozen=True, slots=True)
class NewTurn:
    """The content with which a turn is begun.

    Attributes:
        message: What the user says; where an answer is asked for again, the message of its turn.
        user_id: The user of the turn, where a token or the caller names one.
        operation_id: The id that the caller's Idempotency-Key stands for.
        begins: Whether the conversation's id was just made up, so that there is none to look for.
        memory_tokens: The tokens of earlier turns of which the bot is reminded.
        has_summary: Whether it is reminded of those before them by a summary.
        retention_days: The days for which the turn is kept; None for ever.
        answer_format: The form that its answer has; None for any text.
    """

    message: str = ""
    user_id: str | None = None
    operation_id: str | None = None
    begins: bool = False
    memory_tokens: int = 4_000
    has_summary: bool = False
    retention_days: int | None = None
    answer_format: AnswerFormat | None = None


class PathChange(NamedTuple):
    """A path as it becomes, and the segment that is to be stored with it."""

    path: VisiblePath
    spill: Spill | None


@dataclass(slots=True)
class Reservation:
    """The right to work on one turn.

    Attributes:
        number: The turn's number.
        holder: The holder of its lease.
        new: What it is begun with; `user_id` is the turn's user.
        head: The head as it was when the turn was begun.
        pending: What the head has of the turn.
        recent: The turns done before it, oldest first, as far as they are known or wanted.
        is_enough: Whether `recent` has all that the bot may be reminded of.
        whole: Whether `recent` has all that are visible; where there is a summary, all after its last one.
        before: The number before which its history ends: its own, or that of the turn whose place it takes.
        change: The change of the path that comes with the turn's answer, if one does.
        summary: The summary of turns before `recent`.
        has_new_summary: Whether it was made for this turn.
        summary_failed_at: The number of the turn for which no summary could be made; 0 once one was.
        tokenizer: The encoding in which tokens are counted.
        tokens: The tokens of the turn's own message and answer, once they are known.
    """

    number: int
    holder: str
    new: NewTurn
    head: HeadItem
    pending: PendingTurn
    recent: tuple[RecentTurn, ...]
    is_enough: bool
    whole: bool
    before: int
    change: PathChange | None = None
    summary: RunningSummary | None = None
    has_new_summary: bool = False
    summary_failed_at: int = 0
    tokenizer: str | None = None
    tokens: tuple[int, int] | None = None

    def count_in(self, tokenizer: str) -> None:
        """Count tokens in an encoding: those that were counted in another one are not known any more."""
        if self.tokenizer != tokenizer:
            self.tokenizer = tokenizer
            self.recent = tuple(turn.model_copy(update={"tokens": None}) for turn in self.recent)
            if self.summary is not None:
                self.summary = self.summary.model_copy(update={"tokens": None})

    def summarize(self, summary: RunningSummary, kept: Sequence[RecentTurn]) -> None:
        """Keep a new summary, and of the turns those that it does not speak of."""
        self.summary, self.has_new_summary, self.summary_failed_at = summary, True, 0
        self.recent, self.whole = tuple(kept), True

    def keep(self, history: Sequence[RecentTurn]) -> None:
        """Keep at hand what the bot was reminded of, and not what was too much."""
        self.whole = self.whole and len(history) == len(self.recent)
        self.recent = tuple(history)
