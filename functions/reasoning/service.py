"""Accept and show jobs."""

from __future__ import annotations

import uuid
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from functions.reasoning.messages import cancel_job, refuse_job, request_message
from functions.reasoning.models import (
    ApprovalReply,
    JobAccepted,
    JobProgressReply,
    JobReply,
    JobResultReply,
    StepReply,
)
from shared.contracts import ReasonerIn
from shared.cosmos.container import ItemChangedError
from shared.errors import DependencyUnavailableError, ValidationError
from shared.http.paging import ListReply, cut_page
from shared.http.streaming import StreamEvent
from shared.http.usage_replies import PromptUseReply, TokenUsageReply
from shared.jobs.errors import JobNotWaitingError, JobOverError
from shared.jobs.following import SeenProgress, follow_job
from shared.jobs.intake import JobIntake
from shared.jobs.models import JobApproval, JobStatus
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.reference import PromptReference
from shared.prompts.rendering import render_for_model
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from functions.reasoning.inputs import JobInputs
    from functions.reasoning.models import ApprovalRequest, JobPageQuery, JobRequest
    from functions.reasoning.stored_models import ReasoningJob, ReasoningJobs, ReasoningState
    from shared.clock import Clock
    from shared.jobs.models import JobStep
    from shared.jobs.places import JobOutbox
    from shared.prompts.library import ResolvesPrompts
    from shared.tenancy.context import TenantContext
    from shared.webhooks.store import WebhookStore

_MOST_RACES = 5


@dataclass(frozen=True, slots=True)
class JobService:
    """One tenant's jobs, as its callers see them.

    Attributes:
        tenant: The tenant.
        jobs: Its jobs.
        outbox: Sends their messages.
        inputs: Keeps their inputs.
        webhooks: The URLs that jobs may name.
        prompts: The prompts that they may name.
        require_model: Refuses the name of a model that the tenant may not use, with the path of its field.
        clock: Dates what is said of jobs.
    """

    tenant: TenantContext
    jobs: ReasoningJobs
    outbox: JobOutbox
    inputs: JobInputs
    webhooks: WebhookStore
    prompts: ResolvesPrompts
    require_model: Callable[[str, str], Awaitable[None]]
    clock: Clock

    async def accept(self, request: JobRequest) -> JobAccepted:
        """Store a job together with its message, then send that.

        A broker that is down does not refuse the job: the sweeper sends its message later.

        Raises:
            ModelNotFoundError: The tenant may use no such model.
            ValidationError: There is no such prompt, or its variables do not fit; or none of the tenant's
                webhooks has the URL that is to be told of the job's end.
            JobConflictError: A job of this id asks for something else.
            DependencyUnavailableError: What keeps large inputs is down, or the store.
        """
        if request.model is not None:
            await self.require_model(request.model, "body.model")
        await self._require_prompt(request)
        if request.callback_url is not None:
            await self.webhooks.require_url(request.callback_url, "body.callback_url")
        job_id = request.id or uuid.uuid4().hex
        fields = request.model_dump(exclude={"id"}, exclude_none=True)
        message = ReasonerIn.model_validate({"tenant_id": self.tenant.tenant_id, **fields, "id": job_id})
        claimed = await self.inputs.check_in(message)
        job = await JobIntake(self.jobs, self.outbox).accept(claimed, request_message(claimed))
        await self.inputs.remove_if_over(job)
        # As it was accepted, not as it stands: the same answer however often it is asked for.
        return _accept(job_id, JobStatus.QUEUED)

    async def _require_prompt(self, request: JobRequest) -> None:
        """Refuse a prompt with which the job could only fail: as it is now, each step looks it up again."""
        named, field = request.prompt, "body.prompt"
        if request.prompt_name is not None:
            named, field = PromptReference(name=request.prompt_name), "body.prompt_name"
        if named is None:
            return
        try:
            prompt = await self.prompts.resolve(named.name, named.label, named.version)
        except PromptNotFoundError as error:
            part = next((f".{part}" for part in ("label", "version") if error.detail.get(part)), ".name")
            raise refused_field(
                field if named is not request.prompt else field + part, error.message
            ) from error
        try:
            render_for_model(prompt, request.variables or {}, "user")
        except ValidationError as error:
            raise refused_field(field if prompt.placeholders else "body.variables", error.message) from error

    async def read(self, job_id: str) -> JobReply:
        """Return a job as it stands.

        Raises:
            JobNotFoundError: The tenant has none of this id.
        """
        return render_job(await self.jobs.read(job_id))

    async def follow(self, job_id: str, last_event_id: str | None) -> AsyncGenerator[StreamEvent | JobReply]:
        """Give each finished step and each status as events, and at the end the job as it stands then.

        Args:
            job_id: The job's id.
            last_event_id: The id of the last event that came; what it told is not told again.

        Raises:
            JobNotFoundError: The tenant has none of this id.
            ValidationError: The id is no event's.
        """
        seen = SeenProgress.parse(last_event_id) if last_event_id else SeenProgress()
        if seen is None:
            raise refused_field("header.last-event-id", "is the id of no event")
        async with aclosing(follow_job(lambda: self.jobs.read(job_id), self.clock, seen)) as changes:
            async for job in changes:
                for step in render_steps(job)[seen.steps :]:
                    told = SeenProgress(step.number, seen.state)
                    yield StreamEvent("step", step.model_dump_json(), str(told))
                now = SeenProgress.of(job)
                if now.state != seen.state:
                    yield StreamEvent("status", _render_progress(job).model_dump_json(), str(now))
                seen = now
        yield render_job(job)

    async def list(self, query: JobPageQuery) -> ListReply[JobReply]:
        """Return one page of jobs, by id, without their steps' texts."""
        found = await self.jobs.page(query.cursor, query.fetch_limit, query.status)
        page = cut_page(found, query.limit, lambda job: job.id)
        return ListReply[JobReply].of(page, partial(render_job, with_texts=False))

    async def cancel(self, job_id: str) -> JobAccepted:
        """Cancel a job: at once, or where it is in work at its worker's next boundary.

        Raises:
            JobNotFoundError: The tenant has none of this id.
            JobOverError: It has ended otherwise.
        """
        job = await self._change(job_id, self._cancel)
        return _accept(job.id, job.status)

    async def approve(self, job_id: str, said: ApprovalRequest) -> JobReply:
        """Let a job go on that waits for a step's approval, or cancel it where the step is not approved.

        Raises:
            JobNotFoundError: The tenant has none of this id.
            JobNotWaitingError: It does not wait for this step, or the other word was given on it.
        """
        return render_job(await self._change(job_id, lambda job: self._approve(job, said)))

    async def _change(
        self, job_id: str, change: Callable[[ReasoningJob], Awaitable[ReasoningJob]]
    ) -> ReasoningJob:
        """Change a job as it was read; where somebody else changes it meanwhile, as it is read then."""
        for _ in range(_MOST_RACES):
            with suppress(ItemChangedError):
                job = await change(await self.jobs.read(job_id))
                await JobIntake(self.jobs, self.outbox).announce(job)
                await self.inputs.remove_if_over(job)
                return job
        raise DependencyUnavailableError("The job", "is being changed by others", retry_after=1.0)

    async def _cancel(self, job: ReasoningJob) -> ReasoningJob:
        if job.status is JobStatus.CANCELLED:
            return job
        if job.status.is_final:
            raise JobOverError(job.id, job.status)
        if self.jobs.is_in_work(job):
            return job if job.cancel_requested else await self.jobs.request_cancel(job)
        return await self.jobs.end(job, cancel_job(job))

    async def _approve(self, job: ReasoningJob, said: ApprovalRequest) -> ReasoningJob:
        earlier = job.approvals.get(said.step)
        if earlier is not None and earlier.approved == said.approved:
            return job
        if earlier is not None or job.waiting_step != said.step:
            raise JobNotWaitingError(job.id, said.step, job.status)
        approval = JobApproval(
            approved=said.approved,
            comment=said.comment,
            principal=self.tenant.principal,
            at=self.clock.now(),
        )
        if said.approved:
            return await self.jobs.approve(job, said.step, approval, request_message(job.request))
        return await self.jobs.refuse(job, said.step, approval, refuse_job(job, said.step, said.comment))


def _accept(job_id: str, status: JobStatus) -> JobAccepted:
    return JobAccepted(job_id=job_id, status=status, status_url=f"/api/v1/reasoning/jobs/{job_id}")


def _render_progress(job: ReasoningState) -> JobProgressReply:
    shown = render_job(job)
    return JobProgressReply.model_validate(shown.model_dump(include=set(JobProgressReply.model_fields)))


def render_job(job: ReasoningState, *, with_texts: bool = True) -> JobReply:
    """Render a job as it stands."""
    steps = render_steps(job)
    prompts = (step.prompt for step in job.steps.values() if step.prompt is not None)
    return JobReply(
        job_id=job.id,
        task_id=job.task_id,
        status=job.status,
        steps=steps if with_texts else [step.model_copy(update={"text": None}) for step in steps],
        prompt=PromptUseReply.of(next(prompts, None)),
        result=None if job.result is None else JobResultReply.model_validate(job.result.model_dump()),
        usage=TokenUsageReply.of(job.used),
        error=job.error,
        waiting_until=None if job.status.is_final else job.waiting_until,
        waiting_for=None if job.status.is_final else job.waiting_for,
        waiting_step=job.waiting_step,
        approvals=[_render_approval(step, said) for step, said in job.approvals.items()],
        cancel_requested=job.cancel_requested,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )


def render_steps(job: ReasoningState) -> list[StepReply]:
    """Render the finished steps of a job in their order."""
    done = sorted(job.steps.items(), key=lambda named: named[1].number)
    return [_render_step(name, number, step) for number, (name, step) in enumerate(done, 1)]


def _render_step(name: str, number: int, step: JobStep) -> StepReply:
    return StepReply(
        name=name,
        number=number,
        text=step.text,
        usage=TokenUsageReply.of(step.usage),
        model=step.model,
        finish_reason=step.finish_reason,
    )


def _render_approval(step: str, said: JobApproval) -> ApprovalReply:
    return ApprovalReply(
        step=step, approved=said.approved, comment=said.comment, by=said.principal, at=said.at
    )
