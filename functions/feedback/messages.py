"""Messages of the feedback queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.contracts import FeedbackFormOut
from shared.jobs.messages import write_request
from shared.jobs.models import JobEnd, JobMessage, JobStatus

if TYPE_CHECKING:
    from datetime import datetime

    from functions.feedback.stored_models import Analysis, FeedbackEnd, FeedbackJob
    from shared.contracts import FeedbackFormIn, Usage


def request_message(request: FeedbackFormIn, not_before: datetime | None = None) -> JobMessage:
    """Return the message that puts a feedback on its queue, from a time on; the queue has no sessions."""
    return write_request(request, not_before=not_before)


def succeed(job: FeedbackJob, analysis: Analysis, usage: Usage) -> FeedbackEnd:
    """Return the end of an analysis that was made, with the message that tells of it."""
    told = FeedbackFormOut(
        tenant_id=job.request.tenant_id,
        id=job.id,
        task_id=job.task_id,
        ai_hashtag=analysis.ai_hashtag,
        hashtag=analysis.hashtag,
        summary=analysis.summary,
        category=analysis.category,
        contains_pii=analysis.contains_pii,
        message="SUCCESS",
    )
    return JobEnd(JobStatus.SUCCEEDED, _write(told), analysis, None, usage)


def fail(job: FeedbackJob, error: str, usage: Usage) -> FeedbackEnd:
    """Return the end of an analysis that cannot be made, with the message that says why."""
    told = FeedbackFormOut(tenant_id=job.request.tenant_id, id=job.id, task_id=job.task_id, message=error)
    return JobEnd(JobStatus.FAILED, _write(told), None, error, usage)


def _write(told: FeedbackFormOut) -> JobMessage:
    return JobMessage(kind="result", body=told.model_dump_json(by_alias=True))
