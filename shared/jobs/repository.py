"""Jobs in Cosmos, each with the message that is still to be sent for it.

The message is stored with the change that it announces, so that no crash separates the two; it is sent after,
and marked as sent after that. A crash in between leaves it pending, and the sweeper sends it once more.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.cosmos.container import ItemChangedError, Patch, PatchOperation, Query
from shared.cosmos.leases import Lease, LeaseFields, LeaseLostError
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition
from shared.cosmos.queries import select
from shared.errors import ConflictError
from shared.jobs.errors import JobNotFoundError
from shared.jobs.models import JobItem, JobOutboxItem, JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import Clock
    from shared.contracts import ReasonerIn
    from shared.cosmos.container import Container
    from shared.errors import JsonValue
    from shared.jobs.models import JobDelay, JobEnd, JobMessage, JobStep
    from shared.tenancy.context import TenantContext

SWEEP_AFTER_SECONDS = 15.0
"""How long a message may wait before the sweeper takes it: longer than its own sender needs."""

_LEASE = LeaseFields()
_IS_RUNNING = f"c.status = '{JobStatus.RUNNING}'"
_IS_QUEUED = f"c.status = '{JobStatus.QUEUED}'"


class JobConflictError(ConflictError):
    """A job of this id asks for something else."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job '{job_id}' exists and asks for something else", {"job_id": job_id})


class JobInWorkError(LeaseLostError):
    """Another worker has this job; it is delivered again should that one die."""

    def __init__(self, job_id: str, seconds: float) -> None:
        super().__init__("The job", "is in work elsewhere", retry_after=seconds)
        self.job_id = job_id


class JobRepository:
    """The jobs of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._tenant = tenant
        self._container = container
        self._clock = clock

    async def create(self, request: ReasonerIn, message: JobMessage | None) -> tuple[JobItem, bool]:
        """Store a job unless it is there; tell whether it is new.

        Args:
            request: What to do.
            message: The message that puts it on the queue; None for what came from there.

        Raises:
            JobConflictError: A job of this id asks for something else.
        """
        now = self._clock.now()
        item = JobItem(
            id=request.id,
            task_id=request.task_id,
            user_id=self._tenant.user_id,
            request=request,
            outbox=message,
            outbox_pending=message is not None,
            outbox_since=now.timestamp(),
            created_at=now,
            updated_at=now,
        )
        job, is_new = await self._of(request.id).create_or_read(item)
        if not job.matches(request) or not self._tenant.sees(job.user_id):
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

    async def page(self, after: str | None, limit: int, status: JobStatus | None = None) -> list[JobState]:
        """Return jobs by id, after the given one: all of them, or those of one status."""
        conditions: dict[str, JsonValue] = {}
        if self._tenant.only_user is not None:
            conditions["user_id"] = self._tenant.only_user
        if status is not None:
            conditions["status"] = status
        page = KeysetPage(
            limit,
            after,
            where=" AND ".join(f"c.{name} = @{name}" for name in conditions),
            parameters={f"@{name}": value for name, value in conditions.items()},
        )
        return await self._all().read_prefix_page(JobState, page)

    async def pending(self, limit: int) -> Sequence[JobOutboxItem]:
        """Return jobs whose message has waited to be sent for longer than its own sender needs."""
        before = self._clock.now() - timedelta(seconds=SWEEP_AFTER_SECONDS)
        text = select(JobOutboxItem, where="c.outbox_pending = true AND c.outbox_since < @before")
        return await self._all().query(JobOutboxItem, Query(text, {"@before": before.timestamp()}, limit))

    async def claim(self, job: JobItem, holder: str, seconds: float) -> JobItem:
        """Take a job for a time, if it is queued or its worker's time is up.

        Raises:
            ItemChangedError: Another worker has it, or it is over.
        """
        lease = Lease(holder, 0).extend(self._clock, seconds)
        changes = (
            *_LEASE.take(lease),
            PatchOperation("set", "/status", JobStatus.RUNNING),
            PatchOperation("set", "/waiting_until", None),
            PatchOperation("set", "/waiting_for", None),
        )
        free = f"{_IS_QUEUED} OR ({_IS_RUNNING} AND {_LEASE.is_over(self._clock)})"
        return await self._patch(job.id, changes, free)

    async def checkpoint(self, job: JobItem, name: str, step: JobStep, seconds: float) -> JobItem:
        """Store a finished step and keep the job for a time more.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        stored = PatchOperation("set", f"/steps/{name}", step.model_dump(mode="json"))
        return await self._patch_held(job, (stored, self._extend(job, seconds)))

    async def extend(self, job: JobItem, seconds: float) -> JobItem:
        """Keep the job for a time more.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        return await self._patch_held(job, (self._extend(job, seconds),))

    async def give_back(self, job: JobItem, failure: str) -> None:
        """Let the next delivery take the job at once.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        changes = (
            PatchOperation("set", "/status", JobStatus.QUEUED),
            PatchOperation("set", "/last_failure", failure),
        )
        await self._patch_held(job, changes)

    async def put_off(self, job: JobItem, delay: JobDelay) -> JobItem:
        """Give the job back until a time, and store the message that brings it back then.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        changes = (
            PatchOperation("set", "/status", JobStatus.QUEUED),
            PatchOperation("set", "/waiting_until", delay.until.isoformat()),
            PatchOperation("set", "/waiting_for", delay.reason),
            PatchOperation("set", "/waits", job.waits + 1),
            *self._announce(delay.message),
        )
        try:
            return await self._patch_held(job, changes)
        except JobInWorkError:
            stored = await self.read(job.id)
            if stored.holder != job.holder or stored.waits != job.waits + 1:
                raise
            return stored  # it was done; only the answer was lost

    async def finish(self, job: JobItem, end: JobEnd) -> JobItem:
        """End a job, and store the message that tells of it.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        changes = (
            PatchOperation("set", "/status", end.status),
            PatchOperation("set", "/result", None if end.result is None else end.result.model_dump()),
            PatchOperation("set", "/error", end.error),
            PatchOperation("set", "/usage", end.usage.model_dump()),
            *self._announce(end.message),
        )
        try:
            return await self._patch_held(job, changes)
        except JobInWorkError:
            stored = await self.read(job.id)
            if stored.holder != job.holder or not stored.status.is_final:
                raise
            return stored  # it was done; only the answer was lost

    async def mark_sent(self, entry: JobOutboxItem) -> None:
        """Note that the job's message is with the broker; harmless where a later one has taken its place."""
        if entry.outbox is None:
            return
        changes = (PatchOperation("set", "/outbox_pending", value=False),)
        # Two requests of one job differ in when they were stored. The item is not dated: to whoever reads
        # the job, nothing has changed.
        same = f"c.outbox.kind = '{entry.outbox.kind}' AND c.outbox_since = {entry.outbox_since!r}"
        try:
            await self._of(entry.id).patch(JobOutboxItem, entry.id, Patch(changes, same))
        except ItemChangedError:
            return

    def _announce(self, message: JobMessage) -> tuple[PatchOperation, ...]:
        return (
            PatchOperation("set", "/outbox", message.model_dump(mode="json")),
            PatchOperation("set", "/outbox_pending", value=True),
            PatchOperation("set", "/outbox_since", self._clock.now().timestamp()),
        )

    def _extend(self, job: JobItem, seconds: float) -> PatchOperation:
        return _LEASE.extend(Lease(job.holder, 0).extend(self._clock, seconds))

    async def _patch_held(self, job: JobItem, changes: tuple[PatchOperation, ...]) -> JobItem:
        try:
            return await self._patch(job.id, changes, f"{_LEASE.is_held_by(job.holder)} AND {_IS_RUNNING}")
        except ItemChangedError as error:
            raise JobInWorkError(job.id, 1.0) from error

    async def _patch(self, job_id: str, changes: tuple[PatchOperation, ...], condition: str) -> JobItem:
        dated = (*changes, PatchOperation("set", "/updated_at", self._clock.now().isoformat()))
        return await self._of(job_id).patch(JobItem, job_id, Patch(dated, condition))

    def _all(self) -> Partition:
        return Partition.of(self._tenant, self._container)

    def _of(self, job_id: str) -> Partition:
        return Partition.of(self._tenant, self._container, job_id)
