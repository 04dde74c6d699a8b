"""Replay of dead letters: the message goes to its queue again, its job on after the last finished step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from functions.dead_letters.errors import DeadLetterNotReplayableError
from shared.cosmos.container import ItemChangedError
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError
from shared.jobs.contents import ContentMissingError
from shared.jobs.errors import JobConflictError
from shared.jobs.models import JobMessage, JobStatus
from shared.messaging.sender import MAX_BODY_BYTES
from shared.tenancy.errors import TenantNotFoundError
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.contracts import TaskMessage
    from shared.jobs.queues import JobQueue
    from shared.messaging.quarantine import QuarantinedMessage
    from shared.tenancy.context import PlatformAuthenticator, TenantContext
    from shared.tokens.stored_models import TokenStatus

    type AnyJobQueue = JobQueue[Any, Any]


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
        queues: The queues by what the quarantine calls them.
    """

    authenticator: PlatformAuthenticator
    ledger: TellsBudget
    queues: Mapping[str, AnyJobQueue]

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
        self, tenant: TenantContext, letter: QuarantinedMessage, message: TaskMessage, queue: AnyJobQueue
    ) -> None:
        if queue.require_content is None:
            return
        try:
            await queue.require_content(tenant, message)
        except ContentMissingError as error:
            reason = "its input was kept beside the queue, and is not any more"
            raise DeadLetterNotReplayableError(letter.id, reason) from error

    async def _require_budget(self, tenant: TenantContext, queue: AnyJobQueue) -> None:
        status = await self.ledger.status(tenant, queue.app_id)
        if status.available_tokens <= 0 or status.available_requests <= 0:
            raise BudgetExceededError(
                "The token budget admits no job now", retry_after=max(status.reset_time_seconds, 1.0)
            )

    async def _send(
        self, tenant: TenantContext, letter: QuarantinedMessage, message: TaskMessage, queue: AnyJobQueue
    ) -> None:
        """Queue the message's job: where there is none a new one, which waits for its place like any."""
        jobs, outbox = queue.jobs_of(tenant), queue.outbox_of(tenant)
        session_id = (letter.session_id or tenant.tenant_id) if queue.has_sessions else None
        stored = JobMessage(kind="request", session_id=session_id, body=letter.body)
        try:
            job, is_new = await jobs.create(message, stored)
        except JobConflictError as error:
            reason = "what has its id asks for something else"
            raise DeadLetterNotReplayableError(letter.id, reason) from error
        if job.status.is_final and job.status is not JobStatus.FAILED:
            raise DeadLetterNotReplayableError(letter.id, f"its job is over: {job.status}")
        if job.status in {JobStatus.RUNNING, JobStatus.WAITING}:
            if job.pending_message is None:  # else its own is still to be sent
                await outbox.send_copy(job, stored)
            return
        if not is_new:
            if job.status is JobStatus.QUEUED and job.pending_message is not None:
                return  # as above
            try:
                job = await jobs.reopen(job, stored)
            except ItemChangedError as error:
                raise DependencyUnavailableError("The job", "is being changed by others") from error
        await outbox.send(job)


def _read_message(letter: QuarantinedMessage, queue: AnyJobQueue) -> TaskMessage:
    """Read the message as its function would, to refuse at once what that would refuse."""
    if letter.is_cut or len(letter.body.encode()) > MAX_BODY_BYTES:
        raise DeadLetterNotReplayableError(letter.id, "it is larger than what is sent")
    try:
        message: TaskMessage = validate_input(lambda: queue.model.model_validate_json(letter.body), "message")
        if queue.check is not None:
            queue.check(message)
    except APIError as error:
        raise DeadLetterNotReplayableError(letter.id, type(error).__name__) from error
    if letter.named is not None and message.tenant_id != letter.named:
        raise DeadLetterNotReplayableError(letter.id, "it is another tenant's")
    return message
