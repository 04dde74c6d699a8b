"""Setbacks of jobs: one whose work failed comes back by itself, and keeps nobody waiting meanwhile.

A delivery that sleeps keeps its session, or its slot in a host, and what is behind it waits. So a job is put
off, with a copy of its message that the broker delivers later, and the delivery is settled. The job itself
counts its failures: to the broker each copy is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.cosmos.container import ItemChangedError
from shared.errors import APIError
from shared.jobs.claims import MOST_FAILURES
from shared.jobs.errors import JobNotFoundError
from shared.jobs.models import JobDelay, JobStatus
from shared.messaging.consumer import PAUSES_SECONDS, DeliveriesExhaustedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from pydantic import BaseModel

    from shared.clock import Clock
    from shared.contracts import TaskMessage
    from shared.jobs.models import JobItem, JobMessage
    from shared.jobs.places import JobOutbox
    from shared.jobs.repository import JobRepository

_LONGEST_PAUSE_SECONDS = 900.0
"""No more than this is waited for what a failing dependency asks for."""


@dataclass(frozen=True, slots=True)
class JobSetbacks[Request: TaskMessage, Result: BaseModel]:
    """Puts off one tenant's jobs whose work failed.

    Attributes:
        jobs: The tenant's jobs.
        outbox: Sends their messages.
        write_message: Writes the message that brings a request back at a time.
        give_up: Ends the job of a message that has failed as often as it may.
        clock: Tells the time.
    """

    jobs: JobRepository[Request, Result]
    outbox: JobOutbox
    write_message: Callable[[Request, datetime], JobMessage]
    give_up: Callable[[Request], Awaitable[None]]
    clock: Clock

    async def put_off(self, message: Request, failure: Exception) -> None:
        """See to it that the job of a failed delivery comes back in one of its own.

        Raises:
            DeliveriesExhaustedError: It has failed as often as it may; it is over, and that was told.
            DependencyUnavailableError: The store or the broker is down.
            Exception: The failure itself: this delivery alone brings the job back.
        """
        try:
            job = await self.jobs.read(message.id)
        except JobNotFoundError:
            raise failure from None
        if not job.matches(message):
            raise failure
        if job.status is JobStatus.RUNNING:
            await self._await_worker(job)
        elif job.status is JobStatus.QUEUED and not job.outbox_pending:
            await self._await_recovery(job, message, failure)
        else:
            raise failure

    async def _await_worker(self, job: JobItem[Request, Result]) -> None:
        """Send a copy of a message for when the lease of the job's worker is over, or soon where it is."""
        until = self.clock.now() + timedelta(
            seconds=max(job.lease_until - self.clock.now().timestamp(), 0) + PAUSES_SECONDS[0]
        )
        await self.outbox.send_copy(job, self.write_message(job.request, until))

    async def _await_recovery(
        self, job: JobItem[Request, Result], message: Request, failure: Exception
    ) -> None:
        """Put a job off for a time that grows with its failures; give it up after the last one."""
        reason = job.last_failure or type(failure).__name__
        if job.failures + 1 >= MOST_FAILURES:
            await self.give_up(message)
            raise DeliveriesExhaustedError(f"Its work failed {MOST_FAILURES} times in a row: {reason}")
        asked = failure.retry_after if isinstance(failure, APIError) else None
        pause = max(PAUSES_SECONDS[job.failures], min(asked or 0.0, _LONGEST_PAUSE_SECONDS))
        seconds = 0.0 if job.cancel_requested else pause  # its end asks nothing of what has failed
        until = self.clock.now() + timedelta(seconds=seconds)
        delay = JobDelay(self.write_message(job.request, until), until, reason)
        try:
            put_off = await self.jobs.postpone(job, delay)
        except ItemChangedError:
            raise failure from None  # another delivery has it, or somebody has ended it
        await self.outbox.send(put_off)
