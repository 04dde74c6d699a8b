"""Lease of a stored item: one holder's alone until a time, in the item's own fields.

The store alone decides who holds an item: each change of a lease is a patch under a condition, or with the
ETag of the state that was read. Holders are names that this module made, no caller's text.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from shared.cosmos.container import PatchOperation
from shared.errors import APIError, DependencyUnavailableError
from shared.logging.logger import get_logger
from shared.resilience.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from shared.clock import Clock

_BEATS_PER_LEASE = 3
_HOLDER = re.compile(r"[A-Za-z0-9-]{1,64}")
_logger = get_logger(__name__)


class LeaseLostError(DependencyUnavailableError):
    """Another holder has taken the item over."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The time for which an item is one holder's.

    Attributes:
        holder: Its name, made by `begin`.
        until: The end, in seconds of Unix time; the item is free from then on.
    """

    holder: str
    until: float

    @classmethod
    def begin(cls, clock: Clock, seconds: float) -> Lease:
        """Return a lease of a new holder from now on."""
        return cls(uuid.uuid4().hex, clock.now().timestamp() + seconds)

    def extend(self, clock: Clock, seconds: float) -> Lease:
        """Return the same holder's lease for so many seconds from now on."""
        return replace(self, until=clock.now().timestamp() + seconds)

    def is_over(self, clock: Clock) -> bool:
        """Tell whether the item may be taken over."""
        return self.until <= clock.now().timestamp()


@dataclass(frozen=True, slots=True)
class LeaseFields:
    """The fields of an item that hold its lease, with the changes and conditions on them.

    Attributes:
        until: The name of the field with the end.
        holder: The name of the field with the holder.
    """

    until: str = "lease_until"
    holder: str = "holder"

    def take(self, lease: Lease) -> tuple[PatchOperation, ...]:
        """Give the item to the lease's holder; under `is_over`, or with the ETag of what was read."""
        return (PatchOperation("set", f"/{self.holder}", lease.holder), self.extend(lease))

    def extend(self, lease: Lease) -> PatchOperation:
        """Set the end; under `is_held_by`."""
        return PatchOperation("set", f"/{self.until}", lease.until)

    def release(self) -> PatchOperation:
        """Let the item be taken at once; under `is_held_by`."""
        return PatchOperation("set", f"/{self.until}", 0)

    def is_held_by(self, holder: str) -> str:
        """Return the condition that the item is this holder's.

        Raises:
            ValueError: That is no holder's name.
        """
        if _HOLDER.fullmatch(holder) is None:
            raise ValueError("a holder's name has letters, digits and hyphens")
        return f"c.{self.holder} = '{holder}'"

    def is_over(self, clock: Clock) -> str:
        """Return the condition that the item may be taken over."""
        return f"c.{self.until} <= {clock.now().timestamp()!r}"


class LeaseHeartbeat:
    """Extends a lease beside work that may outlast it, and gives it back when the work fails.

    Work that fails or is cancelled leaves nothing held. A process that is killed does, until the lease ends.

    Args:
        extend: Extends the lease.
        give_back: Gives the item back, told why in words that a caller may read.
        seconds: The length of the lease.
        clock: Waits.
    """

    def __init__(
        self,
        extend: Callable[[], Awaitable[object]],
        give_back: Callable[[str], Awaitable[object]],
        seconds: float,
        clock: Clock,
    ) -> None:
        self._extend = extend
        self._give_back = give_back
        self._seconds = seconds
        self._clock = clock
        self._beats: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Extend the lease from now on."""
        self._beats = spawn(self._beat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Extend it no more; give the item back if the work failed."""
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.gather(self._beats, return_exceptions=True)
        if error is None or isinstance(error, GeneratorExit):
            return  # the work is done, or nothing may be waited for any more
        try:
            await self._give_back(_describe(error))
        except APIError as failure:  # what went wrong with the work matters more than this
            _logger.warning("A lease could not be given back", extra={"error": type(failure).__name__})

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(self._seconds / _BEATS_PER_LEASE)
            try:
                await self._extend()
            except LeaseLostError:
                return  # the work's next write is refused
            except APIError as error:
                _logger.warning("A lease was not extended", extra={"error": type(error).__name__})


def _describe(failure: BaseException) -> str:
    """Name a failure in words that a caller may read: a defect's own may hold anything."""
    if isinstance(failure, APIError):
        return f"{type(failure).__name__}: {failure.message}"
    return "The work broke off"
