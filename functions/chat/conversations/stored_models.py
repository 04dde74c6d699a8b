"""Stored models of conversations: a head, the turns that are over, and what the head has no room for."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from functions.chat.conversations.path import NumberRange, VisiblePath
from functions.chat.conversations.retention import FOR_EVER
from shared.contracts import PromptUse, Usage
from shared.cosmos.partition import StoredItem

HEAD = "head"
RECENT = "recent"


class TurnStatus(StrEnum):
    """Stage of a turn: only those done belong to the history."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class Rating(StrEnum):
    """Judgement of a turn by whoever read it."""

    UP = "up"
    DOWN = "down"


class _Part(BaseModel):
    """Base of what is stored inside of an item."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class AnswerSource(_Part):
    """The origin of an answer, and what it took.

    Attributes:
        model: The model that answered, by its provider's name.
        finish_reason: The provider's reason for which it ended, if it told one.
        prompt: The version of the bot's prompt, where it has one.
        latency_ms: Time from the call of the model to its whole answer.
        time_to_first_token_ms: Time to the first part of a streamed answer; None where it was not streamed.
        cost: Cost of the answer in `currency`, as a decimal number; None where the model has no known price.
        currency: The price table's currency, by ISO 4217.
    """

    model: str
    finish_reason: str | None = None
    prompt: PromptUse | None = None
    latency_ms: int | None = None
    time_to_first_token_ms: int | None = None
    cost: str | None = None
    currency: str | None = None


class TurnRating(_Part):
    """Judgement of one turn.

    Attributes:
        comment: The reader's own words.
    """

    rating: Rating
    comment: str | None = None
    rated_at: datetime


class ForkOrigin(_Part):
    """The conversation that another one was copied from.

    Attributes:
        conversation_id: Its id, as the one who forked it names it.
        turn: The number there of the last turn that is copied.
        copied: The number there up to which all has been copied.
        turns: How many turns have been copied.
    """

    conversation_id: str
    turn: int
    copied: int = 0
    turns: int = 0

    @property
    def is_whole(self) -> bool:
        """Tell whether all has been copied."""
        return self.copied >= self.turn


class ConversationItem(StoredItem):
    """The part of a conversation that a list shows.

    Attributes:
        conversation_id: Its id in the store: its name, unless that was another user's.
        name: Its user's name for it, where that is not its id in the store.
        title: Its title for people.
        recency: Its place among the bot's conversations, the last gone on with first; None where an older
            release stored it and it was not gone on with since.
        forked_from: The conversation that it was copied from, if it was.
    """

    conversation_id: str
    name: str | None = None
    title: str | None = None
    user_id: str | None = None
    turns: int
    created_at: datetime
    updated_at: datetime
    recency: str | None = None
    forked_from: ForkOrigin | None = None


class PendingTurn(_Part):
    """The turn in work: its number is the head's `turns`, its holder the head's.

    Attributes:
        operation_id: The id that the caller's Idempotency-Key stands for.
        expires_at: The end of its time in the store, in seconds of Unix time; None for never.
    """

    message: str
    operation_id: str | None = None
    created_at: datetime
    expires_at: int | None = None


class HeadItem(ConversationItem):
    """A conversation without its turns.

    Attributes:
        turns: The number of turns that were begun: the last number that was given; none is given twice.
        holder: The one who has, or had, the last of them.
        busy_until: The end of the holder's lease, in seconds of Unix time; 0 when the turn is over.
        pending: The last turn, until it is over or its worker's time is.
        path: The ranges of visible turns before `open_from`, after those in segments.
        segments: How many segments of ranges were moved out of the head; those from this index on are void.
        open_from: The number from which on all turns are visible.
        edits: The ids of the last changes of the path: one that is asked for again is not made again.
        late: How many answers came after their worker's time; `unseen` has them.
        memory_tokens: The tokens of which the bot may be reminded; what they hold is kept at hand.
        recent: The numbers of turns that an older release has answered; it adds to them and needs them there.
        expires_at: The time until which its turns are kept, in seconds of Unix time; None for ever.
        ttl: Seconds until the store forgets it, counted from its last change.
    """

    id: str = HEAD
    kind: Literal["head"] = "head"
    bot_id: str
    holder: str
    busy_until: float
    pending: PendingTurn | None = None
    path: tuple[NumberRange, ...] = ()
    segments: int = 0
    open_from: int = 1
    edits: tuple[str, ...] = ()
    late: int = 0
    memory_tokens: int | None = None
    recent: tuple[int, ...] = ()
    expires_at: int | None = None
    ttl: int = FOR_EVER

    @property
    def unseen(self) -> int:
        """Return a number that changes with each answer that `RecentItem` was not told of."""
        return self.late + sum(self.recent)

    @property
    def visible(self) -> VisiblePath:
        """Return the part of the visible path that the head has."""
        return VisiblePath(self.segments, self.path, self.open_from, self.turns)

    def pending_turn(self) -> TurnItem | None:
        """Return the turn in work as its item, if there is one."""
        if self.pending is None:
            return None
        return TurnItem(
            id=turn_id(self.turns),
            bot_id=self.bot_id,
            conversation_id=self.conversation_id,
            number=self.turns,
            status=TurnStatus.PENDING,
            holder=self.holder,
            **self.pending.model_dump(),
        )


class TurnItem(StoredItem):
    """One turn that is over, or whose worker's time is; its id is its number, so that ids sort as numbers do.

    Attributes:
        operation_id: The id that the caller's Idempotency-Key stands for; a repeated request finds it.
        source: The origin of the answer; None where there is none, or an older release stored it.
        rating: A reader's judgement of it.
        expires_at: The end of its time in the store, in seconds of Unix time; None for never.
        ttl: Seconds until the store forgets it, counted from its last change.
    """

    kind: Literal["turn"] = "turn"
    bot_id: str = ""
    conversation_id: str = ""
    number: int
    status: TurnStatus
    message: str
    response: str | None = None
    usage: Usage = Usage()
    source: AnswerSource | None = None
    holder: str
    operation_id: str | None = None
    rating: TurnRating | None = None
    created_at: datetime
    expires_at: int | None = None
    ttl: int = FOR_EVER


class RecentTurn(_Part):
    """Message and answer of one turn, of which a model is reminded.

    Attributes:
        tokens: The tokens of the message and of the answer; None where they were not counted.
    """

    number: int
    message: str
    response: str
    expires_at: int | None = None
    tokens: tuple[int, int] | None = None


class RunningSummary(_Part):
    """Summary of the turns that are too far back for a model to be told them in full.

    Attributes:
        text: What was said in them, in the words of a model.
        through: The number of the last turn that it speaks of; it speaks of no hidden one.
        expires_at: The first end among the turns that it speaks of, in seconds of Unix time; None for never.
        tokens: The tokens of it as it is told; None where they were not counted.
    """

    text: str
    through: int
    expires_at: int | None = None
    tokens: int | None = None


class RecentItem(StoredItem):
    """The last visible turns done, at hand with one read whatever the conversation's length.

    Attributes:
        remembered: The turns, oldest first.
        whole: Whether no visible turn done is before them.
        memory_tokens: The tokens up to which they are all that a bot may be reminded of.
        tokenizer: The encoding in which their tokens were counted.
        unseen: The head's `unseen` when it was made: where that is another one now, turns are missing here.
        begun: When its conversation began: one of the same name that was begun anew is another one.
        summary: The summary of turns before them, where the bot's memory has one.
        joins_summary: Whether no visible turn done is between those of the summary and these.
        summary_failed_at: The number of the turn for which no summary could be made; 0 once one was.
        ttl: Seconds until the first of the turns expires, or of those that the summary speaks of, which ends
            the whole: it is made anew then.
    """

    id: str = RECENT
    kind: Literal["recent"] = "recent"
    bot_id: str
    conversation_id: str
    remembered: tuple[RecentTurn, ...] = ()
    whole: bool = True
    memory_tokens: int = 0
    tokenizer: str | None = None
    unseen: int = 0
    begun: datetime | None = None
    summary: RunningSummary | None = None
    joins_summary: bool = False
    summary_failed_at: int = 0
    ttl: int = FOR_EVER


class PathSegmentItem(StoredItem):
    """Ranges of visible turns that the head has no room for; its id is its index.

    Attributes:
        index: Its place among the conversation's segments, from 0 on.
        first: The first of its numbers.
        last: The last of its numbers.
        ranges: The ranges, in order.
    """

    kind: Literal["path"] = "path"
    bot_id: str
    conversation_id: str
    index: int
    first: int
    last: int
    ranges: tuple[NumberRange, ...]
    ttl: int = FOR_EVER


def turn_id(number: int) -> str:
    """Return the id of the item of a turn."""
    return f"{number:09d}"
