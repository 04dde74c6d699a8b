"""Replay of dead letters: the message goes to its queue again, its job on after the last finished step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from functions.dead_letters.errors import DeadLetterNotReplayableError
from shared.contracts import ReasonerIn
from shared.cosmos.container import ItemChangedError
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError
from shared.jobs.contents import ContentMissingError
from shared.jobs.errors import JobNotFoundError
from shared.jobs.messages import name_message, open_outbox
from shared.jobs.models import JobMessage, JobStatus
from shared.jobs.places import JobOutbox
from shared.messaging.sender import MAX_BODY_BYTES, OutgoingMessage
from shared.tenancy.errors import TenantNotFoundError
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.dead_letters.queues import ReplayQueue
    from shared.contracts import TaskMessage
    from shared.messaging.quarantine import QuarantinedMessage
    from shared.messaging.sender import MessageSender
    from shared.tenancy.context import PlatformAuthenticator, TenantContext
    from shared.tokens.stored_models import TokenStatus


class TellsBudget(Protocol):
    """Token ledger, as far as it tells what a budget admits."""

    async def status(self, tenant: TenantContext, app_id: str) -> TokenStatus:
        """Tell what counts now."""
        ...


@dataclass(frozen=True, slots=True)
class Replayer:
    """Sends the messages of dead letters again.

    Attributes:
        authenticator: Tells whether a tenant is active.
        ledger: Tells whether its budget admits anything now.
        sender: The way to the broker.
        queues: The queues by what the quarantine calls them.
    """

    authenticator: PlatformAuthenticator
    ledger: TellsBudget
    sender: MessageSender
    queues: Mapping[str, ReplayQueue]

    async def replay(self, letter: QuarantinedMessage) -> TaskMessage:
        """Put a dead letter's message on its queue again, and return it.

        A job that had failed with it is queued again, with its finished steps.

        Raises:
            DeadLetterNotReplayableError: It would be refused again, its job is over otherwise, or its tenant
                is not active.
            BudgetExceededError: The tenant's budget admits nothing now.
            DependencyUnavailableError: The broker or the store is down.
            DependencyTimeoutError: One of them did not answer in time.
        """
        queue = self.queues.get(letter.queue)
        if queue is None:
            raise DeadLetterNotReplayableError(letter.id, "the app has no such queue")
        message = _read_message(letter, queue)
        tenant = await self._find_tenant(letter, message.tenant_id)
        await self._require_content(tenant, letter, message, queue)
        await self._require_budget(tenant, queue)
        await self._send(tenant, letter, message, queue)
        return message

    async def _find_tenant(self, letter: QuarantinedMessage, tenant_id: str) -> TenantContext:
        try:
            return await self.authenticator.for_platform(tenant_id)
        except TenantNotFoundError as error:
            raise DeadLetterNotReplayableError(letter.id, "its tenant is not active") from error

    async def _require_content(
        self, tenant: TenantContext, letter: QuarantinedMessage, message: TaskMessage, queue: ReplayQueue
    ) -> None:
        if not isinstance(message, ReasonerIn) or message.content is None:
            return
        try:
            await queue.contents_of(tenant).read(message.id, message.content)
        except ContentMissingError as error:
            reason = "its input was kept beside the queue, and is not any more"
            raise DeadLetterNotReplayableError(letter.id, reason) from error

    async def _require_budget(self, tenant: TenantContext, queue: ReplayQueue) -> None:
        status = await self.ledger.status(tenant, queue.app_id)
        if status.available_tokens <= 0 or status.available_requests <= 0:
            raise BudgetExceededError(
                "The token budget admits no job now", retry_after=max(status.reset_time_seconds, 1.0)
            )

    async def _send(
        self, tenant: TenantContext, letter: QuarantinedMessage, message: TaskMessage, queue: ReplayQueue
    ) -> None:
        jobs = queue.jobs_of(tenant)
        session_id = (letter.session_id or tenant.tenant_id) if queue.has_sessions else None
        try:
            job = await jobs.read(message.id)
        except JobNotFoundError:
            job = None
        if job is not None and not job.matches(message):
            raise DeadLetterNotReplayableError(letter.id, "a job of its id asks for something else")
        if job is not None and job.status.is_final and job.status is not JobStatus.FAILED:
            raise DeadLetterNotReplayableError(letter.id, f"its job is over: {job.status}")
        if job is not None and job.pending_message is not None and not job.status.is_final:
            return  # its own message is still to be sent
        if job is None or job.status in {
            JobStatus.RUNNING,
            JobStatus.WAITING,
        }:  # it goes on with the delivery
            name = name_message(tenant.tenant_id, message.id)
            again = OutgoingMessage(name, letter.body.encode(), session_id)
            await self.sender.send(tenant, queue.address, again)
            return
        stored = JobMessage(kind="request", session_id=session_id, body=letter.body)
        try:
            job = await jobs.reopen(job, stored)
        except ItemChangedError as error:
            raise DependencyUnavailableError("The job", "is being changed by others") from error
        outbox = open_outbox(tenant, jobs, self.sender, {"request": queue.address})
        await JobOutbox(jobs, outbox).send(job)


def _read_message(letter: QuarantinedMessage, queue: ReplayQueue) -> TaskMessage:
    """Read the message as its function would, to refuse at once what that would refuse."""
    if letter.is_cut or len(letter.body.encode()) > MAX_BODY_BYTES:
        raise DeadLetterNotReplayableError(letter.id, "it is larger than what is sent")
    try:
        message = validate_input(lambda: queue.model.model_validate_json(letter.body), "message")
        if queue.check is not None:
            queue.check(message)
    except APIError as error:
        raise DeadLetterNotReplayableError(letter.id, type(error).__name__) from error
    if letter.named is not None and message.tenant_id != letter.named:
        raise DeadLetterNotReplayableError(letter.id, "it is another tenant's")
    return message
