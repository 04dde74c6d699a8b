"""Replies about conversations, from what is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict

from functions.chat.conversations.models import (
    ConversationHeadReply,
    ConversationSummary,
    ExportedTurnReply,
    ForkOriginReply,
    RatedTurnReply,
    RatingReply,
    RunningSummaryReply,
    TurnReply,
)
from functions.chat.conversations.stored_models import AnswerSource
from shared.http.usage_replies import PromptUseReply, TokenUsageReply

if TYPE_CHECKING:
    from functions.chat.conversations.stored_models import (
        ConversationItem,
        ForkOrigin,
        HeadItem,
        RunningSummary,
        TurnItem,
        TurnRating,
    )


class _Facts(TypedDict):
    finish_reason: str | None
    model: str | None
    prompt: PromptUseReply | None
    latency_ms: int | None
    time_to_first_token_ms: int | None
    cost: Decimal | None
    currency: str | None


def render_source(source: AnswerSource | None) -> _Facts:
    """Return what is known of an answer, as the fields of a reply."""
    known = source or AnswerSource(model="")
    return {
        "finish_reason": known.finish_reason,
        "model": known.model or None,
        "prompt": PromptUseReply.of(known.prompt),
        "latency_ms": known.latency_ms,
        "time_to_first_token_ms": known.time_to_first_token_ms,
        "cost": None if known.cost is None else Decimal(known.cost),
        "currency": known.currency,
    }


def render_turn(turn: TurnItem) -> TurnReply:
    """Render a turn."""
    return TurnReply(
        turn=turn.number,
        status=turn.status,
        message=turn.message,
        response=turn.response,
        usage=TokenUsageReply.of(turn.usage),
        rating=_render_rating(turn.rating),
        created_at=turn.created_at,
        expires_at=None if turn.expires_at is None else datetime.fromtimestamp(turn.expires_at, UTC),
        etag=turn.etag,
        **render_source(turn.source),
    )


def render_rated_turn(turn: TurnItem) -> RatedTurnReply:
    """Render a turn with its ETag."""
    return RatedTurnReply.model_validate(dict(render_turn(turn)))


def render_exported_turn(turn: TurnItem, *, is_visible: bool) -> ExportedTurnReply:
    """Render a turn with whether it is shown."""
    return ExportedTurnReply.model_validate({**dict(render_turn(turn)), "is_visible": is_visible})


def render_summary(conversation: ConversationItem, name: str) -> ConversationSummary:
    """Render a conversation under the id by which its reader asks for it."""
    return ConversationSummary(
        conversation_id=name,
        title=conversation.title,
        turns=conversation.turns,
        user_id=conversation.user_id,
        forked_from=_render_origin(conversation.forked_from),
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def render_head(head: HeadItem, name: str) -> ConversationHeadReply:
    """Render a conversation with its ETag."""
    return ConversationHeadReply.model_validate({**dict(render_summary(head, name)), "etag": head.etag})


def render_running_summary(summary: RunningSummary | None) -> RunningSummaryReply | None:
    """Render the summary of a conversation's older turns, if there is one."""
    return None if summary is None else RunningSummaryReply(text=summary.text, through=summary.through)


def _render_rating(rating: TurnRating | None) -> RatingReply | None:
    if rating is None:
        return None
    return RatingReply(rating=rating.rating, comment=rating.comment, rated_at=rating.rated_at)


def _render_origin(origin: ForkOrigin | None) -> ForkOriginReply | None:
    if origin is None:
        return None
    return ForkOriginReply(conversation_id=origin.conversation_id, turn=origin.turn, is_whole=origin.is_whole)
