"""Work on a job: take it, run its steps, store what came of it with the message that tells so, send that.

Each step is stored before the next one begins, so that a redelivery pays only for what was in flight
when its worker died. Whoever works on a job holds it; a second delivery waits until that ends, and never
works beside the first.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pydantic

from functions.reasoning.models import JobRequest
from functions.reasoning.prompts import (
    LONGEST_SUMMARY,
    REASON,
    SHORTEST_SUMMARY,
    SUMMARISE,
    reasoning_prompt,
    summary_prompt,
)
from shared.contracts import ChatMessage, ReasonerOut, Usage
from shared.cosmos.container import ItemChangedError
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError
from shared.jobs.lease import Hold
from shared.jobs.models import JobResult, JobStatus
from shared.jobs.repository import JobInWorkError, Outcome, Outgoing, Step
from shared.llm.chat_model import ChatPrompt
from shared.logging.logger import get_logger
from shared.messaging.sender import MAX_BODY_BYTES
from shared.prompts.rendering import render_for_model
from shared.validation import refusal

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.contracts import ReasonerIn
    from shared.jobs.outbox import Outbox
    from shared.jobs.repository import JobItem, JobRepository
    from shared.llm.chat_model import ChatModel, Completion
    from shared.prompts.library import ResolvesPrompts

LONGEST_WAIT_SECONDS = 70.0
"""How long a step waits for the budget at one delivery: locks count for 60 s, so that suffices when alone."""

_POLL_SECONDS = 1.0
_DEFAULT_OUTPUT_TOKENS = 1024
_SUMMARY_TOKENS = 256
_SHORTEST_REASON = 1
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobWorker:
    """Works on one tenant's jobs.

    Attributes:
        jobs: The tenant's jobs.
        outbox: Sends what they have to say.
        prompts: The tenant's prompts.
        model: The chat model, within the tenant's budget.
        default_model: What jobs without a model of their own use.
        hold_seconds: How long a job stays held without a sign of life: longer than a lock of its message
            lasts, so that who gets the message again waits a little.
        clock: Waits.
    """

    jobs: JobRepository
    outbox: Outbox
    prompts: ResolvesPrompts
    model: ChatModel
    default_model: str
    hold_seconds: float
    clock: Clock

    async def work(self, message: ReasonerIn) -> None:
        """Handle one delivery of a job's message, the first one or any other.

        Raises:
            ValidationError: The message asks for what jobs do not do; it will never succeed.
            JobConflictError: A job of this id asks for something else.
            APIError: Something is down, or the budget is used up; the next delivery goes on where this one
                stopped.
        """
        job = await self._claimed(message)
        if not job.status.is_final:
            job = await self._run(job)
        await self.outbox.send(job)

    async def give_up(self, message: ReasonerIn) -> None:
        """Say that a job has failed whose message exhausted its deliveries.

        Raises:
            ValidationError: The message never was a job's.
            JobConflictError: It was another job's.
            APIError: Something is down.
        """
        job = await self._claimed(message)
        if not job.status.is_final:
            last = job.last_failure or "its workers died"
            job = await self.jobs.finish(job, _failure(job, f"No delivery is left. At the last: {last}"))
        await self.outbox.send(job)

    async def _claimed(self, message: ReasonerIn) -> JobItem:
        """Return the message's job once it is this worker's, or once it is over."""
        _check(message)
        job, _ = await self.jobs.create(message, outgoing=None)
        holder = uuid.uuid4().hex
        waited = 0.0
        while not job.status.is_final:
            try:
                return await self.jobs.claim(job, holder, self.hold_seconds)
            except ItemChangedError:
                job = await self.jobs.read(job.id)
            if job.holder == holder and job.status is JobStatus.RUNNING:
                return job  # it was done; only the answer was lost
            if job.status is JobStatus.RUNNING:
                if waited > self.hold_seconds:
                    raise JobInWorkError(job.id, _POLL_SECONDS)
                await self.clock.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
        return job

    async def _run(self, job: JobItem) -> JobItem:
        async with Hold(self.jobs, job, self.hold_seconds, self.clock) as hold:
            try:
                if REASON not in job.steps:
                    job = await self._reason(job, hold)
                if SUMMARISE not in job.steps:
                    job = await self._summarise(job, hold)
                outcome = _success(job)
            except APIError as error:
                if error.transient:
                    raise
                _logger.info(
                    "The job fails for good", extra={"job_id": job.id, "error": type(error).__name__}
                )
                outcome = _failure(job, f"{type(error).__name__}: {error.message}")
            return await self.jobs.finish(job, outcome)

    async def _reason(self, job: JobItem, hold: Hold) -> JobItem:
        prompt = self._prompt(
            job,
            reasoning_prompt(await self._conversation(job.request)),
            job.request.max_output_tokens or _DEFAULT_OUTPUT_TOKENS,
        )
        step = _step(await self._paid(prompt, hold), _SHORTEST_REASON)
        return await self.jobs.checkpoint(job, REASON, step, self.hold_seconds)

    async def _summarise(self, job: JobItem, hold: Hold) -> JobItem:
        prompt = self._prompt(job, summary_prompt(job.steps[REASON].text), _SUMMARY_TOKENS)
        step = _step(await self._paid(prompt, hold), SHORTEST_SUMMARY)
        return await self.jobs.checkpoint(job, SUMMARISE, step, self.hold_seconds)

    def _prompt(self, job: JobItem, messages: tuple[ChatMessage, ...], tokens: int) -> ChatPrompt:
        return ChatPrompt(messages, job.request.model or self.default_model, tokens)

    async def _paid(self, prompt: ChatPrompt, hold: Hold) -> Completion:
        """Call the model, once the budget admits it."""
        waited = 0.0
        while True:
            try:
                return await self.model.complete(prompt)
            except BudgetExceededError as error:
                wait = error.retry_after or _POLL_SECONDS
                if waited + wait > LONGEST_WAIT_SECONDS:
                    raise
                await self.clock.sleep(wait)
                waited += wait
                await hold.prolong()

    async def _conversation(self, request: ReasonerIn) -> tuple[ChatMessage, ...]:
        if request.messages is not None:
            return tuple(request.messages)
        if request.prompt_name is not None:
            prompt = await self.prompts.resolve(request.prompt_name)
            return render_for_model(prompt, request.variables or {}, "user")
        return (ChatMessage(role="user", content=request.text or ""),)


def _check(message: ReasonerIn) -> None:
    """Hold messages that outsiders send to the rules that the HTTP route has."""
    try:
        JobRequest.model_validate(
            message.model_dump(exclude={"tenant_id", "schema_version"}, exclude_none=True)
        )
    except pydantic.ValidationError as error:
        raise refusal(error, "message") from error


def _step(completion: Completion, shortest: int) -> Step:
    text = completion.text.strip()
    if len(text) < shortest:
        raise DependencyUnavailableError("The model", f"answered with less than {shortest} characters")
    return Step(text=text, usage=completion.usage)


def _success(job: JobItem) -> Outcome:
    reason = job.steps[REASON].text
    result = JobResult(reason=reason, summary=job.steps[SUMMARISE].text[:LONGEST_SUMMARY])
    return _outcome(job, JobStatus.SUCCEEDED, result, None)


def _failure(job: JobItem, error: str) -> Outcome:
    return _outcome(job, JobStatus.FAILED, None, error)


def _outcome(job: JobItem, status: JobStatus, result: JobResult | None, error: str | None) -> Outcome:
    usage = sum((step.usage for step in job.steps.values()), Usage())
    told = ReasonerOut(
        tenant_id=job.request.tenant_id,
        id=job.id,
        task_id=job.task_id,
        ai_reason=job.steps[REASON].text if REASON in job.steps else None,
        reason=result.reason if result else None,
        summary=result.summary if result else None,
        usage=usage,
        message=error or "SUCCESS",
    )
    return Outcome(status, Outgoing(kind="result", body=_fitting(told)), result, error, usage)


def _fitting(told: ReasonerOut) -> str:
    """Render a message; one that no queue takes leaves the analysis out and says where it is."""
    body = told.model_dump_json(by_alias=True)
    if len(body.encode()) <= MAX_BODY_BYTES:
        return body
    where = f"The result is too large for a message: GET /api/v1/reasoning/jobs/{told.id}"
    short = told.model_copy(update={"ai_reason": None, "reason": None, "message": where})
    return short.model_dump_json(by_alias=True)
