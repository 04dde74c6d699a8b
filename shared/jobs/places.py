"""Places on a queue: of one tenant's requests at most a few are there at a time, the rest waits in the store.

A request is stored as one that asks for a place, and only then are those that have or ask for one counted.
Of several that ask at once the last one to be stored counts all the others, so that they cannot all be sent.
One that finds no place is held. Whoever gives a place back that others may wait for hands it to the first of
them; docs/adr/0050-places-on-a-queue.md says why none is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shared.cosmos.container import ItemChangedError
from shared.errors import APIError
from shared.jobs.models import QueuePlace
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.jobs.models import HeldJob, JobMessage, JobOutboxItem, PlacedJob
    from shared.messaging.outbox import Outbox

PLACES = 4
"""How many of a tenant's requests are on a queue at a time: as many as it has sessions."""

MOST_PLACED = 2 * PLACES
"""How many may be, with those that the budget put off: the broker keeps their messages until their time."""

_logger = get_logger(__name__)


class PlaceRepository(Protocol):
    """Store of one tenant's jobs, as far as their places on the queue go."""

    async def placed(self, limit: int, *, with_held: bool) -> Sequence[PlacedJob]:
        """Return jobs whose request has a place or is about to have one, and where told those that wait."""
        ...

    async def held(self, limit: int) -> Sequence[HeldJob]:
        """Return the first jobs of those whose request waits for a place, in their order."""
        ...

    async def hold(self, job: JobOutboxItem) -> None:
        """Let a request wait for a place."""
        ...

    async def take_place(self, job_id: str) -> JobOutboxItem:
        """Give a request that waits a place.

        Raises:
            ItemChangedError: It does not wait any more.
        """
        ...


class JobOutbox:
    """The messages of one tenant's jobs: requests are sent as there are places for them, all others at once.

    Args:
        jobs: The tenant's jobs.
        outbox: Sends their messages.
    """

    def __init__(self, jobs: PlaceRepository, outbox: Outbox[JobOutboxItem]) -> None:
        self._jobs = jobs
        self._outbox = outbox

    async def send(self, job: JobOutboxItem) -> None:
        """Send a job's message if there is one, and a place for it; give on the place that the job had.

        Raises:
            DependencyUnavailableError: The broker or the store is down; the message stays pending.
            DependencyTimeoutError: One of them did not answer in time; the message stays pending.
        """
        message = job.pending_message
        match None if message is None else message.place:
            case QueuePlace.ASKED:
                await self._ask(job)
            case QueuePlace.HELD:
                await self.release()
            case _:
                await self._outbox.send(job)
                if job.crowded:
                    await self._give_on()

    async def send_copy(self, job: JobOutboxItem, message: JobMessage) -> None:
        """Send a message of a job that is on the queue already, or in work: it needs no other place.

        Raises:
            DependencyUnavailableError: The broker or the store is down.
        """
        await self._outbox.send(job.model_copy(update={"outbox": message, "outbox_pending": True}))

    async def sweep(self) -> int:
        """Send what is pending, and what there are places for; tell how many messages.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        return await self._outbox.sweep() + await self.release()

    async def release(self) -> int:
        """Give free places to the requests that have waited longest; tell how many were sent.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        held = await self._jobs.held(PLACES)
        if not held:
            return 0
        # They are read before the places are counted: one that another instance sends meanwhile is then
        # counted, or it is among these and cannot be taken again.
        free = _count_free(await self._jobs.placed(MOST_PLACED, with_held=False))
        sent = 0
        for waiting in held[: max(free, 0)]:
            try:
                sent += await self._outbox.send(await self._jobs.take_place(waiting.id))
            except ItemChangedError:
                continue  # another instance has it, and the place
            except APIError as error:
                _warn(error)
        return sent

    async def _ask(self, job: JobOutboxItem) -> None:
        placed = {other.id: other for other in await self._jobs.placed(MOST_PLACED + 1, with_held=True)}
        others = [other for other in placed.values() if other.id != job.id]
        if _count_free(others) > 0:
            await self._outbox.send(job.model_copy(update={"crowded": len(others) + 1 >= PLACES}))
            return
        await self._jobs.hold(job)
        # Whoever gave a place back before it was held did not see it.
        if _count_free(await self._jobs.placed(MOST_PLACED, with_held=False)) > 0:
            await self.release()

    async def _give_on(self) -> None:
        """Release what waits; where that fails, the sweeper does."""
        try:
            await self.release()
        except APIError as error:
            _warn(error)


def _count_free(placed: Sequence[PlacedJob]) -> int:
    """Count the places that are free: one that waits for the budget has given its own back."""
    on_queue = sum(job.waiting_until is None for job in placed)
    return min(PLACES - on_queue, MOST_PLACED - len(placed))


def _warn(error: APIError) -> None:
    facts = {"error": type(error).__name__}
    _logger.warning("A request that waits for its place will be sent later", extra=facts)
