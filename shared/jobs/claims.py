"""Claims of jobs: who works on one has it alone, and puts it off where the budget does not admit it."""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.cosmos.container import ItemChangedError
from shared.errors import BudgetExceededError, DependencyUnavailableError
from shared.jobs.errors import JobAbandonedError, JobInWorkError
from shared.jobs.models import JobStatus
from shared.jobs.repository import WORKER_DIED
from shared.logging.logger import get_logger
from shared.messaging.consumer import PAUSES_SECONDS

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import BaseModel

    from shared.clock import Clock
    from shared.contracts import TaskMessage
    from shared.errors import APIError
    from shared.jobs.models import JobItem
    from shared.jobs.repository import JobRepository

LONGEST_WAIT = timedelta(hours=25)
"""How long after it was accepted, approved or replayed a job may still be put off: a day's budget is there
again within that."""

LONGEST_WAIT_TEXT = "the longest wait is 25 hours"

MOST_FAILURES = len(PAUSES_SECONDS) + 1
"""How often in a row a job's work may fail: as often as its queue delivers a message."""

LEFT_BY_WORKER = "A job was taken over whose worker died"
"""The line of the log that tells of each; so steps that were paid twice can be explained."""

LONGEST_HELD_SECONDS = 5.0
"""The longest that a job keeps its place for a model that asks for a pause: a longer one is the broker's."""

_LONGEST_BACKOFF_SECONDS = 64
_MOST_SPREAD = 0.1
_MOST_SPREAD_SECONDS = 60.0
_POLL_SECONDS = 1.0
_logger = get_logger(__name__)

_LONGEST_POLL_SECONDS = 1.0
"""For longer than this, nobody waits in a delivery for another worker: others wait behind it."""


@dataclass(frozen=True, slots=True)
class JobClaims[Request: TaskMessage, Result: BaseModel]:
    """Takes one tenant's jobs for a worker.

    Attributes:
        jobs: The tenant's jobs.
        lease_seconds: How long a job stays a worker's without a sign of life: longer than a lock of its
            message lasts.
        clock: Waits.
    """

    jobs: JobRepository[Request, Result]
    lease_seconds: float
    clock: Clock

    async def claim(self, message: Request) -> JobItem[Request, Result]:
        """Return a message's job: running, once it is the caller's; else it is over, or waits for a person.

        Raises:
            JobConflictError: A job of this id asks for something else.
            JobInWorkError: Another worker has it, or died with it; `retry_after` is the rest of its lease.
            JobAbandonedError: Its workers died of it, one after the other; it is nobody's again.
        """
        holder = uuid.uuid4().hex
        job = await self.jobs.find(message)
        if job is None:
            job = await self.jobs.create_held(message, holder, self.lease_seconds)
        waited = 0.0
        while not job.status.is_final and job.status is not JobStatus.WAITING:
            if job.holder == holder and job.status is JobStatus.RUNNING:
                return job  # it is new, or it was done and only the answer was lost
            try:
                claimed = await self.jobs.claim(job, holder, self.lease_seconds)
            except ItemChangedError:
                job = await self.jobs.read(job.id)
            else:
                await self._require_living(job, claimed)
                return claimed
            if job.status is JobStatus.RUNNING and job.holder != holder:
                if waited >= _LONGEST_POLL_SECONDS:
                    raise JobInWorkError(job.id, self._find_rest(job))
                await self.clock.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
        return job

    async def _require_living(
        self, found: JobItem[Request, Result], claimed: JobItem[Request, Result]
    ) -> None:
        """Give a job back that was found in a dead worker's hands as often as it may."""
        if found.status is not JobStatus.RUNNING:
            return
        _logger.warning(LEFT_BY_WORKER, extra={"job_id": claimed.id, "failures": claimed.failures})
        if claimed.failures >= MOST_FAILURES:
            await self.jobs.give_back(claimed, WORKER_DIED, claimed.used)
            raise JobAbandonedError(claimed.id)

    def _find_rest(self, job: JobItem[Request, Result]) -> float:
        return max(job.lease_until - self.clock.now().timestamp(), _POLL_SECONDS)

    def find_next_try(self, job: JobItem[Request, Result], error: APIError) -> datetime | None:
        """Return when a job is tried again that was told to wait: by the token budget, or by its model.

        Of many that wait, few are admitted at a time: each comes back later from time to time, and a little
        before or after the others. None where something else is wrong, or it has waited for long enough.
        """
        if not (isinstance(error, BudgetExceededError) or _is_long_pause(error)):
            return None
        backoff = min(2**job.waits, _LONGEST_BACKOFF_SECONDS)
        seconds = max(error.retry_after or _POLL_SECONDS, backoff)
        spread = min(seconds * _MOST_SPREAD, _MOST_SPREAD_SECONDS) * zlib.crc32(job.id.encode()) / 2**32
        until = self.clock.now() + timedelta(seconds=seconds + spread)
        return None if until > job.asked_at + LONGEST_WAIT else until


def _is_long_pause(error: APIError) -> bool:
    is_asked_for = isinstance(error, DependencyUnavailableError) and error.asks_for_pause
    return is_asked_for and (error.retry_after or 0.0) > LONGEST_HELD_SECONDS
