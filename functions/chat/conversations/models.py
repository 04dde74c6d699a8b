"""Requests and replies about chat and conversations."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from functions.chat.bots.models import ID_PATTERN, BotPath
from functions.chat.conversations.stored_models import TurnStatus
from shared.http.models import ReplyModel, RequestModel
from shared.http.paging import PageQuery, PageReply
from shared.http.usage_replies import PromptUseReply, TokenUsageReply
from shared.tenancy.context import USER_ID_PATTERN


class ConversationPath(BotPath):
    """The path of one conversation.

    Attributes:
        conversation_id: The conversation's id.
    """

    conversation_id: str = Field(pattern=ID_PATTERN)


class TurnPageQuery(PageQuery):
    """Query of a conversation's turns.

    Attributes:
        cursor: The `next_cursor` of the page before: the number of its last turn.
    """

    cursor: str | None = Field(None, pattern=r"^[0-9]{1,9}$")


class ConversationPageQuery(PageQuery):
    """Query of a bot's conversations, which are sorted by id.

    Attributes:
        user_id: The user whose conversations are wanted; without one, all of them.
    """

    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)


class ChatRequest(RequestModel):
    """One message of a user.

    Attributes:
        message: What the user says.
        conversation_id: The conversation that it belongs to: one that is new begins with this message.
            Without an id, one is made up.
        user_id: The user who says it, for whom the conversation is kept.
        variables: Values of the variables of the bot's prompt.
        stream: Whether the answer is to come as server-sent events, part by part.
    """

    message: str = Field(min_length=1, max_length=100_000)
    conversation_id: str | None = Field(None, pattern=ID_PATTERN)
    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)
    variables: dict[str, str] = Field(default_factory=dict, max_length=200)
    stream: bool = False


class ChatReply(ReplyModel):
    """The bot's answer.

    Attributes:
        response: What the bot says.
        conversation_id: The conversation's id, to go on with.
        turn: Number of the turn in its conversation, from 1 on.
        conversation_storage: The store of the conversation: `cosmos`, or `memory` where nothing is kept
            beyond the process.
        usage: Tokens that the answer took.
        finish_reason: Why the answer ended: `length` where the output limit cut it; null where the provider
            does not say.
        model: The provider's name of the model that answered.
        prompt: The version of the bot's prompt that was used; null where it has none.
    """

    response: str
    conversation_id: str
    turn: int
    conversation_storage: str
    usage: TokenUsageReply
    finish_reason: str | None
    model: str | None
    prompt: PromptUseReply | None


class TurnReply(ReplyModel):
    """One turn of a conversation; what is said of an answer is null until there is one.

    Attributes:
        turn: Number of the turn, from 1 on.
        status: Stage of the turn: only those done belong to the history.
        message: What the user said.
        response: What the bot said; null until there is an answer.
        usage: Tokens that the answer took.
        finish_reason: Why the answer ended: `length` where the output limit cut it; null where the provider
            does not say.
        model: The provider's name of the model that answered.
        prompt: The version of the bot's prompt that was used; null where it has none.
        created_at: When the message came.
    """

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
    """A conversation in a list.

    Attributes:
        conversation_id: The conversation's id.
        turns: Turns that were begun.
        user_id: The user whose conversation it is; null where it is of nobody.
        created_at: When it began.
        updated_at: When it was last gone on with.
    """

    conversation_id: str
    turns: int
    user_id: str | None
    created_at: datetime
    updated_at: datetime


class ConversationReply(ConversationSummary, PageReply):
    """A conversation with one page of its turns.

    Attributes:
        items: The turns of this page, the oldest first.
        next_cursor: Sent as `cursor`, it asks for the next page; null on the last one.
    """

    items: list[TurnReply]
    next_cursor: str | None
