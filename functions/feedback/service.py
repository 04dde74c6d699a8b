"""Feedback as its callers see it: accepted, shown, listed and counted."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import TYPE_CHECKING

from functions.feedback.messages import request_message
from functions.feedback.models import FeedbackAccepted, FeedbackReply, FeedbackSummaryReply
from functions.feedback.rendering import render_feedback
from shared.contracts import FeedbackFormIn
from shared.http.paging import ListReply, cut_page
from shared.jobs.models import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from functions.feedback.models import FeedbackPageQuery, FeedbackRequest, FeedbackSummaryQuery
    from functions.feedback.repository import FeedbackRepository
    from functions.feedback.stored_models import FeedbackIntake
    from shared.clock import Clock
    from shared.tenancy.context import TenantContext


class FeedbackService:
    """One tenant's feedback.

    Args:
        tenant: The tenant.
        feedback: Its feedback.
        intake: Stores feedback with its message.
        clock: Tells which day it is.
    """

    def __init__(
        self, tenant: TenantContext, feedback: FeedbackRepository, intake: FeedbackIntake, clock: Clock
    ) -> None:
        self._tenant = tenant
        self._feedback = feedback
        self._intake = intake
        self._clock = clock

    async def accept(self, request: FeedbackRequest) -> FeedbackAccepted:
        """Store a feedback together with its message, then send that.

        Raises:
            FeedbackConflictError: A feedback of this id says something else.
        """
        feedback_id = request.id or uuid.uuid4().hex
        fields = request.model_dump(exclude={"id"})
        message = FeedbackFormIn.model_validate(
            fields | {"tenant_id": self._tenant.tenant_id, "id": feedback_id}
        )
        await self._intake.accept(message, request_message(message))
        # As it was accepted, not as it stands: the same answer however often it is asked for.
        return FeedbackAccepted(
            feedback_id=feedback_id, status=JobStatus.QUEUED, status_url=f"/api/v1/feedback/{feedback_id}"
        )

    async def read(self, feedback_id: str) -> FeedbackReply:
        """Return a feedback as it stands.

        Raises:
            FeedbackNotFoundError: The tenant has none of this id.
        """
        return render_feedback(await self._feedback.read(feedback_id))

    async def list(self, query: FeedbackPageQuery) -> ListReply[FeedbackReply]:
        """Return one page of feedback, by id."""
        found = await self._feedback.page(query)
        page = cut_page(found, query.limit, lambda feedback: feedback.id)
        return ListReply[FeedbackReply].of(page, render_feedback)

    async def summarise(self, query: FeedbackSummaryQuery) -> FeedbackSummaryReply:
        """Count the feedback of some days.

        Raises:
            ValidationError: These are no days that are counted together.
            TooMuchFeedbackError: It is more than is counted at once.
        """
        first, last = query.days(self._clock.now().date())
        found = await self._feedback.counted(first, last)
        return FeedbackSummaryReply(
            first_day=first,
            last_day=last,
            total=len(found),
            contains_pii=sum(one.contains_pii for one in found),
            by_status=_count(one.status for one in found),
            by_hashtag=_count(one.hashtag for one in found),
            by_category=_count(one.category for one in found),
            by_language=_count(one.language for one in found),
            by_day=_count(one.day for one in found),
        )


def _count(values: Iterable[str | None]) -> dict[str, int]:
    """Count values, in their order; what has none is left out."""
    return dict(sorted(Counter(value for value in values if value is not None).items()))
