"""Queues whose messages can be replayed, each with the jobs that its messages ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from shared.contracts import FeedbackFormIn, ReasonerIn, ResponsesIn, TaskMessage
from shared.jobs.contents import JobContents
from shared.jobs.models import JobItem, JobKind, JobState
from shared.jobs.repository import JobRepository

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.runtime import Runtime
    from shared.tenancy.context import TenantContext


class UnreadResult(BaseModel):
    """The result of a job, of which a replay needs to know nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")


@dataclass(frozen=True, slots=True)
class ReplayQueue:
    """One queue.

    Attributes:
        name: What the quarantine calls it.
        address: What the broker calls it.
        has_sessions: Whether a message needs a session.
        app_id: The application whose budget its jobs take.
        model: The messages' model.
        jobs_of: Opens a tenant's jobs.
        contents_of: Opens what is kept beside the queue for a tenant's jobs.
        check: Holds a message to the rules of its worker, beyond its model; None where there are none.
    """

    name: str
    address: str
    has_sessions: bool
    app_id: str
    model: type[TaskMessage]
    jobs_of: Callable[[TenantContext], JobRepository[Any, UnreadResult]]
    contents_of: Callable[[TenantContext], JobContents]
    check: Callable[[Any], None] | None = None


def open_queues(runtime: Runtime) -> dict[str, ReplayQueue]:
    """Return the queues by what the quarantine calls them."""
    reasoning = JobKind(JobItem[ReasonerIn, UnreadResult], JobState[UnreadResult])
    feedback = JobKind(JobItem[FeedbackFormIn, UnreadResult], JobState[UnreadResult])
    responses = JobKind(JobItem[ResponsesIn, UnreadResult], JobState[UnreadResult])

    def jobs_in(
        container: str, kind: JobKind[Any, UnreadResult]
    ) -> Callable[[TenantContext], JobRepository[Any, UnreadResult]]:
        return lambda tenant: JobRepository(tenant, runtime.container(container), runtime.clock, kind)

    def contents(tenant: TenantContext) -> JobContents:
        return JobContents(tenant, lambda: runtime.job_blobs)

    settings = runtime.settings
    queues = (
        ReplayQueue(
            "reasoner-in",
            settings.reasoner_in_queue,
            has_sessions=True,
            app_id="reasoner",
            model=ReasonerIn,
            jobs_of=jobs_in("jobs", reasoning),
            contents_of=contents,
            check=runtime.message_checks.get("reasoner-in"),
        ),
        ReplayQueue(
            "feedback-form-in",
            settings.feedback_in_queue,
            has_sessions=False,
            app_id="feedback",
            model=FeedbackFormIn,
            jobs_of=jobs_in("feedback", feedback),
            contents_of=contents,
            check=runtime.message_checks.get("feedback-form-in"),
        ),
        ReplayQueue(
            "responses-in",
            settings.responses_in_queue,
            has_sessions=False,
            app_id="openai",
            model=ResponsesIn,
            jobs_of=jobs_in("responses", responses),
            contents_of=contents,
        ),
    )
    return {queue.name: queue for queue in queues}
