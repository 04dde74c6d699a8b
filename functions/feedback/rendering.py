"""Replies of stored feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.feedback.models import AnalysisReply, FeedbackReply
from shared.http.usage_replies import TokenUsageReply

if TYPE_CHECKING:
    from functions.feedback.stored_models import Analysis, FeedbackState


def render_feedback(state: FeedbackState) -> FeedbackReply:
    """Render a feedback as it stands."""
    return FeedbackReply(
        feedback_id=state.id,
        task_id=state.task_id,
        language=state.language,
        status=state.status,
        analysis=render_analysis(state.result),
        usage=TokenUsageReply.of(state.used),
        error=state.error,
        waiting_until=state.waiting_until,
        waiting_for=state.waiting_for,
        created_at=state.created_at,
        updated_at=state.updated_at,
    )


def render_analysis(analysis: Analysis | None) -> AnalysisReply | None:
    """Render an analysis, if there is one."""
    return None if analysis is None else AnalysisReply.model_validate(analysis.model_dump())
