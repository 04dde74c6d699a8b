"""Intake of jobs: each is stored together with its message, and that is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import APIError
from shared.jobs.models import QueuePlace
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from pydantic import BaseModel

    from shared.contracts import TaskMessage
    from shared.jobs.models import JobItem, JobMessage, JobOutboxItem
    from shared.jobs.places import JobOutbox
    from shared.jobs.repository import JobRepository

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobIntake[Request: TaskMessage, Result: BaseModel]:
    """Takes jobs of one tenant in.

    Attributes:
        jobs: The tenant's jobs.
        outbox: Sends their messages.
    """

    jobs: JobRepository[Request, Result]
    outbox: JobOutbox

    async def accept(self, request: Request, message: JobMessage) -> JobItem[Request, Result]:
        """Store a job together with its message, then send that; return it as it is stored.

        A broker that is down does not refuse the job: the sweeper sends its message later.

        Args:
            request: What to do.
            message: The message that puts it on its queue.

        Raises:
            JobConflictError: A job of this id asks for something else.
        """
        job, _ = await self.jobs.create(request, message)
        await self.announce(job)
        return job

    async def hold(self, request: Request, message: JobMessage) -> None:
        """Store a job together with its message, to be sent when it is its turn.

        Raises:
            JobConflictError: A job of this id asks for something else.
        """
        await self.jobs.create(request, message, QueuePlace.HELD)

    async def release(self) -> None:
        """Send what there are places for, or leave that to the sweeper where the store is down."""
        try:
            await self.outbox.release()
        except APIError as error:
            facts = {"error": type(error).__name__}
            _logger.warning("Jobs are stored; their messages will be sent later", extra=facts)

    async def announce(self, job: JobOutboxItem) -> None:
        """Send a job's message, or leave that to the sweeper where the broker is down."""
        try:
            await self.outbox.send(job)
        except APIError as error:
            facts = {"job_id": job.id, "error": type(error).__name__}
            _logger.warning("The job is stored; its message will be sent later", extra=facts)
