"""Jobs in Cosmos, each with the message that is still to be sent for it.

The message is stored with the change that it announces, so that no crash separates the two; it is sent after,
and marked as sent after that. A crash in between leaves it pending, and the sweeper sends it once more.

A worker changes the job whose lease it has. Whoever else changes one (a caller who cancels or approves it, a
worker who takes it) does so to the state that was read, by its ETag.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.cosmos.container import ItemChangedError, Patch, PatchOperation, Query
from shared.cosmos.leases import Lease, LeaseFields
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition
from shared.cosmos.queries import select
from shared.jobs.errors import JobInWorkError, JobNotFoundError
from shared.jobs.models import HeldJob, JobOutboxItem, JobStatus, PlacedJob, QueuePlace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pydantic import BaseModel

    from shared.clock import Clock
    from shared.contracts import TaskMessage, Usage
    from shared.cosmos.container import Container
    from shared.errors import JsonValue
    from shared.jobs.models import (
        JobApproval,
        JobDelay,
        JobEnd,
        JobItem,
        JobKind,
        JobMessage,
        JobState,
        JobStep,
    )
    from shared.tenancy.context import TenantContext

WORKER_DIED = "Its worker died"
SWEEP_AFTER_SECONDS = 15.0
"""How long a message may wait before the sweeper takes it: longer than its own sender needs."""

LOST_AFTER_SECONDS = 3_600.0
"""How long after its time a request that nobody has begun counts as lost: its tenant was suspended when it
came, or the broker lost it. It takes no place then, and the sweeper sends it again."""

MOST_SENT_AGAIN = 5
"""The most failures of a job whose lost request is sent again; each time counts as one."""

_LEASE = LeaseFields()
_IS_RUNNING = f"c.status = '{JobStatus.RUNNING}'"
_IS_QUEUED = f"c.status = '{JobStatus.QUEUED}'"
_HAS_OR_NEEDS_NO_PLACE = (
    "NOT IS_DEFINED(c.outbox.place) OR IS_NULL(c.outbox.place) OR c.outbox.place = 'taken'"
)
_WAITS_FOR_PLACE = "c.outbox.place = 'held' OR (c.outbox.place = 'asked' AND c.outbox_since < @before)"
"""The latter's own sender has not come to an end with it."""

_HAS_PLACE = "c.outbox.place = 'taken' OR (c.outbox.place = 'asked' AND c.outbox_since >= @before)"
"""An index finds these: what waits may be thousands, and is not read."""

_IS_LOST = (
    f"{_IS_QUEUED} AND c.outbox_pending = false AND c.outbox.kind = 'request' "
    "AND c.outbox_since < @lost_since "
    "AND (NOT IS_DEFINED(c.waiting_until) OR IS_NULL(c.waiting_until) OR c.waiting_until < @lost_until)"
)
_MAY_BE_SENT_AGAIN = f"(NOT IS_DEFINED(c.failures) OR c.failures < {MOST_SENT_AGAIN})"


class JobRepository[Request: TaskMessage, Result: BaseModel]:
    """The jobs of one tenant and one kind."""

    def __init__(
        self, tenant: TenantContext, container: Container, clock: Clock, kind: JobKind[Request, Result]
    ) -> None:
        self._tenant = tenant
        self._container = container
        self._clock = clock
        self._kind = kind

    async def create(
        self, request: Request, message: JobMessage | None, place: QueuePlace = QueuePlace.ASKED
    ) -> tuple[JobItem[Request, Result], bool]:
        """Store a job unless it is there; tell whether it is new.

        Args:
            request: What to do.
            message: The message that puts it on the queue; None for what came from there.
            place: How far that is on its way to a place there.

        Raises:
            JobConflictError: A job of this id asks for something else.
        """
        item = self._build(request)
        if message is not None:
            announced = {
                "outbox": message.model_copy(update={"place": place}),
                "outbox_pending": True,
                "outbox_turn": _turn(request.id, item.created_at),
            }
            item = item.model_copy(update=announced)
        job, is_new = await self._of(request.id).create_or_read(item)
        return self._require_same(job, request), is_new

    async def create_held(self, request: Request, holder: str, seconds: float) -> JobItem[Request, Result]:
        """Store a job that its worker holds from the beginning, unless one of its id is there; return that.

        Raises:
            JobConflictError: A job of this id asks for something else.
        """
        lease = Lease(holder, 0).extend(self._clock, seconds)
        held = {"status": JobStatus.RUNNING, "holder": lease.holder, "lease_until": lease.until}
        item = self._build(request).model_copy(update=held)
        job, _ = await self._of(request.id).create_or_read(item)
        return self._require_same(job, request)

    async def find(self, request: Request) -> JobItem[Request, Result] | None:
        """Return the job that asks for this, or None where there is none of its id.

        Raises:
            JobConflictError: A job of this id asks for something else.
        """
        found = await self._of(request.id).read(self._kind.item, request.id)
        return None if found is None else self._require_same(found, request)

    async def read(self, job_id: str) -> JobItem[Request, Result]:
        """Return a job.

        Raises:
            JobNotFoundError: This tenant, or user, has none of this id.
        """
        found = await self._of(job_id).read(self._kind.item, job_id)
        if found is None or not self._tenant.sees(found.user_id):
            raise JobNotFoundError(job_id)
        return found

    async def page(
        self, after: str | None, limit: int, status: JobStatus | None = None
    ) -> list[JobState[Result]]:
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
        return await self._all().read_prefix_page(self._kind.state, page)

    async def pending(self, limit: int) -> Sequence[JobOutboxItem]:
        """Return jobs whose message has waited to be sent for longer than its own sender needs, or is lost.

        A request that has no place yet is not among them: `held` has it.
        """
        waits = f"c.outbox_pending = true AND c.outbox_since < @before AND ({_HAS_OR_NEEDS_NO_PLACE})"
        where = f"({waits}) OR ({_IS_LOST} AND {_MAY_BE_SENT_AGAIN})"
        query = Query(select(JobOutboxItem, where=where), self._stale() | self._lost(), limit)
        due: list[JobOutboxItem] = []
        for entry in await self._all().query(JobOutboxItem, query):
            with suppress(ItemChangedError):
                due.append(entry if entry.outbox_pending else await self._announce_again(entry))
        return due

    async def placed(self, limit: int, *, with_held: bool) -> Sequence[PlacedJob]:
        """Return jobs whose request has a place on the queue, or is about to have one.

        Args:
            limit: The most jobs.
            with_held: Whether those that wait for one are returned, too.
        """
        placed = "c.outbox.place IN ('asked', 'held', 'taken')" if with_held else _HAS_PLACE
        where = f"({placed}) AND NOT ({_IS_LOST})"
        parameters = self._lost() if with_held else self._lost() | self._stale()
        return await self._all().query(PlacedJob, Query(select(PlacedJob, where=where), parameters, limit))

    async def held(self, limit: int) -> Sequence[HeldJob]:
        """Return the first jobs of those whose request waits for a place, in their order."""
        where = f"c.outbox_pending = true AND ({_WAITS_FOR_PLACE})"
        page = KeysetPage(limit, by="outbox_turn", where=where, parameters=self._stale())
        return await self._all().read_prefix_page(HeldJob, page)

    async def hold(self, job: JobOutboxItem) -> None:
        """Let a request wait for a place; harmless where it is further already."""
        changes = (PatchOperation("set", "/outbox/place", QueuePlace.HELD),)
        with suppress(ItemChangedError):
            await self._of(job.id).patch(JobOutboxItem, job.id, Patch(changes, "c.outbox.place = 'asked'"))

    async def take_place(self, job_id: str) -> JobOutboxItem:
        """Give a request that waits a place on the queue, to be sent now; its job frees it for the next one.

        Raises:
            ItemChangedError: It does not wait any more.
        """
        changes = (
            PatchOperation("set", "/outbox/place", QueuePlace.TAKEN),
            PatchOperation("set", "/outbox_since", self._clock.now().timestamp()),
            PatchOperation("set", "/crowded", value=True),
        )
        waits = "c.outbox_pending = true AND c.outbox.place IN ('asked', 'held')"
        return await self._of(job_id).patch(JobOutboxItem, job_id, Patch(changes, waits))

    async def claim(
        self, job: JobItem[Request, Result], holder: str, seconds: float
    ) -> JobItem[Request, Result]:
        """Take a job for a time, if it is still queued, or its worker's time is up, as it was read.

        The latter counts as a failure: so what was read has to hold.

        Raises:
            ItemChangedError: Another worker has it, it waits for a person, it is over, or was given back.
        """
        lease = Lease(holder, 0).extend(self._clock, seconds)
        changes = (
            *_LEASE.take(lease),
            PatchOperation("set", "/status", JobStatus.RUNNING),
            *_WAITING_NO_MORE,
        )
        if job.status is not JobStatus.RUNNING:
            return await self._patch(job.id, Patch(changes, _IS_QUEUED))
        changes += (_count_failure(job), PatchOperation("set", "/last_failure", WORKER_DIED))
        return await self._patch(job.id, Patch(changes, f"{_IS_RUNNING} AND {_LEASE.is_over(self._clock)}"))

    def is_in_work(self, job: JobItem[Request, Result]) -> bool:
        """Tell whether a worker has the job, and is not known to be dead."""
        lease = Lease(job.holder, job.lease_until)
        return job.status is JobStatus.RUNNING and not lease.is_over(self._clock)

    async def checkpoint(
        self, job: JobItem[Request, Result], name: str, step: JobStep, used: Usage, seconds: float
    ) -> JobItem[Request, Result]:
        """Store a finished step, and what the job has used, and keep the job for a time more.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        changes = (
            PatchOperation("set", f"/steps/{name}", step.model_dump(mode="json")),
            PatchOperation("set", "/failures", 0),
            _set_usage(used),
            self._extend(job, seconds),
        )
        return await self._patch_held(job, changes)

    async def extend(self, job: JobItem[Request, Result], seconds: float) -> JobItem[Request, Result]:
        """Keep the job for a time more.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        return await self._patch_held(job, (self._extend(job, seconds),))

    async def give_back(self, job: JobItem[Request, Result], failure: str, used: Usage) -> None:
        """Let the next delivery take the job at once.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        changes = (
            PatchOperation("set", "/status", JobStatus.QUEUED),
            PatchOperation("set", "/last_failure", failure),
            _set_usage(used),
        )
        await self._patch_held(job, changes)

    async def postpone(self, job: JobItem[Request, Result], delay: JobDelay) -> JobItem[Request, Result]:
        """Put a job off that its worker has given back, and count that as a failure.

        Raises:
            ItemChangedError: It is not as it was read any more.
        """
        changes = (
            PatchOperation("set", "/waiting_until", None if delay.until is None else delay.until.isoformat()),
            PatchOperation("set", "/waiting_for", delay.reason),
            _count_failure(job),
            *self._announce(delay.message, _keep_place(job, delay)),
        )
        return await self._patch(job.id, Patch(changes, etag=job.etag))

    async def put_off(self, job: JobItem[Request, Result], delay: JobDelay) -> JobItem[Request, Result]:
        """Give the job back until a time, or until somebody approves a step; store what brings it back then.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        waits = {
            "until": None if delay.until is None else delay.until.isoformat(),
            "for": delay.reason,
            "step": delay.step,
        }
        changes = (
            PatchOperation("set", "/status", JobStatus.QUEUED if delay.step is None else JobStatus.WAITING),
            *(PatchOperation("set", f"/waiting_{name}", value) for name, value in waits.items()),
            PatchOperation("set", "/waits", job.waits + 1),
            _set_usage(delay.usage),
            *self._announce(delay.message, _keep_place(job, delay)),
        )
        try:
            return await self._patch_held(job, changes)
        except JobInWorkError:
            stored = await self.read(job.id)
            if stored.holder != job.holder or stored.waits != job.waits + 1:
                raise
            return stored  # it was done; only the answer was lost

    async def finish(self, job: JobItem[Request, Result], end: JobEnd[Result]) -> JobItem[Request, Result]:
        """End a job that its worker holds, and store the message that tells of it.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        try:
            return await self._patch_held(job, self._end(end))
        except JobInWorkError:
            stored = await self.read(job.id)
            if stored.holder != job.holder or not stored.status.is_final:
                raise
            return stored  # it was done; only the answer was lost

    async def end(self, job: JobItem[Request, Result], end: JobEnd[Result]) -> JobItem[Request, Result]:
        """End a job that nobody works on, and store the message that tells of it.

        Raises:
            ItemChangedError: It is not as it was read any more.
        """
        return await self._patch(job.id, Patch((*self._end(end), *_WAITING_NO_MORE), etag=job.etag))

    async def request_cancel(self, job: JobItem[Request, Result]) -> JobItem[Request, Result]:
        """Ask the worker of a job to end it at its next boundary.

        Raises:
            ItemChangedError: It is not in work any more.
        """
        asked = (PatchOperation("set", "/cancel_requested", value=True),)
        return await self._patch(job.id, Patch(asked, _IS_RUNNING))

    async def approve(
        self, job: JobItem[Request, Result], step: str, approval: JobApproval, message: JobMessage
    ) -> JobItem[Request, Result]:
        """Let a job go on that waits for a step's approval, and store the message that brings it back.

        Raises:
            ItemChangedError: It is not as it was read any more.
        """
        changes = (
            PatchOperation("set", "/status", JobStatus.QUEUED),
            _approval(step, approval),
            *_WAITING_NO_MORE,
            *self._announce(message, QueuePlace.ASKED),
            PatchOperation("set", "/outbox_turn", _turn(job.id, self._clock.now())),
        )
        return await self._patch(job.id, Patch(changes, etag=job.etag))

    async def refuse(
        self, job: JobItem[Request, Result], step: str, approval: JobApproval, end: JobEnd[Result]
    ) -> JobItem[Request, Result]:
        """End a job of which a step was not approved, and store the message that tells of it.

        Raises:
            ItemChangedError: It is not as it was read any more.
        """
        # One patch has 10 operations at most: of what it waited for, the step alone is taken off.
        changes = (*self._end(end), _approval(step, approval), PatchOperation("set", "/waiting_step", None))
        return await self._patch(job.id, Patch(changes, etag=job.etag))

    async def reopen(self, job: JobItem[Request, Result], message: JobMessage) -> JobItem[Request, Result]:
        """Queue a job again that has failed, or lost its message; store the message that brings it back.

        Its finished steps stay finished.

        Raises:
            ItemChangedError: It is not as it was read any more.
        """
        # One patch has 10 operations at most: who is queued has not ended, and who has ended does not wait.
        ended_no_more = (
            PatchOperation("set", "/error", None),
            PatchOperation("set", "/cancel_requested", value=False),
        )
        changes = (
            *(_WAITING_NO_MORE if job.status is JobStatus.QUEUED else ended_no_more),
            PatchOperation("set", "/status", JobStatus.QUEUED),
            PatchOperation("set", "/failures", 0),
            PatchOperation("set", "/outbox_turn", _turn(job.id, self._clock.now())),
            *self._announce(message, QueuePlace.ASKED),
        )
        return await self._patch(job.id, Patch(changes, etag=job.etag))

    async def mark_sent(self, entry: JobOutboxItem) -> None:
        """Note that the job's message is with the broker; harmless where a later one has taken its place."""
        if entry.outbox is None:
            return
        changes = [PatchOperation("set", "/outbox_pending", value=False)]
        if entry.outbox.place is not None:
            changes.append(PatchOperation("set", "/outbox/place", QueuePlace.TAKEN))
            changes.append(PatchOperation("set", "/crowded", value=entry.crowded))
        # Two requests of one job differ in when they were stored. The item is not dated: to whoever reads
        # the job, nothing has changed.
        same = f"c.outbox.kind = '{entry.outbox.kind}' AND c.outbox_since = {entry.outbox_since!r}"
        try:
            await self._of(entry.id).patch(JobOutboxItem, entry.id, Patch(tuple(changes), same))
        except ItemChangedError:
            return

    def _build(self, request: Request) -> JobItem[Request, Result]:
        now = self._clock.now()
        return self._kind.item(
            id=request.id,
            task_id=request.task_id,
            user_id=self._tenant.user_id,
            request=request,
            outbox_since=now.timestamp(),
            created_at=now,
            updated_at=now,
        )

    def _require_same(self, job: JobItem[Request, Result], request: Request) -> JobItem[Request, Result]:
        if not job.matches(request) or not self._tenant.sees(job.user_id):
            raise self._kind.conflict(request.id)
        return job

    def _end(self, end: JobEnd[Result]) -> tuple[PatchOperation, ...]:
        result = () if end.result is None else (PatchOperation("set", "/result", end.result.model_dump()),)
        return (
            PatchOperation("set", "/status", end.status),
            PatchOperation("set", "/error", end.error),
            _set_usage(end.usage),
            *result,
            *(_NOTHING_TO_SEND if end.message is None else self._announce(end.message)),
        )

    def _announce(self, message: JobMessage, place: QueuePlace | None = None) -> tuple[PatchOperation, ...]:
        placed = message.model_copy(update={"place": place})
        return (
            PatchOperation("set", "/outbox", placed.model_dump(mode="json")),
            PatchOperation("set", "/outbox_pending", value=True),
            PatchOperation("set", "/outbox_since", self._clock.now().timestamp()),
        )

    async def _announce_again(self, entry: JobOutboxItem) -> JobOutboxItem:
        """Let a lost request be sent once more.

        Raises:
            ItemChangedError: Another sweeper does, or the job is not where it was.
        """
        changes = (
            PatchOperation("set", "/outbox_pending", value=True),
            PatchOperation("set", "/outbox_since", self._clock.now().timestamp()),
            PatchOperation("set", "/outbox_turn", _turn(entry.id, self._clock.now())),
            PatchOperation("incr", "/failures", 1),
        )
        same = f"{_IS_QUEUED} AND c.outbox_pending = false AND c.outbox_since = {entry.outbox_since!r}"
        return await self._of(entry.id).patch(JobOutboxItem, entry.id, Patch(changes, same))

    def _lost(self) -> dict[str, JsonValue]:
        before = self._clock.now() - timedelta(seconds=LOST_AFTER_SECONDS)
        return {"@lost_since": before.timestamp(), "@lost_until": before.isoformat()}

    def _stale(self) -> dict[str, JsonValue]:
        before = self._clock.now() - timedelta(seconds=SWEEP_AFTER_SECONDS)
        return {"@before": before.timestamp()}

    def _extend(self, job: JobItem[Request, Result], seconds: float) -> PatchOperation:
        return _LEASE.extend(Lease(job.holder, 0).extend(self._clock, seconds))

    async def _patch_held(
        self, job: JobItem[Request, Result], changes: tuple[PatchOperation, ...]
    ) -> JobItem[Request, Result]:
        held = f"{_LEASE.is_held_by(job.holder)} AND {_IS_RUNNING}"
        try:
            return await self._patch(job.id, Patch(changes, held))
        except ItemChangedError as error:
            raise JobInWorkError(job.id, 1.0) from error

    async def _patch(self, job_id: str, patch: Patch) -> JobItem[Request, Result]:
        dated = (*patch.operations, PatchOperation("set", "/updated_at", self._clock.now().isoformat()))
        return await self._of(job_id).patch(self._kind.item, job_id, patch._replace(operations=dated))

    def _all(self) -> Partition:
        return Partition.of(self._tenant, self._container)

    def _of(self, job_id: str) -> Partition:
        return Partition.of(self._tenant, self._container, job_id)


_NOTHING_TO_SEND = (
    PatchOperation("set", "/outbox", None),
    PatchOperation("set", "/outbox_pending", value=False),
)
_WAITING_NO_MORE = tuple(PatchOperation("set", f"/waiting_{name}", None) for name in ("until", "for", "step"))


def _keep_place(job: JobOutboxItem, delay: JobDelay) -> QueuePlace | None:
    """Return the place of a job that is put off: none for one that waits for a person, or never had one."""
    had_one = job.outbox is not None and job.outbox.place is not None
    return QueuePlace.TAKEN if had_one and delay.step is None else None


def _turn(job_id: str, moment: datetime) -> str:
    """Return a text by which requests that wait are sorted: when they asked, then by the job's id."""
    return f"{moment.timestamp():017.6f} {job_id}"


def _count_failure(job: JobItem[Any, Any]) -> PatchOperation:
    return PatchOperation("set", "/failures", job.failures + 1)


def _approval(step: str, approval: JobApproval) -> PatchOperation:
    return PatchOperation("set", f"/approvals/{step}", approval.model_dump(mode="json"))


def _set_usage(used: Usage) -> PatchOperation:
    return PatchOperation("set", "/usage", used.model_dump())
