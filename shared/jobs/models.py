"""Stored models of jobs: one item holds a job, its finished steps, and the message still to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts import PromptUse, ReasonerIn, Usage
from shared.cosmos.partition import StoredItem

NOTHING_USED = Usage()


class JobStatus(StrEnum):
    """Progress of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing changes any more."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED}


class JobResult(BaseModel):
    """Result of a job that succeeded."""

    model_config = ConfigDict(frozen=True)

    reason: str
    summary: str


class JobMessage(BaseModel):
    """A message that a stored change announces.

    Attributes:
        kind: The request puts the job on its queue, the result tells of its end.
        not_before: The time before which the broker does not deliver it; None for at once.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["request", "result"]
    session_id: str | None = None
    body: str
    not_before: datetime | None = None


class JobStep(BaseModel):
    """A finished step: never paid again.

    Attributes:
        model: The model that answered, by its provider's name; None where an older release stored the step.
        finish_reason: The provider's reason for which the answer ended, if it told one.
        prompt: The version of the job's prompt, where this step used it.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    usage: Usage
    model: str | None = None
    finish_reason: str | None = None
    prompt: PromptUse | None = None


class JobState(StoredItem):
    """The part of a job that its callers are shown; its id is the item's.

    Attributes:
        user_id: The user whose token asked for it; None where a key or a queue did.
        waiting_until: The time at which it is tried again, while it waits; None while it does not.
        waiting_for: The thing that it waits for.
    """

    task_id: str | None = None
    user_id: str | None = None
    status: JobStatus = JobStatus.QUEUED
    steps: dict[str, JobStep] = Field(default_factory=dict)
    result: JobResult | None = None
    error: str | None = None
    waiting_until: datetime | None = None
    waiting_for: str | None = None
    created_at: datetime
    updated_at: datetime


class JobOutboxItem(StoredItem):
    """The part of a job that tells what is still to be sent.

    Attributes:
        outbox_since: The time at which the message was stored, in seconds of Unix time.
    """

    outbox: JobMessage | None = None
    outbox_pending: bool = False
    outbox_since: float = 0

    @property
    def pending_message(self) -> JobMessage | None:
        """Return the message that is still to be sent, if there is one."""
        return self.outbox if self.outbox_pending else None


class JobItem(JobState, JobOutboxItem):
    """One job, whole.

    Attributes:
        last_failure: The reason for which the last worker gave the job back, for the day on which no delivery
            is left.
        waits: The number of times that it was put off so far.
        holder: The worker that has it, or had it last.
        lease_until: The end of that worker's lease, in seconds of Unix time.
    """

    request: ReasonerIn
    usage: Usage = NOTHING_USED
    last_failure: str | None = None
    waits: int = 0
    holder: str = ""
    lease_until: float = 0

    def matches(self, message: ReasonerIn) -> bool:
        """Tell whether a message asks for this job, as far as this release reads either."""
        ours, theirs = (request.model_dump(exclude={"schema_version"}) for request in (self.request, message))
        return ours == theirs


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The end of a job, with the message that tells of it."""

    status: JobStatus
    message: JobMessage
    result: JobResult | None = None
    error: str | None = None
    usage: Usage = NOTHING_USED


@dataclass(frozen=True, slots=True)
class JobDelay:
    """The putting off of a job.

    Attributes:
        until: The time at which it is tried again.
        reason: The thing that it waits for, in words that a caller may read.
        message: The message that brings it back then.
    """

    until: datetime
    reason: str
    message: JobMessage
