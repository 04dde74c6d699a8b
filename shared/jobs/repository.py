"""Jobs in Cosmos: one item holds a job, its finished steps, and the message that is still to be sent for it.

The message is stored with the change that it announces, so that no crash separates the two; it is sent after,
and marked as sent after that. A crash in between leaves it pending, and the sweeper sends it once more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts import ReasonerIn, Usage
from shared.cosmos.container import ItemChangedError, Patch, PatchOperation, Query
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import ConflictError, DependencyUnavailableError, JobNotFoundError
from shared.jobs.models import JobResult, JobStatus

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

_PENDING = (
    "SELECT c.id, c.task_id, c.status, c.request, c.outbox, c.outbox_pending, c.created_at, c.updated_at"
    " FROM c WHERE c.outbox_pending = true AND c.outbox_since < @before"
)

NOTHING_USED = Usage()


class Outgoing(BaseModel):
    """A message that a stored change announces."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["request", "result"]
    session_id: str | None = None
    body: str


class Step(BaseModel):
    """A finished step: never paid again."""

    model_config = ConfigDict(frozen=True)

    text: str
    usage: Usage


class JobState(StoredItem):
    """What a job's callers are shown; its id is the item's.

    Attributes:
        user_id: The user whose token asked for it; None where a key or a queue did.
    """

    task_id: str | None = None
    user_id: str | None = None
    status: JobStatus = JobStatus.QUEUED
    steps: dict[str, Step] = Field(default_factory=dict)
    result: JobResult | None = None
    error: str | None = None
    created_at: datetime
    updated_at: datetime


class JobItem(JobState):
    """One job, whole.

    Attributes:
        last_failure: Why the last worker gave the job back, for the day on which no delivery is left.
    """

    request: ReasonerIn
    usage: Usage = NOTHING_USED
    last_failure: str | None = None
    holder: str = ""
    lease_until: float = 0
    outbox: Outgoing | None = None
    outbox_pending: bool = False
    outbox_since: float = 0

    def asks_for(self, message: ReasonerIn) -> bool:
        """Tell whether a message asks for this job, as far as this release reads either."""
        ours, theirs = (request.model_dump(exclude={"schema_version"}) for request in (self.request, message))
        return ours == theirs


class JobConflictError(ConflictError):
    """A job of this id asks for something else."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job '{job_id}' exists and asks for something else", {"job_id": job_id})


class JobInWorkError(DependencyUnavailableError):
    """Another worker has this job; it is delivered again should that one die."""

    def __init__(self, job_id: str, seconds: float) -> None:
        super().__init__("The job", "is in work elsewhere", retry_after=seconds)
        self.job_id = job_id


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ends, and the message that tells it."""

    status: JobStatus
    outgoing: Outgoing
    result: JobResult | None = None
    error: str | None = None
    usage: Usage = NOTHING_USED


class JobRepository:
    """The jobs of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._tenant = tenant
        self._container = container
        self._clock = clock

    async def create(self, request: ReasonerIn, outgoing: Outgoing | None) -> tuple[JobItem, bool]:
        """Store a job unless it is there; tell whether it is new.

        Args:
            request: What to do.
            outgoing: The message that puts it on the queue; None for what came from there.

        Raises:
            JobConflictError: A job of this id asks for something else.
        """
        now = self._clock.now()
        item = JobItem(
            id=request.id,
            task_id=request.task_id,
            user_id=self._tenant.user_id,
            request=request,
            outbox=outgoing,
            outbox_pending=outgoing is not None,
            outbox_since=now.timestamp(),
            created_at=now,
            updated_at=now,
        )
        job, is_new = await self._of(request.id).create_or_read(item)
        if not job.asks_for(request) or not self._tenant.sees(job.user_id):
            raise JobConflictError(request.id)
        return job, is_new

    async def read(self, job_id: str) -> JobItem:
        """Return a job.

        Raises:
            JobNotFoundError: This tenant, or user, has none of this id.
        """
        found = await self._of(job_id).read(JobItem, job_id)
        if found is None or not self._tenant.sees(found.user_id):
            raise JobNotFoundError(job_id)
        return found

    async def page(self, after: str | None, limit: int) -> list[JobState]:
        """Return jobs by id, after the given one."""
        everything = Partition.of(self._tenant, self._container)
        page = KeysetPage(limit, after)
        if self._tenant.only_user is not None:
            page = replace(page, where="c.user_id = @user", parameters={"@user": self._tenant.only_user})
        return await everything.read_prefix_page(JobState, page)

    async def pending(self, before: datetime, limit: int) -> list[JobItem]:
        """Return jobs whose message has waited to be sent since before a time."""
        everything = Partition.of(self._tenant, self._container)
        return await everything.query(JobItem, Query(_PENDING, {"@before": before.timestamp()}, limit))

    async def claim(self, job: JobItem, holder: str, seconds: float) -> JobItem:
        """Take a job for a time, if it is queued or its worker's time is up.

        Raises:
            ItemChangedError: Another worker has it, or it is over.
        """
        now = self._clock.now().timestamp()
        free = f"c.status = 'queued' OR (c.status = 'running' AND c.lease_until <= {now!r})"
        changes = (
            PatchOperation("set", "/status", JobStatus.RUNNING),
            PatchOperation("set", "/holder", holder),
            PatchOperation("set", "/lease_until", now + seconds),
        )
        return await self._patch(job.id, changes, free)

    async def checkpoint(self, job: JobItem, name: str, step: Step, seconds: float) -> JobItem:
        """Store a finished step and keep the job for a time more.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        changes = (
            PatchOperation("set", f"/steps/{name}", step.model_dump(mode="json")),
            PatchOperation("set", "/lease_until", self._clock.now().timestamp() + seconds),
        )
        return await self._held(job, changes)

    async def extend(self, job: JobItem, seconds: float) -> JobItem:
        """Keep the job for a time more.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        until = self._clock.now().timestamp() + seconds
        return await self._held(job, (PatchOperation("set", "/lease_until", until),))

    async def give_back(self, job: JobItem, failure: str) -> None:
        """Let the next delivery take the job at once.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        changes = (
            PatchOperation("set", "/status", JobStatus.QUEUED),
            PatchOperation("set", "/last_failure", failure),
        )
        await self._held(job, changes)

    async def finish(self, job: JobItem, outcome: Outcome) -> JobItem:
        """End a job, and store the message that tells so with it.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        changes = (
            PatchOperation("set", "/status", outcome.status),
            PatchOperation("set", "/result", None if outcome.result is None else outcome.result.model_dump()),
            PatchOperation("set", "/error", outcome.error),
            PatchOperation("set", "/usage", outcome.usage.model_dump()),
            PatchOperation("set", "/outbox", outcome.outgoing.model_dump()),
            PatchOperation("set", "/outbox_pending", value=True),
            PatchOperation("set", "/outbox_since", self._clock.now().timestamp()),
        )
        try:
            return await self._held(job, changes)
        except JobInWorkError:
            stored = await self.read(job.id)
            if stored.holder != job.holder or not stored.status.is_final:
                raise
            return stored  # it was done; only the answer was lost

    async def mark_sent(self, job: JobItem, kind: str) -> None:
        """Note that the job's message is with the broker; harmless where a later one has taken its place."""
        changes = (PatchOperation("set", "/outbox_pending", value=False),)
        try:
            # Not dated: to whoever reads the job, nothing has changed.
            patch = Patch(changes, f"c.outbox.kind = '{kind}'")
            await self._of(job.id).patch(JobItem, job.id, patch)
        except ItemChangedError:
            return

    async def _held(self, job: JobItem, changes: tuple[PatchOperation, ...]) -> JobItem:
        try:
            return await self._patch(job.id, changes, f"c.holder = '{job.holder}' AND c.status = 'running'")
        except ItemChangedError as error:
            raise JobInWorkError(job.id, 1.0) from error

    async def _patch(self, job_id: str, changes: tuple[PatchOperation, ...], condition: str) -> JobItem:
        dated = (*changes, PatchOperation("set", "/updated_at", self._clock.now().isoformat()))
        return await self._of(job_id).patch(JobItem, job_id, Patch(dated, condition))

    def _of(self, job_id: str) -> Partition:
        return Partition.of(self._tenant, self._container, job_id)
