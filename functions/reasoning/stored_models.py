"""Stored state of reasoning jobs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from shared.contracts import ReasonerIn
from shared.jobs.models import JobEnd, JobItem, JobKind, JobState
from shared.jobs.repository import JobRepository


class JobResult(BaseModel):
    """Result of a job that succeeded."""

    model_config = ConfigDict(frozen=True)

    reason: str
    summary: str


type ReasoningJob = JobItem[ReasonerIn, JobResult]
type ReasoningState = JobState[JobResult]
type ReasoningEnd = JobEnd[JobResult]
type ReasoningJobs = JobRepository[ReasonerIn, JobResult]

REASONING = JobKind(JobItem[ReasonerIn, JobResult], JobState[JobResult])
