"""Messages of the reasoning queues, and the outbox that sends them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from functions.reasoning.strategies.registry import find_strategy
from shared.contracts import ReasonerOut
from shared.errors import PayloadTooLargeError
from shared.jobs.models import JobEnd, JobMessage, JobStatus
from shared.messaging.outbox import Outbox
from shared.messaging.sender import MAX_BODY_BYTES, OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from functions.reasoning.stored_models import JobResult, ReasoningEnd, ReasoningJob, ReasoningJobs
    from shared.contracts import ReasonerIn, Usage
    from shared.jobs.models import JobOutboxItem
    from shared.messaging.sender import MessageSender
    from shared.tenancy.context import TenantContext

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
    body = request.model_dump_json(by_alias=True, exclude_none=True)
    if (size := len(body.encode())) > MAX_BODY_BYTES:
        raise PayloadTooLargeError(
            f"The job takes {size} bytes, more than {MAX_BODY_BYTES}", {"max_bytes": MAX_BODY_BYTES}
        )
    session_id = session_of(request.tenant_id, request.id)
    return JobMessage(kind="request", session_id=session_id, body=body, not_before=not_before)


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
    return JobEnd(status, _result_message(message), result, error, used)


def cancel_job(job: ReasoningJob) -> ReasoningEnd:
    """Return the end of a job that its caller cancels."""
    return end_job(job, JobStatus.CANCELLED, job.used, error="The job was cancelled")


def refuse_job(job: ReasoningJob, step: str, comment: str | None) -> ReasoningEnd:
    """Return the end of a job of which a step was not approved."""
    error = f"Step '{step}' was not approved" + (f": {comment}" if comment else "")
    return end_job(job, JobStatus.CANCELLED, job.used, error=error)


def _result_message(result: ReasonerOut) -> JobMessage:
    """Return the message of a result; where no queue takes all of it, it says where the analysis is."""
    body = result.model_dump_json(by_alias=True)
    if len(body.encode()) > MAX_BODY_BYTES:
        where = f"The result is too large for a message: GET /api/v1/reasoning/jobs/{result.id}"
        short = result.model_copy(update={"ai_reason": None, "reason": None, "message": where})
        body = short.model_dump_json(by_alias=True)
    return JobMessage(kind="result", body=body)


def open_outbox(
    tenant: TenantContext, jobs: ReasoningJobs, sender: MessageSender, queues: Mapping[str, str]
) -> Outbox[JobOutboxItem]:
    """Open the outbox of one tenant's jobs; `queues` has the queue of each kind of message."""

    def address(job: JobOutboxItem) -> tuple[str, OutgoingMessage] | None:
        message = job.pending_message
        if message is None:
            return None
        body = message.body.encode()
        return queues[message.kind], OutgoingMessage(job.id, body, message.session_id, message.not_before)

    return Outbox(tenant, jobs, address, sender)
