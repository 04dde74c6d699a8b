"""Work on feedback: claim it, analyse it, store the analysis with the message that tells of it, send that.

An analysis is one call of the model, and asked for again once where it does not fit: what is paid for is
stored by the write that ends the feedback.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.feedback.analysis import MOST_OUTPUT_TOKENS, analysis_prompt, answer_format, read_analysis
from functions.feedback.errors import UnfitSummaryError
from functions.feedback.messages import fail, request_message, succeed
from functions.feedback.models import FeedbackRequest
from functions.feedback.personal_data import mask_personal_data
from shared.contracts import Usage
from shared.cosmos.leases import LeaseHeartbeat
from shared.errors import APIError, BudgetExceededError
from shared.jobs.claims import LONGEST_WAIT_TEXT
from shared.jobs.models import JobDelay, JobStatus
from shared.llm.chat_model import TELL_USAGE, ChatPrompt
from shared.llm.model_call import CallOrigin
from shared.logging.logger import get_logger
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions.feedback.stored_models import Analysis, FeedbackEnd, FeedbackJob, FeedbackJobs
    from shared.contracts import FeedbackFormIn
    from shared.jobs.claims import JobClaims
    from shared.jobs.places import JobOutbox
    from shared.llm.chat_model import ChatModel

_LONG_TEXT = 2_000
"""Characters above which personal data is looked for beside the event loop."""

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeedbackWorker:
    """Works on one tenant's feedback.

    Attributes:
        jobs: The tenant's feedback.
        outbox: Sends its messages.
        claims: Takes feedback for this worker alone.
        model: The chat model, within the tenant's budget, which holds answers to their form.
        model_name: The name of the model in the catalogue.
    """

    jobs: FeedbackJobs
    outbox: JobOutbox
    claims: JobClaims[FeedbackFormIn, Analysis]
    model: ChatModel
    model_name: str

    async def work(self, message: FeedbackFormIn) -> None:
        """Handle one delivery of a feedback's message, the first one or any other.

        Raises:
            ValidationError: The message can never be a feedback.
            FeedbackConflictError: A feedback of this id says something else.
            APIError: Something is down; the next delivery tries again.
        """
        check_message(message)
        job = await self.claims.claim(message)
        if job.status is JobStatus.RUNNING:
            job = await self._run(job)
        await self.outbox.send(job)

    async def give_up(self, message: FeedbackFormIn) -> None:
        """Say that an analysis has failed whose message exhausted its deliveries.

        Raises:
            ValidationError: The message never was a feedback's.
            FeedbackConflictError: It was another one's.
            APIError: Something is down.
        """
        check_message(message)
        job = await self.claims.claim(message)
        if job.status is JobStatus.RUNNING:
            last = job.last_failure or "its workers died"
            end = fail(job, f"No delivery is left. At the last: {last}", job.used)
            job = await self.jobs.finish(job, end)
        await self.outbox.send(job)

    async def _run(self, job: FeedbackJob) -> FeedbackJob:
        async with LeaseHeartbeat(
            lambda: self.jobs.extend(job, self.claims.lease_seconds),
            lambda failure: self.jobs.give_back(job, failure, job.used),
            self.claims.lease_seconds,
            self.claims.clock,
        ):
            try:
                end = await self._analyse(job)
            except APIError as error:
                until = self.claims.find_next_try(job, error)
                if until is not None:
                    delay = JobDelay(
                        request_message(job.request, until), until, error.message, usage=job.used
                    )
                    return await self.jobs.put_off(job, delay)
                end = _fail(job, error)
            return await self.jobs.finish(job, end)

    async def _analyse(self, job: FeedbackJob) -> FeedbackEnd:
        request = job.request
        text = await _run_beside(request, lambda: mask_personal_data(request.text))
        prompt = ChatPrompt(
            analysis_prompt(text, request.language),
            self.model_name,
            MOST_OUTPUT_TOKENS,
            user=job.user_id,
            origin=CallOrigin(job_id=job.id, step="analyse"),
            answer_format=answer_format(),
        )
        completion = await self.model.complete(prompt)
        analysis = await _run_beside(request, lambda: read_analysis(completion, text))
        return succeed(job, analysis, job.used + completion.usage)


async def _run_beside[T](request: FeedbackFormIn, work: Callable[[], T]) -> T:
    """Do work that grows with a text: beside the event loop where the text is long."""
    return work() if len(request.text) <= _LONG_TEXT else await asyncio.to_thread(work)


def check_message(message: FeedbackFormIn) -> None:
    """Hold messages that outsiders send to the rules that the HTTP route has.

    Raises:
        ValidationError: It can never be a feedback.
    """
    fields = message.model_dump(exclude={"tenant_id", "schema_version"}, exclude_none=True)
    validate_input(lambda: FeedbackRequest.model_validate(fields), "message")


def _fail(job: FeedbackJob, error: APIError) -> FeedbackEnd:
    """Return the end of an analysis that can never be made; raise the error where it may be."""
    if isinstance(error, BudgetExceededError):
        return fail(job, f"{error.message} ({LONGEST_WAIT_TEXT})", job.used)
    if error.transient:
        raise error
    facts = {"job_id": job.id, "error": type(error).__name__}
    _logger.info("The analysis fails for good", extra=facts)
    return fail(job, f"{type(error).__name__}: {error.message}", job.used + _find_usage(error))


def _find_usage(error: APIError) -> Usage:
    """Return what an answer took that is of no use, as far as that is known."""
    if isinstance(error, (*TELL_USAGE, UnfitSummaryError)):
        return error.usage or Usage()
    return Usage()
