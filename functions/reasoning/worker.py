"""Work on a job: take it, run its steps, store what came of it with the message that tells so, send that.

Each step is stored before the next one begins, so that a redelivery pays only for what was in flight
when its worker died. Whoever works on a job holds it for a time; a second delivery waits for that time or for
the end, whichever comes first, and never works beside the first.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from functions.reasoning.models import JobResult, JobStatus
from functions.reasoning.prompting import (
    LONGEST_SUMMARY,
    REASON,
    SHORTEST_SUMMARY,
    SUMMARISE,
    reasoning_prompt,
    summary_prompt,
)
from functions.reasoning.repository import JobInWorkError, Outcome, Outgoing, Step
from shared.contracts import ChatMessage, ReasonerOut, Usage
from shared.cosmos.container import ItemChangedError
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError, ValidationError
from shared.llm.model import ChatPrompt
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from functions.reasoning.outbox import Outbox
    from functions.reasoning.repository import JobItem, JobRepository
    from shared.clock import Clock
    from shared.contracts import ReasonerIn
    from shared.llm.model import ChatModel
    from shared.prompts.store import PromptStore

HOLD_SECONDS = 75.0
"""How long a worker holds a job without a sign of life: longer than a lock of its message lasts, so that who
gets the message again waits a little. Should a model call take longer still, its worker notices at the
checkpoint that the job is another one's, and stores nothing."""

LONGEST_WAIT_SECONDS = 70.0
"""How long a step waits for the budget: locks count for 60 s, so such a wait suffices when alone."""

_POLL_SECONDS = 1.0
_DEFAULT_OUTPUT_TOKENS = 1024
_SUMMARY_TOKENS = 256
_SERVER_ERRORS = 500
_logger = get_logger(__name__)


class JobWorker:
    """Works on one tenant's jobs.

    Args:
        jobs: The tenant's jobs.
        outbox: Sends what they have to say.
        prompts: The tenant's prompts.
        model: The chat model, within the tenant's budget.
        default_model: What jobs without a model of their own use.
        clock: Waits.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # one collaborator each, wired in one place
        self,
        jobs: JobRepository,
        outbox: Outbox,
        prompts: PromptStore,
        model: ChatModel,
        default_model: str,
        clock: Clock,
    ) -> None:
        self._jobs = jobs
        self._outbox = outbox
        self._prompts = prompts
        self._model = model
        self._default_model = default_model
        self._clock = clock

    async def work(self, message: ReasonerIn) -> None:
        """Handle one delivery of a job's message, the first one or any other.

        Raises:
            ValidationError: The message asks for what jobs do not do; it will never succeed.
            APIError: Something is down; the next delivery goes on where this one stopped.
        """
        _check(message)
        job, _ = await self._jobs.create(message, outgoing=None)
        job = await self._claim(job)
        if not job.status.is_final:
            job = await self._run(job)
        await self._outbox.send(job)

    async def give_up(self, message: ReasonerIn) -> None:
        """Say that a job has failed whose message exhausted its deliveries."""
        job, _ = await self._jobs.create(message, outgoing=None)
        job = await self._claim(job)
        if not job.status.is_final:
            job = await self._jobs.finish(job, _failure(job, "the job failed at every delivery"))
        await self._outbox.send(job)

    async def _claim(self, job: JobItem) -> JobItem:
        """Return the job once it is this worker's, or once it is over."""
        holder = uuid.uuid4().hex
        waited = 0.0
        while not job.status.is_final:
            try:
                return await self._jobs.claim(job, holder, HOLD_SECONDS)
            except ItemChangedError:
                job = await self._jobs.read(job.id)
            if job.holder == holder and job.status is JobStatus.RUNNING:
                return job  # it was done; only the answer was lost
            if job.status is JobStatus.RUNNING:
                if waited > HOLD_SECONDS:
                    raise JobInWorkError(job.id, _POLL_SECONDS)
                await self._clock.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
        return job

    async def _run(self, job: JobItem) -> JobItem:
        try:
            if REASON not in job.steps:
                prompt = reasoning_prompt(await self._conversation(job.request))
                job = await self._step(job, REASON, prompt, job.request.max_output_tokens)
            if SUMMARISE not in job.steps:
                job = await self._step(
                    job, SUMMARISE, summary_prompt(job.steps[REASON].text), _SUMMARY_TOKENS
                )
            outcome = _success(job)
        except JobInWorkError:
            raise
        except APIError as error:
            if error.status >= _SERVER_ERRORS:
                await self._jobs.give_back(job)
                raise
            _logger.info("The job fails for good", extra={"job_id": job.id, "error": type(error).__name__})
            outcome = _failure(job, f"{type(error).__name__}: {error.message}")
        return await self._jobs.finish(job, outcome)

    async def _step(
        self, job: JobItem, name: str, messages: tuple[ChatMessage, ...], tokens: int | None
    ) -> JobItem:
        prompt = ChatPrompt(
            messages=messages,
            model=job.request.model or self._default_model,
            max_output_tokens=tokens or _DEFAULT_OUTPUT_TOKENS,
        )
        waited = 0.0
        while True:
            try:
                completion = await self._model.complete(prompt)
                break
            except BudgetExceededError as error:
                wait = error.retry_after or _POLL_SECONDS
                if waited + wait > LONGEST_WAIT_SECONDS:
                    raise
                await self._clock.sleep(wait)
                waited += wait
                job = await self._jobs.extend(job, HOLD_SECONDS)
        text = completion.text.strip()
        if name == SUMMARISE and len(text) < SHORTEST_SUMMARY:
            raise DependencyUnavailableError("The model", "gave no usable summary")
        return await self._jobs.checkpoint(job, name, Step(text=text, usage=completion.usage), HOLD_SECONDS)

    async def _conversation(self, request: ReasonerIn) -> tuple[ChatMessage, ...]:
        if request.messages is not None:
            return tuple(request.messages)
        if request.prompt_name is not None:
            text = await self._prompts.resolve(request.prompt_name, request.variables or {})
            return (ChatMessage(role="user", content=text),)
        return (ChatMessage(role="user", content=request.text or ""),)


def _check(message: ReasonerIn) -> None:
    """Hold messages that outsiders send to the rules that the HTTP route has."""
    inputs = {"text": message.text, "messages": message.messages, "prompt_name": message.prompt_name}
    if sum(value is not None for value in inputs.values()) != 1:
        names = ", ".join(inputs)
        raise ValidationError(
            f"Exactly one of {names} is needed", {"fields": dict.fromkeys(inputs, "one of them")}
        )
    if message.strategy is not None:
        raise ValidationError("No strategies are supported", {"fields": {"strategy": "not supported"}})


def _success(job: JobItem) -> Outcome:
    reason = job.steps[REASON].text
    result = JobResult(reason=reason, summary=job.steps[SUMMARISE].text[:LONGEST_SUMMARY])
    return _outcome(job, JobStatus.SUCCEEDED, result, None)


def _failure(job: JobItem, error: str) -> Outcome:
    return _outcome(job, JobStatus.FAILED, None, error)


def _outcome(job: JobItem, status: JobStatus, result: JobResult | None, error: str | None) -> Outcome:
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
    outgoing = Outgoing(kind="result", body=message.model_dump_json(by_alias=True))
    return Outcome(status, outgoing, result, error, usage)
