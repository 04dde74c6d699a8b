"""Stored models of conversations: a head, and one item per turn."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts import PromptUse, Usage
from shared.cosmos.partition import StoredItem

HEAD = "head"


class TurnStatus(StrEnum):
    """Stage of a turn: only those done belong to the history."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class AnswerSource(BaseModel):
    """The origin of an answer.

    Attributes:
        model: The model that answered, by its provider's name.
        finish_reason: The provider's reason for which it ended, if it told one.
        prompt: The version of the bot's prompt, where it has one.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    finish_reason: str | None = None
    prompt: PromptUse | None = None


class ConversationItem(StoredItem):
    """The part of a conversation that a list shows.

    Attributes:
        conversation_id: Its id in the store: its name, unless that was another user's.
        name: Its user's name for it, where that is not its id in the store.
    """

    conversation_id: str
    name: str | None = None
    user_id: str | None = None
    turns: int
    created_at: datetime
    updated_at: datetime


class HeadItem(ConversationItem):
    """A conversation without its turns.

    Attributes:
        turns: The number of turns that were begun.
        holder: The one who has, or had, the last of them.
        busy_until: The end of the holder's lease, in seconds of Unix time; 0 when the turn is over.
        recent: The numbers of the last turns done, in the order in which they were done.
    """

    id: str = HEAD
    kind: Literal["head"] = "head"
    bot_id: str
    holder: str
    busy_until: float
    recent: tuple[int, ...] = ()


class TurnItem(StoredItem):
    """One turn; its id is its number, zero-padded, so that ids sort as numbers do.

    Attributes:
        operation_id: The id that the caller's Idempotency-Key stands for; a repeated request finds it.
        source: The origin of the answer; None where there is none, or an older release stored it.
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
    created_at: datetime
