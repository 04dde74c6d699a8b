"""Intake of jobs: each is stored together with its message, and that is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import APIError
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from pydantic import BaseModel

    from shared.contracts import TaskMessage
    from shared.jobs.models import JobItem, JobMessage, JobOutboxItem
    from shared.jobs.repository import JobRepository
    from shared.messaging.outbox import Outbox

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobIntake[Request: TaskMessage, Result: BaseModel]:
    """Takes jobs of one tenant in.

    Attributes:
        jobs: The tenant's jobs.
        outbox: Sends their messages.
    """

    jobs: JobRepository[Request, Result]
    outbox: Outbox[JobOutboxItem]

    async def accept(
        self, request: Request, message: JobMessage, *, send: bool = True
    ) -> JobItem[Request, Result]:
        """Store a job together with its message, then send that; return it as it is stored.

        A broker that is down does not refuse the job: the sweeper sends its message later.

        Args:
            request: What to do.
            message: The message that puts it on its queue.
            send: Whether the message is sent at once; else the sweeper does.

        Raises:
            JobConflictError: A job of this id asks for something else.
        """
        job, _ = await self.jobs.create(request, message)
        if send:
            await self.announce(job)
        return job

    async def announce(self, job: JobOutboxItem) -> None:
        """Send a job's message, or leave that to the sweeper where the broker is down."""
        try:
            await self.outbox.send(job)
        except APIError as error:
            facts = {"job_id": job.id, "error": type(error).__name__}
            _logger.warning("The job is stored; its message will be sent later", extra=facts)
