"""Requests and replies about chat and conversations."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from functions.chat.bots.models import ID_PATTERN, BotPath
from shared.contracts import Usage
from shared.http.models import ReplyModel, RequestModel
from shared.http.paging import PageQuery
from shared.tenancy.context import USER_ID_PATTERN


class TurnStatus(StrEnum):
    """Stage of a turn: only those done belong to the history."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class ConversationPath(BotPath):
    """The path of one conversation."""

    conversation_id: str = Field(pattern=ID_PATTERN)


class TurnPageQuery(PageQuery):
    """Query for a conversation's turns: the cursor is a turn's number."""

    cursor: str | None = Field(None, pattern=r"^[0-9]{1,9}$")


class ChatRequest(RequestModel):
    """`POST /bots/{bot_id}/chat`: a conversation id that is new begins a conversation."""

    message: str = Field(min_length=1, max_length=100_000)
    conversation_id: str | None = Field(None, pattern=ID_PATTERN)
    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)
    variables: dict[str, str] = Field(default_factory=dict, max_length=200)


class ChatReply(ReplyModel):
    """The bot's answer; `turn` counts the conversation's turns from 1."""

    response: str
    conversation_id: str
    turn: int
    usage: Usage


class TurnReply(ReplyModel):
    """One turn of a conversation."""

    turn: int
    status: TurnStatus
    message: str
    response: str | None
    usage: Usage
    created_at: datetime


class ConversationSummary(ReplyModel):
    """A conversation in a list; `turns` counts those begun."""

    conversation_id: str
    turns: int
    user_id: str | None
    created_at: datetime
    updated_at: datetime


class ConversationReply(ConversationSummary):
    """A conversation with one page of its turns, oldest first."""

    items: list[TurnReply]
    next_cursor: str | None
