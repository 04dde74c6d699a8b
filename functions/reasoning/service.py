"""Accept and show jobs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from functions.reasoning.messages import request_message
from functions.reasoning.models import JobAccepted, JobReply, JobResultReply, StepReply
from functions.reasoning.prompts import STEPS
from shared.contracts import ReasonerIn, Usage
from shared.errors import APIError
from shared.http.paging import ListReply, cut_page
from shared.http.usage_replies import PromptUseReply, TokenUsageReply
from shared.jobs.models import JobStatus
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from functions.reasoning.models import JobPageQuery, JobRequest
    from shared.jobs.models import JobOutboxItem, JobState, JobStep
    from shared.jobs.repository import JobRepository
    from shared.messaging.outbox import Outbox
    from shared.tenancy.context import TenantContext

_logger = get_logger(__name__)


class JobService:
    """One tenant's jobs, as its callers see them.

    Args:
        tenant: The tenant.
        jobs: Its jobs.
        outbox: Sends their messages.
        require_model: Refuses the name of a model that the tenant may not use, with the path of its field.
    """

    def __init__(
        self,
        tenant: TenantContext,
        jobs: JobRepository,
        outbox: Outbox[JobOutboxItem],
        require_model: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._tenant = tenant
        self._jobs = jobs
        self._outbox = outbox
        self._require_model = require_model

    async def accept(self, request: JobRequest) -> JobAccepted:
        """Store a job together with its message, then send that.

        A broker that is down does not refuse the job: the sweeper sends its message later.

        Raises:
            ModelNotFoundError: The tenant may use no such model.
            JobConflictError: A job of this id asks for something else.
            PayloadTooLargeError: No queue takes a message of this size.
        """
        if request.model is not None:
            await self._require_model(request.model, "body.model")
        job_id = request.id or uuid.uuid4().hex
        fields = request.model_dump(exclude={"id"}, exclude_none=True)
        message = ReasonerIn.model_validate({"tenant_id": self._tenant.tenant_id, **fields, "id": job_id})
        job, _ = await self._jobs.create(message, request_message(message))
        try:
            await self._outbox.send(job)
        except APIError as error:
            facts = {"job_id": job_id, "error": type(error).__name__}
            _logger.warning("The job is stored; its message will be sent later", extra=facts)
        # As it was accepted, not as it stands: the same answer however often it is asked for.
        return JobAccepted(
            job_id=job_id, status=JobStatus.QUEUED, status_url=f"/api/v1/reasoning/jobs/{job_id}"
        )

    async def read(self, job_id: str) -> JobReply:
        """Return a job as it stands.

        Raises:
            JobNotFoundError: The tenant has none of this id.
        """
        return _render(await self._jobs.read(job_id))

    async def list(self, query: JobPageQuery) -> ListReply[JobReply]:
        """Return one page of jobs, by id."""
        found = await self._jobs.page(query.cursor, query.fetch_limit, query.status)
        return ListReply[JobReply].of(cut_page(found, query.limit, lambda job: job.id), _render)


def _render(job: JobState) -> JobReply:
    done = [(name, job.steps[name]) for name in STEPS if name in job.steps]
    return JobReply(
        job_id=job.id,
        task_id=job.task_id,
        status=job.status,
        steps=[_render_step(name, step) for name, step in done],
        prompt=PromptUseReply.of(done[0][1].prompt if done else None),
        result=None if job.result is None else JobResultReply.model_validate(job.result.model_dump()),
        usage=TokenUsageReply.of(sum((step.usage for _, step in done), Usage())),
        error=job.error,
        waiting_until=job.waiting_until,
        waiting_for=job.waiting_for,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )


def _render_step(name: str, step: JobStep) -> StepReply:
    usage = TokenUsageReply.of(step.usage)
    return StepReply(name=name, usage=usage, model=step.model, finish_reason=step.finish_reason)
