"""Accept and show jobs."""

from __future__ import annotations

import uuid
import zlib
from typing import TYPE_CHECKING

from functions.reasoning.models import JobAccepted, JobReply, StepReply
from functions.reasoning.prompts import STEPS
from shared.contracts import ReasonerIn, Usage
from shared.errors import APIError, PayloadTooLargeError
from shared.http.paging import ListReply, cut_page
from shared.jobs.models import JobStatus
from shared.jobs.repository import Outgoing
from shared.logging.logger import get_logger
from shared.messaging.sender import MAX_BODY_BYTES

if TYPE_CHECKING:
    from functions.reasoning.models import JobRequest
    from shared.http.paging import PageQuery
    from shared.jobs.outbox import Outbox
    from shared.jobs.repository import JobRepository, JobState
    from shared.tenancy.context import TenantContext

SESSIONS_PER_TENANT = 4
"""How many of one tenant's jobs may be in work at once: a flood of one holds up no other."""

_logger = get_logger(__name__)


def session_of(tenant_id: str, job_id: str) -> str:
    """Return the session of a job: `{tenant_id}#{n}`, the same on every instance."""
    return f"{tenant_id}#{zlib.crc32(job_id.encode()) % SESSIONS_PER_TENANT}"


class JobService:
    """One tenant's jobs, as its callers see them."""

    def __init__(self, tenant: TenantContext, jobs: JobRepository, outbox: Outbox) -> None:
        self._tenant = tenant
        self._jobs = jobs
        self._outbox = outbox

    async def accept(self, request: JobRequest) -> JobAccepted:
        """Store a job together with its message, then send that.

        A broker that is down does not refuse the job: the sweeper sends its message later.

        Raises:
            JobConflictError: A job of this id asks for something else.
            PayloadTooLargeError: No queue takes a message of this size.
        """
        job_id = request.id or uuid.uuid4().hex
        fields = request.model_dump(exclude={"id"}, exclude_none=True)
        message = ReasonerIn.model_validate({"tenant_id": self._tenant.tenant_id, **fields, "id": job_id})
        body = message.model_dump_json(by_alias=True, exclude_none=True)
        if (size := len(body.encode())) > MAX_BODY_BYTES:
            raise PayloadTooLargeError(
                f"The job takes {size} bytes, more than {MAX_BODY_BYTES}", {"max_bytes": MAX_BODY_BYTES}
            )
        outgoing = Outgoing(kind="request", session_id=session_of(message.tenant_id, job_id), body=body)
        job, _ = await self._jobs.create(message, outgoing)
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
        return _reply(await self._jobs.read(job_id))

    async def list(self, query: PageQuery) -> ListReply[JobReply]:
        """Return one page of jobs, by id."""
        found = await self._jobs.page(query.cursor, query.fetch_limit)
        return ListReply[JobReply].of(cut_page(found, query.limit, lambda job: job.id), _reply)


def _reply(job: JobState) -> JobReply:
    done = [(name, job.steps[name]) for name in STEPS if name in job.steps]
    return JobReply(
        job_id=job.id,
        task_id=job.task_id,
        status=job.status,
        steps=[StepReply(name=name, usage=step.usage) for name, step in done],
        result=job.result,
        usage=sum((step.usage for _, step in done), Usage()),
        error=job.error,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
