"""Requests and replies about chat and conversations."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import Field

from functions.chat.bots.models import ID_PATTERN, BotPath
from functions.chat.conversations.stored_models import Rating, TurnStatus
from shared.http.models import QueryModel, ReplyModel, RequestModel, VersionedReply
from shared.http.paging import PageQuery, PageReply
from shared.http.usage_replies import PromptUseReply, TokenUsageReply
from shared.llm.answer_format import AnswerFormat
from shared.llm.deployments import MODEL_NAME_PATTERN
from shared.prompts.models import MAX_VERSION
from shared.tenancy.context import USER_ID_PATTERN
from shared.validation import text_pattern

_CURSOR_PATTERN = text_pattern(r"^[0-9]{1,9}$", "the `next_cursor` of the page before")
MOST_TURNS = 999_999_999
"""The largest number of a turn: its item's id has nine digits."""


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

    cursor: str | None = Field(None, pattern=_CURSOR_PATTERN)


class ExportPageQuery(QueryModel):
    """Query of an exported conversation's turns.

    Attributes:
        limit: The most turns of a page.
        cursor: The `next_cursor` of the page before; without it, the first page.
    """

    limit: int = Field(1_000, ge=1, le=1_000)
    cursor: str | None = Field(None, pattern=_CURSOR_PATTERN)


class TurnPath(ConversationPath):
    """The path of one turn.

    Attributes:
        turn: The turn's number.
    """

    turn: int = Field(ge=1, le=MOST_TURNS)


class ConversationPageQuery(PageQuery):
    """Query of a bot's conversations, of which the last gone on with come first.

    Attributes:
        user_id: The user whose conversations are wanted; without one, all of them.
    """

    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)


class TurnOverrides(RequestModel):
    """Parts of a bot's configuration that hold otherwise for one turn, to try them out.

    Attributes:
        model: The model that answers.
        prompt_version: The version of the bot's prompt that is used.
        temperature: How freely it answers.
    """

    model: str | None = Field(None, pattern=MODEL_NAME_PATTERN)
    prompt_version: int | None = Field(None, ge=1, le=MAX_VERSION)
    temperature: float | None = Field(None, ge=0, le=2)


class ChatRequest(RequestModel):
    """One message of a user.

    Attributes:
        message: What the user says.
        conversation_id: The conversation that it belongs to: one that is new begins with this message.
            Without an id, one is made up.
        user_id: The user who says it, for whom the conversation is kept.
        variables: Values of the variables of the bot's prompt.
        stream: Whether the answer is to come as server-sent events, part by part.
        response_format: The form of this answer, in place of the bot's.
        overrides: What is tried out with this message, in place of the bot's; for administrators alone.
    """

    message: str = Field(min_length=1, max_length=100_000)
    conversation_id: str | None = Field(None, pattern=ID_PATTERN)
    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)
    variables: dict[str, str] = Field(default_factory=dict, max_length=200)
    stream: bool = False
    response_format: AnswerFormat | None = None
    overrides: TurnOverrides | None = None


class RegenerateRequest(RequestModel):
    """The answer of the last visible turn is asked for again.

    Attributes:
        variables: Values of the variables of the bot's prompt.
        response_format: The form of this answer, in place of the bot's.
    """

    variables: dict[str, str] = Field(default_factory=dict, max_length=200)
    response_format: AnswerFormat | None = None


class RenameRequest(RequestModel):
    """A conversation's new title.

    Attributes:
        title: The title, for people; null takes it away.
    """

    title: str | None = Field(min_length=1, max_length=200)


class RewindRequest(RequestModel):
    """The turn to go back to.

    Attributes:
        turn: The last turn that stays visible; 0 hides all of them.
    """

    turn: int = Field(ge=0, le=MOST_TURNS)


class ForkRequest(RequestModel):
    """The turns with which another conversation begins.

    Attributes:
        turn: The last turn that is copied; without it, all that are visible.
    """

    turn: int | None = Field(None, ge=1, le=MOST_TURNS)


class RatingRequest(RequestModel):
    """Judgement of a turn.

    Attributes:
        rating: Whether the answer was good.
        comment: Why, in the reader's own words.
    """

    rating: Rating = Field(strict=False)
    comment: str | None = Field(None, min_length=1, max_length=2_000)


class AnswerFacts(ReplyModel):
    """Facts about an answer; each is null where it is not known.

    Attributes:
        finish_reason: Why the answer ended: `length` where the output limit cut it; null where the provider
            does not say.
        model: The provider's name of the model that answered.
        prompt: The version of the bot's prompt that was used; null where it has none.
        latency_ms: Milliseconds from the call of the model to its whole answer.
        time_to_first_token_ms: Milliseconds to the first part of a streamed answer; null where it came whole.
        cost: What the answer cost, in `currency`; null where the model has no known price.
        currency: The currency of `cost`, by ISO 4217.
    """

    finish_reason: str | None
    model: str | None
    prompt: PromptUseReply | None
    latency_ms: int | None
    time_to_first_token_ms: int | None
    cost: Decimal | None
    currency: str | None


class ChatReply(AnswerFacts):
    """The bot's answer.

    Attributes:
        response: What the bot says.
        conversation_id: The conversation's id, to go on with.
        turn: Number of the turn in its conversation, from 1 on.
        conversation_storage: The store of the conversation: `cosmos`, or `memory` where nothing is kept
            beyond the process.
        usage: Tokens that the answer took.
    """

    response: str
    conversation_id: str
    turn: int
    conversation_storage: str
    usage: TokenUsageReply


class RatingReply(ReplyModel):
    """Judgement of a turn.

    Attributes:
        rating: Whether the answer was good.
        comment: Why, in the reader's own words.
        rated_at: When it was judged last.
    """

    rating: Rating
    comment: str | None
    rated_at: datetime


class TurnReply(AnswerFacts, VersionedReply):
    """One turn of a conversation; what is said of an answer is null until there is one.

    Attributes:
        turn: Number of the turn, from 1 on; no number is given twice.
        status: Stage of the turn: only those done belong to the history.
        message: What the user said.
        response: What the bot said; null until there is an answer.
        usage: Tokens that the answer took.
        rating: A reader's judgement; null where there is none.
        created_at: When the message came.
        expires_at: When it is removed; null where it is kept until somebody removes it.
        etag: The turn's state; sent as If-Match, it makes a rating take effect on this state alone.
    """

    turn: int
    status: TurnStatus
    message: str
    response: str | None
    usage: TokenUsageReply
    rating: RatingReply | None
    created_at: datetime
    expires_at: datetime | None


class RatedTurnReply(TurnReply):
    """A turn with its judgement; its `etag` is the ETag header, too."""


class ExportedTurnReply(TurnReply):
    """One turn of an exported conversation.

    Attributes:
        is_visible: Whether the conversation shows it: undone, rewound and regenerated ones are hidden.
    """

    is_visible: bool


class ForkOriginReply(ReplyModel):
    """The conversation that another one was copied from.

    Attributes:
        conversation_id: Its id.
        turn: The last of its turns that is copied, by its number there.
        is_whole: Whether all is copied; where a copy broke off, the same Idempotency-Key goes on with it.
    """

    conversation_id: str
    turn: int
    is_whole: bool


class ConversationSummary(ReplyModel):
    """A conversation in a list.

    Attributes:
        conversation_id: The conversation's id.
        title: Its title, for people; null where it has none.
        turns: Turns that were begun, the hidden ones included.
        user_id: The user whose conversation it is; null where it is of nobody.
        forked_from: The conversation that it was copied from; null where it was not.
        created_at: When it began.
        updated_at: When it was last gone on with.
    """

    conversation_id: str
    title: str | None
    turns: int
    user_id: str | None
    forked_from: ForkOriginReply | None
    created_at: datetime
    updated_at: datetime


class ConversationHeadReply(ConversationSummary, VersionedReply):
    """A conversation as it was changed; its `etag` is the ETag header, too."""


class ConversationReply(ConversationHeadReply, PageReply):
    """A conversation with one page of its visible turns.

    Attributes:
        items: The turns of this page, the oldest first.
        next_cursor: Sent as `cursor`, it asks for the next page; null on the last one.
    """

    items: list[TurnReply]
    next_cursor: str | None


class RunningSummaryReply(ReplyModel):
    """Summary of the turns that the bot is not told in full any more.

    Attributes:
        text: What was said in them, in the words of a model.
        through: The number of the last turn that it speaks of.
    """

    text: str
    through: int


class ConversationExportReply(ConversationHeadReply, PageReply):
    """All that is kept of a conversation, in pages of 4 MiB at most.

    Attributes:
        summary: The summary that the bot's memory has of its older turns; null where there is none.
        items: The turns of this page, the oldest first, the hidden ones included.
        next_cursor: Sent as `cursor`, it asks for the next page; null on the last one.
    """

    summary: RunningSummaryReply | None
    items: list[ExportedTurnReply]
    next_cursor: str | None
