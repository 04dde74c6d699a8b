"""Places for streams of log lines in this process: a few for each tenant, so that none takes all of it."""

from __future__ import annotations

from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from shared.errors import RateLimitError
from shared.tenancy.in_force import while_in_force

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from shared.clock import Clock
    from shared.tenancy.context import TenantContext

STREAM_SECONDS = 170.0
"""After this a stream ends by itself: an answer may take 200 s (design/api.md)."""

MOST_OF_A_TENANT = 4
MOST = 64

_SHORTEST_WAIT_SECONDS = 1.0


class TooManyLogStreamsError(RateLimitError):
    """As many streams of log lines are open on this instance as may be; one of them ends in time."""

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(
            f"{limit} streams of log lines are open on this instance",
            {"limit": limit},
            retry_after=retry_after,
        )


class StreamPlaces:
    """Places of streams that are open.

    Args:
        clock: Tells when the first of them will be over.
        check: Raises where the credential that a stream was opened with is not in force any more.
    """

    def __init__(self, clock: Clock, check: Callable[[TenantContext], Awaitable[None]]) -> None:
        self._clock = clock
        self._check = check
        self._ends: dict[str, list[float]] = {}

    async def bind[T](self, tenant: TenantContext, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """Give what a stream has, in a place that is free again when this ends or is closed.

        Raises:
            TooManyLogStreamsError: There is none.
            AuthenticationError: The key was revoked meanwhile, or is over.
            TenantSuspendedError: The tenant was suspended meanwhile.
        """
        async with aclosing(while_in_force(tenant, self._check, items)) as checked:
            with self._hold(tenant.tenant_id):
                async for item in checked:
                    yield item

    @contextmanager
    def _hold(self, tenant_id: str) -> Iterator[None]:
        now = self._clock.monotonic()
        own = self._ends.get(tenant_id, [])
        everyone = [end for ends in self._ends.values() for end in ends]
        for ends, limit in ((own, MOST_OF_A_TENANT), (everyone, MOST)):
            if len(ends) >= limit:
                raise TooManyLogStreamsError(limit, max(_SHORTEST_WAIT_SECONDS, min(ends) - now))
        end = now + STREAM_SECONDS
        self._ends.setdefault(tenant_id, []).append(end)
        try:
            yield
        finally:
            left = self._ends[tenant_id]
            left.remove(end)
            if not left:
                del self._ends[tenant_id]
