"""Work on a job: claim it, run its steps, store the result with the message that tells of it, send that.

Each step is stored before the next one begins, so that a redelivery pays only for what was in flight
when its worker died. Whoever works on a job has its lease; a second delivery waits until that ends, and never
works beside the first. A job that the budget does not admit is put off, and one that waits for a person, too:
its session is another job's until its message comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from functions.reasoning.messages import cancel_job, end_job, request_message
from functions.reasoning.models import JobRequest
from functions.reasoning.stored_models import JobResult
from functions.reasoning.strategies.registry import find_strategy
from functions.reasoning.strategies.strategy import LONGEST_SUMMARY, SUMMARISE
from shared.cosmos.container import ItemChangedError
from shared.cosmos.leases import LeaseHeartbeat
from shared.errors import APIError, BudgetExceededError, DeadlineExceededError
from shared.jobs.claims import LONGEST_WAIT, JobClaims
from shared.jobs.models import JobDelay, JobStatus
from shared.llm.token_cap import TokenCap
from shared.logging.logger import get_logger
from shared.messaging.consumer import PAUSES_SECONDS
from shared.resilience.deadlines import deadline
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from functions.reasoning.steps import StepRunner
    from functions.reasoning.stored_models import ReasoningEnd, ReasoningJob, ReasoningJobs
    from functions.reasoning.strategies.strategy import StepCall, Strategy
    from shared.clock import Clock
    from shared.contracts import ReasonerIn, Usage
    from shared.jobs.places import JobOutbox

LONGEST_APPROVAL_WAIT = timedelta(days=7)

DELIVERY_SECONDS = 300.0
"""After this, no further step is begun in a delivery: the job's message is sent once more. The longest call
that is begun before still ends before the delivery does (shared/messaging/consumer.py)."""

_MOST_CLOCK_DIFFERENCE = timedelta(minutes=1)
"""The most that the broker's clock is taken to differ from this one."""

_LONGEST_LIST = 500
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobWorker:
    """Works on one tenant's jobs.

    Attributes:
        jobs: The tenant's jobs.
        outbox: Sends their messages.
        steps: Runs their steps.
        lease_seconds: How long a job stays a worker's without a sign of life: longer than a lock of its
            message lasts, so that who gets the message again waits a little.
        clock: Waits.
    """

    jobs: ReasoningJobs
    outbox: JobOutbox
    steps: StepRunner
    lease_seconds: float
    clock: Clock

    async def work(self, message: ReasonerIn) -> None:
        """Handle one delivery of a job's message, the first one or any other.

        Raises:
            ValidationError: The message asks for what jobs do not do; it will never succeed.
            PayloadTooLargeError: It is larger than what the app sends itself.
            JobConflictError: A job of this id asks for something else.
            APIError: Something is down; the next delivery goes on where this one stopped.
        """
        job = await self._claim(message)
        if job.status is JobStatus.RUNNING:
            job = await self._run(job)
        if job.cancel_requested and not job.status.is_final:
            job = await self._end_cancelled(job)
        await self.outbox.send(job)
        await self.steps.inputs.remove_if_over(job)

    async def give_up(self, message: ReasonerIn) -> None:
        """Say that a job has failed whose message exhausted its deliveries.

        Raises:
            ValidationError: The message never was a job's.
            JobConflictError: It was another job's.
            APIError: Something is down.
        """
        job = await self._claim(message)
        if job.status is JobStatus.RUNNING:
            last = job.last_failure or "its workers died"
            job = await self.jobs.finish(job, _fail(job, f"No delivery is left. At the last: {last}"))
        await self.outbox.send(job)
        await self.steps.inputs.remove_if_over(job)

    @property
    def _claims(self) -> JobClaims[ReasonerIn, JobResult]:
        return JobClaims(self.jobs, self.lease_seconds, self.clock)

    async def _claim(self, message: ReasonerIn) -> ReasoningJob:
        """Return the message's job: running once this worker has it; else over, or it waits for a person."""
        check_message(message)
        job = await self._claims.claim(message)
        return await self._end_wait(job) if job.status is JobStatus.WAITING else job

    async def _end_cancelled(self, job: ReasoningJob) -> ReasoningJob:
        """End a job that was put off while its caller asked for its end."""
        try:
            return await self.jobs.end(job, cancel_job(job))
        except ItemChangedError:
            return await self.jobs.read(job.id)  # somebody has ended it, or works on it, and will

    async def _end_wait(self, job: ReasoningJob) -> ReasoningJob:
        """Give a job up that has waited for a person for too long; let any other one wait on."""
        if job.waiting_until is None:
            return job
        left = job.waiting_until - self.clock.now()
        if left > _MOST_CLOCK_DIFFERENCE:
            return job
        if left > timedelta():  # it may be the message that ends the wait, by a broker's clock that is ahead
            until = job.waiting_until + left + timedelta(seconds=PAUSES_SECONDS[0])
            await self.outbox.send_copy(job, request_message(job.request, until))
            return job
        try:
            return await self.jobs.end(job, _fail(job, f"Nobody approved step '{job.waiting_step}' in time"))
        except ItemChangedError:
            return await self.jobs.read(job.id)  # somebody has; its own message comes for that

    async def _run(self, job: ReasoningJob) -> ReasoningJob:
        cap = TokenCap(job.request.token_budget, job.used)
        async with LeaseHeartbeat(
            lambda: self.jobs.extend(job, self.lease_seconds),
            lambda failure: self.jobs.give_back(job, failure, cap.used),
            self.lease_seconds,
            self.clock,
        ):
            return await self._advance(job, cap)

    async def _advance(self, job: ReasoningJob, cap: TokenCap) -> ReasoningJob:
        """Run the steps that are missing, up to the job's end or to what it has to wait for."""
        strategy = find_strategy(job.request.strategy)
        begun = self.clock.monotonic()
        while job.status is JobStatus.RUNNING:
            call = strategy.next_call(job.steps)
            gate = _find_gate(job, strategy)
            if job.cancel_requested:
                job = await self.jobs.finish(job, cancel_job(job))
            elif call is None:
                job = await self.jobs.finish(job, _succeed(job, strategy))
            elif gate is not None:
                job = await self.jobs.put_off(job, self._await_approval(job, gate))
            elif self.clock.monotonic() - begun >= DELIVERY_SECONDS:
                job = await self.jobs.put_off(job, JobDelay(request_message(job.request), usage=cap.used))
            else:
                job = await self._run_step(job, call, cap)
        return job

    async def _run_step(self, job: ReasoningJob, call: StepCall, cap: TokenCap) -> ReasoningJob:
        """Run a step and store it; else put the job off, or end it where the step can never be done."""
        try:
            with self._deadline(job):
                step = await self.steps.run(job, call, cap)
        except APIError as error:
            delay = self._delay(job, error, cap.used)
            if delay is not None:
                return await self.jobs.put_off(job, delay)
            failure = self._find_failure(job, call, error)
            if failure is None:
                raise
            facts = {"job_id": job.id, "error": type(error).__name__}
            _logger.info("The job fails for good", extra=facts)
            return await self.jobs.finish(job, _fail(job, failure, cap.used))
        return await self.jobs.checkpoint(job, call.name, step, cap.used, self.lease_seconds)

    @contextmanager
    def _deadline(self, job: ReasoningJob) -> Iterator[None]:
        """Give the work within the block what is left of the job's own time.

        Raises:
            DeadlineExceededError: Nothing is.
        """
        ends_at = _find_deadline(job)
        if ends_at is None:
            yield
            return
        seconds = (ends_at - self.clock.now()).total_seconds()
        if seconds <= 0:
            raise DeadlineExceededError("the job")
        with deadline(seconds, self.clock):
            yield

    def _find_failure(self, job: ReasoningJob, call: StepCall, error: APIError) -> str | None:
        """Say for what reason a job fails for good; None where it may go on in the next delivery."""
        if isinstance(error, BudgetExceededError):
            hours = int(LONGEST_WAIT.total_seconds() // 3600)
            most = f"for {hours} hours" if job.request.deadline_seconds is None else "until its deadline"
            return f"{error.message} (a job waits {most} at most)"
        if not error.transient:
            problems = _list_problems(error)
            told = f"{type(error).__name__}: {error.message}"
            return f"{told} (step '{call.name}': {problems})" if problems else told
        if _is_late(job, self.clock.now()):
            return f"The job's deadline has passed: {job.request.deadline_seconds} s after it was accepted"
        return None

    def _delay(self, job: ReasoningJob, error: APIError, used: Usage) -> JobDelay | None:
        """Put a job off until the budget, or the model that asks for a pause, lets it; else None."""
        until = self._claims.find_next_try(job, error)
        if until is None or _is_late(job, until):
            return None
        return JobDelay(request_message(job.request, until), until, error.message, usage=used)

    def _await_approval(self, job: ReasoningJob, step: str) -> JobDelay:
        """Put a job off until somebody has approved a step; its message ends it where nobody does."""
        until = self.clock.now() + LONGEST_APPROVAL_WAIT
        ends_at = _find_deadline(job)
        if ends_at is not None:
            until = min(until, ends_at)
        reason = f"approval of step '{step}'"
        return JobDelay(request_message(job.request, until), until, reason, step, job.used)


def check_message(message: ReasonerIn) -> None:
    """Hold messages that outsiders send to the rules that the HTTP route has.

    Raises:
        ValidationError: It can never be a job.
        PayloadTooLargeError: It could not be sent again.
    """
    fields = message.model_dump(exclude={"tenant_id", "schema_version", "content"}, exclude_none=True)
    if message.content is not None:
        fields |= {"text": "claimed"} if "text" not in fields else {"prompt_name": "claimed"}
    validate_input(lambda: JobRequest.model_validate(fields), "message")
    request_message(message)  # one that is too large to be sent again could not be put off


def _find_gate(job: ReasoningJob, strategy: Strategy) -> str | None:
    """Return the finished step that has to be approved before the job goes on; None where there is none."""
    is_open = not job.request.needs_approval or strategy.gate in job.approvals
    return None if is_open or strategy.gate not in job.steps else strategy.gate


def _succeed(job: ReasoningJob, strategy: Strategy) -> ReasoningEnd:
    result = JobResult(
        reason=strategy.find_analysis(job.steps) or "", summary=job.steps[SUMMARISE].text[:LONGEST_SUMMARY]
    )
    return end_job(job, JobStatus.SUCCEEDED, job.used, result=result)


def _fail(job: ReasoningJob, error: str, used: Usage | None = None) -> ReasoningEnd:
    return end_job(job, JobStatus.FAILED, used or job.used, error=error)


def _find_deadline(job: ReasoningJob) -> datetime | None:
    seconds = job.request.deadline_seconds
    return None if seconds is None else job.created_at + timedelta(seconds=seconds)


def _is_late(job: ReasoningJob, moment: datetime) -> bool:
    ends_at = _find_deadline(job)
    return ends_at is not None and moment >= ends_at


def _list_problems(error: APIError) -> str:
    """List what is wrong with an answer that is no data of its step's model, by its place; else nothing."""
    problems = error.detail.get("problems")
    if not isinstance(problems, Mapping):
        return ""
    return "; ".join(f"{place or 'the whole'} {problem}" for place, problem in problems.items())[
        :_LONGEST_LIST
    ]
