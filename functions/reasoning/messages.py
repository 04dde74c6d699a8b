"""Messages of the reasoning queues."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from functions.reasoning.strategies.registry import find_strategy
from shared.contracts import ReasonerOut
from shared.jobs.messages import write_request
from shared.jobs.models import JobEnd, JobMessage, JobStatus
from shared.messaging.sender import MAX_BODY_BYTES
from shared.webhooks.models import CompletionNotice, WebhookEvent

if TYPE_CHECKING:
    from datetime import datetime

    from functions.reasoning.stored_models import JobResult, ReasoningEnd, ReasoningJob
    from shared.contracts import ReasonerIn, Usage

SESSIONS_PER_TENANT = 4
"""How many of one tenant's jobs may be in work at once: a flood of one holds up no other."""


def session_of(tenant_id: str, job_id: str) -> str:
    """Return the session of a job: `{tenant_id}#{n}`, the same on every instance."""
    return f"{tenant_id}#{zlib.crc32(job_id.encode()) % SESSIONS_PER_TENANT}"


def request_message(request: ReasonerIn, not_before: datetime | None = None) -> JobMessage:
    """Return the message that puts a job on its queue, from a time on.

    Raises:
        PayloadTooLargeError: No queue takes a message of this size.
    """
    session_id = session_of(request.tenant_id, request.id)
    return write_request(request, session_id=session_id, not_before=not_before)


def end_job(
    job: ReasoningJob,
    status: JobStatus,
    used: Usage,
    *,
    result: JobResult | None = None,
    error: str | None = None,
) -> ReasoningEnd:
    """Return the end of a job, with the message that tells of it."""
    message = ReasonerOut(
        tenant_id=job.request.tenant_id,
        id=job.id,
        task_id=job.task_id,
        ai_reason=find_strategy(job.request.strategy).find_model_text(job.steps),
        reason=result.reason if result else None,
        summary=result.summary if result else None,
        usage=used,
        message=error or "SUCCESS",
    )
    announced = _result_message(message).model_copy(update={"notice": _find_notice(job, status)})
    return JobEnd(status, announced, result, error, used)


def cancel_job(job: ReasoningJob) -> ReasoningEnd:
    """Return the end of a job that its caller cancels."""
    return end_job(job, JobStatus.CANCELLED, job.used, error="The job was cancelled")


def refuse_job(job: ReasoningJob, step: str, comment: str | None) -> ReasoningEnd:
    """Return the end of a job of which a step was not approved."""
    error = f"Step '{step}' was not approved" + (f": {comment}" if comment else "")
    return end_job(job, JobStatus.CANCELLED, job.used, error=error)


def _find_notice(job: ReasoningJob, status: JobStatus) -> CompletionNotice | None:
    """Return what the URL that a job names is told of its end; None where it names none."""
    if job.request.callback_url is None:
        return None
    return CompletionNotice(
        url=job.request.callback_url,
        event=WebhookEvent(f"job.{status}"),
        job_id=job.id,
        task_id=job.task_id,
        status=status,
        status_url=f"/api/v1/reasoning/jobs/{job.id}",
    )


def _result_message(result: ReasonerOut) -> JobMessage:
    """Return the message of a result; where no queue takes all of it, it says where the analysis is."""
    body = result.model_dump_json(by_alias=True)
    if len(body.encode()) > MAX_BODY_BYTES:
        where = f"The result is too large for a message: GET /api/v1/reasoning/jobs/{result.id}"
        short = result.model_copy(update={"ai_reason": None, "reason": None, "message": where})
        body = short.model_dump_json(by_alias=True)
    return JobMessage(kind="result", body=body)
