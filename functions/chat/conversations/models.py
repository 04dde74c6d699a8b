"""Requests and replies about chat and conversations."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from functions.chat.bots.models import ID_PATTERN, BotPath
from functions.chat.conversations.stored_models import TurnStatus
from shared.http.models import ReplyModel, RequestModel
from shared.http.paging import PageQuery
from shared.http.replies import PromptUseReply, TokenUsageReply
from shared.tenancy.context import USER_ID_PATTERN


class ConversationPath(BotPath):
    """The path of one conversation."""

    conversation_id: str = Field(pattern=ID_PATTERN)


class TurnPageQuery(PageQuery):
    """Query for a conversation's turns: the cursor is a turn's number."""

    cursor: str | None = Field(None, pattern=r"^[0-9]{1,9}$")


class ConversationPageQuery(PageQuery):
    """Query for a bot's conversations: all of them, or those of one user."""

    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)


class ChatRequest(RequestModel):
    """`POST /bots/{bot_id}/chat`: a conversation id that is new begins a conversation."""

    message: str = Field(min_length=1, max_length=100_000)
    conversation_id: str | None = Field(None, pattern=ID_PATTERN)
    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)
    variables: dict[str, str] = Field(default_factory=dict, max_length=200)


class ChatReply(ReplyModel):
    """The bot's answer; `turn` counts the conversation's turns from 1.

    `finish_reason` is `length` where the output limit cut the answer; `model` is the provider's name of the
    model that answered; `prompt` is the version of the bot's prompt, where it has one.
    """

    response: str
    conversation_id: str
    turn: int
    usage: TokenUsageReply
    finish_reason: str | None
    model: str | None
    prompt: PromptUseReply | None


class TurnReply(ReplyModel):
    """One turn of a conversation; what is said of an answer is null until there is one."""

    turn: int
    status: TurnStatus
    message: str
    response: str | None
    usage: TokenUsageReply
    finish_reason: str | None
    model: str | None
    prompt: PromptUseReply | None
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
