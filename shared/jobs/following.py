"""Following a job: as it stands, then after each change, until it is over."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from shared.clock import Clock
    from shared.jobs.models import JobState

FOLLOW_SECONDS = 170.0
"""After this a follower is let go with the job as it stands: an answer may take 200 s (design/api.md)."""

_SHORTEST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 5.0
_WRITTEN = re.compile(r"([0-9]{1,4})\.((?:[0-9a-f]{8})?)")


@dataclass(frozen=True, slots=True)
class SeenProgress:
    """The part of a job's progress that its follower has; written as the id of an event.

    Attributes:
        steps: The number of finished steps.
        state: A digest of all else that changes; empty where nothing of that has been seen.
    """

    steps: int = 0
    state: str = ""

    @classmethod
    def parse(cls, event_id: str) -> Self | None:
        """Read an event's id; None where it is none."""
        written = _WRITTEN.fullmatch(event_id)
        return None if written is None else cls(int(written[1]), written[2])

    @classmethod
    def of(cls, job: JobState[Any]) -> Self:
        """Return what has been seen of a job by whoever has seen all of it."""
        told = (
            job.status,
            job.waiting_until,
            job.waiting_for,
            job.waiting_step,
            job.cancel_requested,
            sorted(job.approvals),
        )
        return cls(len(job.steps), f"{zlib.crc32(repr(told).encode()):08x}")

    def __str__(self) -> str:
        """Write it as an event's id."""
        return f"{self.steps}.{self.state}"


async def follow_job[State: JobState[Any]](
    read: Callable[[], Awaitable[State]], clock: Clock, seen: SeenProgress
) -> AsyncGenerator[State]:
    """Give a job whenever it is not as it was seen last, and when it is over, or its follower's time is.

    Reads become fewer while nothing changes.

    Args:
        read: Reads the job.
        clock: Waits.
        seen: What the follower has already.
    """
    ends_at = clock.monotonic() + FOLLOW_SECONDS
    pause = _SHORTEST_PAUSE_SECONDS
    while True:
        job = await read()
        now = SeenProgress.of(job)
        is_last = job.status.is_final or clock.monotonic() >= ends_at
        if now != seen or is_last:
            pause = _SHORTEST_PAUSE_SECONDS
            seen = now
            yield job
        if is_last:
            return
        await clock.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
