"""Errors of jobs."""

from __future__ import annotations

from shared.cosmos.leases import LeaseLostError
from shared.errors import ConflictError, DependencyUnavailableError, NotFoundError


class JobNotFoundError(NotFoundError):
    """No such job for this tenant."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job with ID '{job_id}' not found", {"job_id": job_id})


class JobConflictError(ConflictError):
    """A job of this id asks for something else.

    Args:
        job_id: The job's id.
        name: What its callers call such a job.
        id_name: What they call its id.
    """

    def __init__(self, job_id: str, name: str = "Job", id_name: str = "job_id") -> None:
        super().__init__(f"{name} '{job_id}' exists and asks for something else", {id_name: job_id})


class JobOverError(ConflictError):
    """The job has ended: nothing of it can be changed."""

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(f"Job '{job_id}' is over: {status}", {"job_id": job_id, "status": status})


class JobNotWaitingError(ConflictError):
    """The job does not wait for a word on this step, or there is another word on it already."""

    def __init__(self, job_id: str, step: str, status: str) -> None:
        super().__init__(
            f"Job '{job_id}' does not wait for the approval of step '{step}'",
            {"job_id": job_id, "step": step, "status": status},
        )


class JobAbandonedError(DependencyUnavailableError):
    """Each worker of this job has died with it."""

    def __init__(self, job_id: str) -> None:
        super().__init__("The job", "was left by each of its workers")
        self.job_id = job_id


class JobInWorkError(LeaseLostError):
    """Another worker has this job; it is delivered again should that one die."""

    def __init__(self, job_id: str, seconds: float) -> None:
        super().__init__("The job", "is in work elsewhere", retry_after=seconds)
        self.job_id = job_id
