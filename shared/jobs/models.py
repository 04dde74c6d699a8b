"""Stored state of jobs: one item holds a job, its finished steps, and the message still to be sent.

What a capability's jobs ask for is a message's model, and what comes of them a result's (`JobKind`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts import NOTHING_USED, PromptUse, TaskMessage, Usage
from shared.cosmos.partition import StoredItem
from shared.jobs.errors import JobConflictError
from shared.webhooks.models import CompletionNotice

if TYPE_CHECKING:
    from collections.abc import Callable


class JobStatus(StrEnum):
    """Progress of a job; `waiting` is for a person's approval."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing changes any more."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class QueuePlace(StrEnum):
    """Progress of a request on its way to one of its tenant's places on the queue (shared/jobs/places.py)."""

    ASKED = "asked"
    HELD = "held"
    TAKEN = "taken"


class JobMessage(BaseModel):
    """A message that a stored change announces.

    Attributes:
        kind: The request puts the job on its queue, the result tells of its end.
        not_before: The time before which the broker does not deliver it; None for at once.
        place: How far a request is on its way to a place on the queue; None for what needs none.
        notice: The notice for the URL that the job names, where the message tells of the job's end.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["request", "result"]
    session_id: str | None = None
    body: str
    not_before: datetime | None = None
    place: QueuePlace | None = None
    notice: CompletionNotice | None = None


class JobStep(BaseModel):
    """A finished step: never paid again.

    Attributes:
        number: Its place among the job's steps, from 1; 0 where an older release stored it.
        model: The model that answered, by its provider's name; None where an older release stored the step.
        finish_reason: The provider's reason for which the answer ended, if it told one.
        prompt: The version of the job's prompt, where this step used it.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    usage: Usage
    number: int = 0
    model: str | None = None
    finish_reason: str | None = None
    prompt: PromptUse | None = None


class JobApproval(BaseModel):
    """A person's word on a finished step.

    Attributes:
        approved: Whether the job may go on.
        comment: The person's own words.
        principal: The credential that it came with.
    """

    model_config = ConfigDict(frozen=True)

    approved: bool
    comment: str | None = None
    principal: str
    at: datetime


class JobState[Result: BaseModel](StoredItem):
    """The part of a job that its callers are shown; its id is the item's.

    Attributes:
        user_id: The user whose token asked for it; None where a key or a queue did.
        usage: What its model calls are known to have used; an older release tells it at the end only.
        waiting_until: The time at which it is tried again, or given up, while it waits; else None.
        waiting_for: The thing that it waits for.
        waiting_step: The finished step that waits for approval.
        approvals: What was said of steps, by their names.
        cancel_requested: Whether it is to end at its next boundary.
    """

    task_id: str | None = None
    user_id: str | None = None
    status: JobStatus = JobStatus.QUEUED
    steps: dict[str, JobStep] = Field(default_factory=dict)
    result: Result | None = None
    error: str | None = None
    usage: Usage = NOTHING_USED
    waiting_until: datetime | None = None
    waiting_for: str | None = None
    waiting_step: str | None = None
    approvals: dict[str, JobApproval] = Field(default_factory=dict)
    cancel_requested: bool = False
    created_at: datetime
    updated_at: datetime

    @property
    def used(self) -> Usage:
        """Return what its model calls are known to have used."""
        of_steps = sum((step.usage for step in self.steps.values()), NOTHING_USED)
        return max(self.usage, of_steps, key=lambda usage: usage.total_tokens)


class JobOutboxItem(StoredItem):
    """The part of a job that tells what is still to be sent.

    Attributes:
        outbox_since: The time at which the message was stored, in seconds of Unix time.
        outbox_turn: The text by which requests that wait are sorted: when it asked, and the job's id.
        crowded: Whether its tenant's places were all in use when it got one: others may wait for its own.
    """

    outbox: JobMessage | None = None
    outbox_pending: bool = False
    outbox_since: float = 0
    outbox_turn: str | None = None
    crowded: bool = False

    @property
    def pending_message(self) -> JobMessage | None:
        """Return the message that is still to be sent, if there is one."""
        return self.outbox if self.outbox_pending else None


class PlacedJob(StoredItem):
    """The part of a job that tells whether it has a place on the queue.

    Attributes:
        waiting_until: The time at which the broker delivers its message, where the budget put it off.
    """

    waiting_until: datetime | None = None


class HeldJob(StoredItem):
    """The part of a job that tells that its request waits for a place."""

    outbox_turn: str


class JobItem[Request: TaskMessage, Result: BaseModel](JobState[Result], JobOutboxItem):
    """One job, whole.

    Attributes:
        last_failure: The reason for which the last worker gave the job back, for the day on which no delivery
            is left.
        failures: How often in a row its work has failed, or its worker died, since its last finished step.
        waits: The number of times that it was put off so far.
        holder: The worker that has it, or had it last.
        lease_until: The end of that worker's lease, in seconds of Unix time.
    """

    request: Request
    last_failure: str | None = None
    failures: int = 0
    waits: int = 0
    holder: str = ""
    lease_until: float = 0

    @property
    def asked_at(self) -> datetime:
        """Return when its request was made: as it was accepted, or approved, or sent again later."""
        asked = 0.0 if self.outbox_turn is None else float(self.outbox_turn.partition(" ")[0])
        return max(self.created_at, datetime.fromtimestamp(asked, UTC))

    def matches(self, message: Request) -> bool:
        """Tell whether a message asks for this job, as far as this release reads either."""
        ours, theirs = (request.model_dump(exclude={"schema_version"}) for request in (self.request, message))
        return ours == theirs


@dataclass(frozen=True, slots=True)
class JobKind[Request: TaskMessage, Result: BaseModel]:
    """Jobs of one capability.

    Attributes:
        item: The model of a whole job.
        state: The model of what callers are shown of it.
        conflict: Returns the error of a request under the id of a job that asks for something else.
    """

    item: type[JobItem[Request, Result]]
    state: type[JobState[Result]]
    conflict: Callable[[str], JobConflictError] = JobConflictError


@dataclass(frozen=True, slots=True)
class JobEnd[Result: BaseModel]:
    """The end of a job, with the message that tells of it; None where none does."""

    status: JobStatus
    message: JobMessage | None
    result: Result | None = None
    error: str | None = None
    usage: Usage = NOTHING_USED


@dataclass(frozen=True, slots=True)
class JobDelay:
    """The putting off of a job.

    Attributes:
        message: The message that brings it back.
        until: The time at which it is tried again; None for at once.
        reason: The thing that it waits for, in words that a caller may read.
        step: The finished step that waits for approval; None where nobody has to say anything.
        usage: What its model calls are known to have used so far.
    """

    message: JobMessage
    until: datetime | None = None
    reason: str | None = None
    step: str | None = None
    usage: Usage = NOTHING_USED
