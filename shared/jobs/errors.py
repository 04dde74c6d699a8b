"""Errors of jobs."""

from __future__ import annotations

from shared.errors import NotFoundError


class JobNotFoundError(NotFoundError):
    """No such reasoning job for this tenant."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job with ID '{job_id}' not found", {"job_id": job_id})
