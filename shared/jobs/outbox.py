"""Sends what is stored to be sent: at once, or by the sweeper after a crash."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.messaging.sender import OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.clock import Clock
    from shared.jobs.repository import JobItem, JobRepository
    from shared.messaging.sender import MessageSender
    from shared.tenancy.context import TenantContext

SWEEP_AFTER_SECONDS = 15.0
"""How long a message may wait before the sweeper takes it: longer than its own sender needs."""

_AT_ONCE = 100
_logger = get_logger(__name__)


class Outbox:
    """The messages of one tenant's jobs.

    Args:
        tenant: Whose jobs they are.
        jobs: The jobs, with their messages.
        sender: The way to the broker.
        queues: The queue of each kind of message.
        clock: Tells how long a message has waited.
    """

    def __init__(
        self,
        tenant: TenantContext,
        jobs: JobRepository,
        sender: MessageSender,
        queues: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._tenant = tenant
        self._jobs = jobs
        self._sender = sender
        self._queues = queues
        self._clock = clock

    async def send(self, job: JobItem) -> None:
        """Send a job's message and note it.

        Raises:
            DependencyUnavailableError: The broker or the store is down; the message stays pending.
        """
        outgoing = job.outbox
        if outgoing is None or not job.outbox_pending:
            return
        message = OutgoingMessage(job.id, outgoing.body.encode(), outgoing.session_id)
        await self._sender.send(self._tenant, self._queues[outgoing.kind], message)
        await self._jobs.mark_sent(job, outgoing.kind)

    async def sweep(self) -> int:
        """Send what a crash left behind; tell how many. One that fails does not keep the others."""
        before = self._clock.now() - timedelta(seconds=SWEEP_AFTER_SECONDS)
        sent = 0
        for job in await self._jobs.pending(before, _AT_ONCE):
            try:
                await self.send(job)
            except APIError as error:
                facts = {"job_id": job.id, "error": type(error).__name__}
                _logger.warning("A pending message could not be sent", extra=facts)
            else:
                sent += 1
        return sent
