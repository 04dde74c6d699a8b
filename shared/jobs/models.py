"""Status and result of a job."""

from __future__ import annotations

from enum import StrEnum

from shared.http.models import ReplyModel


class JobStatus(StrEnum):
    """How far a job has come."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing changes any more."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED}


class JobResult(ReplyModel):
    """What came of a job."""

    reason: str
    summary: str
