"""A worker's hold on one job: prolonged while it works, given back when it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from shared.errors import APIError
from shared.jobs.repository import JobInWorkError
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from types import TracebackType

    from shared.clock import Clock
    from shared.jobs.repository import JobItem, JobRepository

_BEATS_PER_HOLD = 3
_logger = get_logger(__name__)


class Hold:
    """The time for which a claimed job is one worker's alone.

    A model call may take longer than a hold lasts, so the hold is prolonged beside it. A worker that fails or
    is cancelled leaves nothing held; one that is killed does, until the time ends.

    Args:
        jobs: The tenant's jobs.
        job: The one that was claimed.
        seconds: How long it stays held without a sign of life.
        clock: Time.
    """

    def __init__(self, jobs: JobRepository, job: JobItem, seconds: float, clock: Clock) -> None:
        self._jobs = jobs
        self._job = job
        self._seconds = seconds
        self._clock = clock
        self._beats: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Prolong the hold from now on."""
        self._beats = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Prolong it no more; give the job back if the work failed."""
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.gather(self._beats, return_exceptions=True)
        if isinstance(error, Exception | asyncio.CancelledError):
            await self._give_back(error)

    async def prolong(self) -> None:
        """Keep the job for a time more; after a pause, this comes before anything is paid.

        Raises:
            JobInWorkError: Another worker has taken the job.
        """
        await self._jobs.extend(self._job, self._seconds)

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(self._seconds / _BEATS_PER_HOLD)
            try:
                await self.prolong()
            except JobInWorkError:
                return  # the checkpoint will say so
            except APIError as error:
                _logger.warning("A job's hold was not prolonged", extra=self._facts(error))

    async def _give_back(self, failure: BaseException) -> None:
        """Give the job back, if it is still ours; what went wrong with the work matters more than this."""
        try:
            await self._jobs.give_back(self._job, _described(failure))
        except APIError as error:
            _logger.warning("A job could not be given back", extra=self._facts(error))

    def _facts(self, error: APIError) -> dict[str, str]:
        return {"job_id": self._job.id, "error": type(error).__name__}


def _described(failure: BaseException) -> str:
    """Say what went wrong in words that a caller may read: a defect's own may hold anything."""
    if isinstance(failure, APIError):
        return f"{type(failure).__name__}: {failure.message}"
    return "The work broke off"
