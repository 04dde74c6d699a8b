"""Work on a job: claim it, run its steps, store the result with the message that tells of it, send that.

Each step is stored before the next one begins, so that a redelivery pays only for what was in flight
when its worker died. Whoever works on a job has its lease; a second delivery waits until that ends, and never
works beside the first. A job that the budget does not admit is put off: its session is another job's until
its message comes back.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from functions.reasoning.messages import request_message, result_message
from functions.reasoning.models import JobRequest
from functions.reasoning.prompts import (
    LONGEST_SUMMARY,
    REASON,
    SHORTEST_SUMMARY,
    SUMMARISE,
    reasoning_prompt,
    summary_prompt,
)
from shared.contracts import ChatMessage, PromptSelection, PromptUse, ReasonerOut, Usage
from shared.cosmos.container import ItemChangedError
from shared.cosmos.leases import LeaseHeartbeat
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError
from shared.jobs.models import JobDelay, JobEnd, JobResult, JobStatus, JobStep
from shared.jobs.repository import JobInWorkError
from shared.llm.chat_model import ChatPrompt
from shared.llm.model_call import CallOrigin
from shared.logging.logger import get_logger
from shared.prompts.rendering import render_for_model
from shared.validation import validate_input

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.contracts import ReasonerIn
    from shared.jobs.models import JobItem, JobOutboxItem
    from shared.jobs.repository import JobRepository
    from shared.llm.chat_model import ChatModel, Completion
    from shared.messaging.outbox import Outbox
    from shared.prompts.library import ResolvesPrompts

LONGEST_WAIT = timedelta(hours=25)
"""How long after it was accepted a job may still be put off: a day's budget is there again within that."""

_LONGEST_BACKOFF_SECONDS = 64
_MOST_SPREAD = 0.1
_MOST_SPREAD_SECONDS = 60.0
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
        outbox: Sends their messages.
        prompts: The tenant's prompts.
        model: The chat model, within the tenant's budget.
        default_model: The model of jobs that name none.
        lease_seconds: How long a job stays a worker's without a sign of life: longer than a lock of its
            message lasts, so that who gets the message again waits a little.
        clock: Waits.
    """

    jobs: JobRepository
    outbox: Outbox[JobOutboxItem]
    prompts: ResolvesPrompts
    model: ChatModel
    default_model: str
    lease_seconds: float
    clock: Clock

    async def work(self, message: ReasonerIn) -> None:
        """Handle one delivery of a job's message, the first one or any other.

        Raises:
            ValidationError: The message asks for what jobs do not do; it will never succeed.
            JobConflictError: A job of this id asks for something else.
            APIError: Something is down; the next delivery goes on where this one stopped.
        """
        job = await self._claim(message)
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
        job = await self._claim(message)
        if not job.status.is_final:
            last = job.last_failure or "its workers died"
            job = await self.jobs.finish(job, _fail(job, f"No delivery is left. At the last: {last}"))
        await self.outbox.send(job)

    async def _claim(self, message: ReasonerIn) -> JobItem:
        """Return the message's job once it is this worker's, or once it is over."""
        _check(message)
        job, _ = await self.jobs.create(message, None)
        holder = uuid.uuid4().hex
        waited = 0.0
        while not job.status.is_final:
            try:
                return await self.jobs.claim(job, holder, self.lease_seconds)
            except ItemChangedError:
                job = await self.jobs.read(job.id)
            if job.holder == holder and job.status is JobStatus.RUNNING:
                return job  # it was done; only the answer was lost
            if job.status is JobStatus.RUNNING:
                if waited > self.lease_seconds:
                    raise JobInWorkError(job.id, _POLL_SECONDS)
                await self.clock.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
        return job

    async def _run(self, job: JobItem) -> JobItem:
        claimed = job
        async with LeaseHeartbeat(
            lambda: self.jobs.extend(claimed, self.lease_seconds),
            lambda failure: self.jobs.give_back(claimed, failure),
            self.lease_seconds,
            self.clock,
        ):
            try:
                if REASON not in job.steps:
                    job = await self._reason(job)
                if SUMMARISE not in job.steps:
                    job = await self._summarise(job)
                end = _succeed(job)
            except BudgetExceededError as error:
                delay = self._delay(job, error)
                if delay is not None:
                    return await self.jobs.put_off(job, delay)
                end = _fail(job, f"{error.message} (a job waits for {_hours(LONGEST_WAIT)} hours at most)")
            except APIError as error:
                if error.transient:
                    raise
                facts = {"job_id": job.id, "error": type(error).__name__}
                _logger.info("The job fails for good", extra=facts)
                end = _fail(job, f"{type(error).__name__}: {error.message}")
            return await self.jobs.finish(job, end)

    def _delay(self, job: JobItem, error: BudgetExceededError) -> JobDelay | None:
        """Put a job off until the budget may admit it; None where it has waited for long enough.

        Of many that wait, few are admitted at a time: each comes back later from time to time, and a little
        before or after the others.
        """
        backoff = min(2**job.waits, _LONGEST_BACKOFF_SECONDS)
        seconds = max(error.retry_after or _POLL_SECONDS, backoff)
        spread = min(seconds * _MOST_SPREAD, _MOST_SPREAD_SECONDS) * zlib.crc32(job.id.encode()) / 2**32
        until = self.clock.now() + timedelta(seconds=seconds + spread)
        if until > job.created_at + LONGEST_WAIT:
            return None
        return JobDelay(until, error.message, request_message(job.request, until))

    async def _reason(self, job: JobItem) -> JobItem:
        conversation, use = await self._conversation(job.request)
        most_tokens = job.request.max_output_tokens or _DEFAULT_OUTPUT_TOKENS
        origin = CallOrigin(job_id=job.id, step=REASON, prompt=use)
        prompt = self._prompt(job, reasoning_prompt(conversation), most_tokens, origin)
        step = _step(await self.model.complete(prompt), _SHORTEST_REASON, use)
        return await self.jobs.checkpoint(job, REASON, step, self.lease_seconds)

    async def _summarise(self, job: JobItem) -> JobItem:
        origin = CallOrigin(job_id=job.id, step=SUMMARISE)
        prompt = self._prompt(job, summary_prompt(job.steps[REASON].text), _SUMMARY_TOKENS, origin)
        step = _step(await self.model.complete(prompt), SHORTEST_SUMMARY)
        return await self.jobs.checkpoint(job, SUMMARISE, step, self.lease_seconds)

    def _prompt(
        self, job: JobItem, messages: tuple[ChatMessage, ...], tokens: int, origin: CallOrigin
    ) -> ChatPrompt:
        return ChatPrompt(messages, job.request.model or self.default_model, tokens, origin=origin)

    async def _conversation(self, request: ReasonerIn) -> tuple[tuple[ChatMessage, ...], PromptUse | None]:
        """Return the input of a job, and the version of the prompt that it comes from, if it does."""
        reference = request.prompt
        if request.prompt_name is not None:
            reference = PromptSelection(name=request.prompt_name)
        if reference is not None:
            prompt = await self.prompts.resolve(reference.name, reference.label, reference.version)
            use = PromptUse(name=prompt.version.name, version=prompt.version.version)
            return render_for_model(prompt, request.variables or {}, "user"), use
        if request.messages is not None:
            return tuple(request.messages), None
        return (ChatMessage(role="user", content=request.text or ""),), None


def _check(message: ReasonerIn) -> None:
    """Hold messages that outsiders send to the rules that the HTTP route has."""
    fields = message.model_dump(exclude={"tenant_id", "schema_version"}, exclude_none=True)
    validate_input(lambda: JobRequest.model_validate(fields), "message")


def _step(completion: Completion, shortest: int, prompt: PromptUse | None = None) -> JobStep:
    text = completion.text.strip()
    if len(text) < shortest:
        raise DependencyUnavailableError("The model", f"answered with less than {shortest} characters")
    return JobStep(
        text=text,
        usage=completion.usage,
        model=completion.model,
        finish_reason=completion.finish_reason,
        prompt=prompt,
    )


def _succeed(job: JobItem) -> JobEnd:
    reason = job.steps[REASON].text
    result = JobResult(reason=reason, summary=job.steps[SUMMARISE].text[:LONGEST_SUMMARY])
    return _end(job, JobStatus.SUCCEEDED, result, None)


def _fail(job: JobItem, error: str) -> JobEnd:
    return _end(job, JobStatus.FAILED, None, error)


def _end(job: JobItem, status: JobStatus, result: JobResult | None, error: str | None) -> JobEnd:
    usage = sum((step.usage for step in job.steps.values()), Usage())
    message = ReasonerOut(
        tenant_id=job.request.tenant_id,
        id=job.id,
        task_id=job.task_id,
        ai_reason=job.steps[REASON].text if REASON in job.steps else None,
        reason=result.reason if result else None,
        summary=result.summary if result else None,
        usage=usage,
        message=error or "SUCCESS",
    )
    return JobEnd(status, result_message(message), result, error, usage)


def _hours(duration: timedelta) -> int:
    return int(duration.total_seconds() // 3600)
