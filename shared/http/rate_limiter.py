"""Rate limiter of each tenant's requests per minute, decided in this process without asking anybody.

A guard against a caller that runs wild, not an account: each instance counts for itself. What is counted
exactly, over all instances, is tokens (`shared.tokens`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import RateLimitError
from shared.tenancy.context import PlatformContext, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.clock import Clock
    from shared.tenancy.context import TenantContext

WINDOW_SECONDS = 60.0
MOST_CALLERS = 10_000
"""How many are remembered at once; a caller that is forgotten begins with a full minute again."""

ADMINISTRATOR = "global:admin"
_ROUNDING = 1e-6


class RequestRateExceededError(RateLimitError):
    """The caller has sent more requests than its tier allows."""

    def __init__(self, per_minute: int, retry_after: float) -> None:
        super().__init__(
            f"More than {per_minute} requests per minute", {"limit": per_minute}, retry_after=retry_after
        )


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Decision about one request.

    Attributes:
        limit: Requests per minute.
        remaining: How many more are admitted at once.
        reset_seconds: Until `remaining` is `limit` again.
        retry_after: Seconds until the next request is admitted, where this one was not.
    """

    limit: int
    remaining: int
    reset_seconds: float
    retry_after: float | None = None

    def headers(self) -> dict[str, str]:
        """Render it for the answer, in whole seconds."""
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(math.ceil(self.reset_seconds)),
        }


class RateBuckets:
    """Token buckets by name, each of which holds one minute's requests, kept as one number (GCRA).

    The number is the time at which the bucket is full again: a request moves it on by what one request takes
    of a minute, and is admitted if it is then at most a minute ahead.

    Args:
        clock: Its monotonic side is used.
        most: How many are remembered at once, the least recently used forgotten first.
    """

    def __init__(self, clock: Clock, most: int = MOST_CALLERS) -> None:
        self._clock = clock
        self._most = most
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str, limit: int, cost: int = 1, already: int = 0) -> RateDecision:
        """Take requests out of a bucket, if it has them now; one that is refused costs nothing.

        Args:
            name: The bucket's.
            limit: Requests per minute.
            cost: In requests; with those before it is a whole minute's at most.
            already: Requests that were taken before for the same work, and are taken again with it.
        """
        now = self._clock.monotonic()
        one = WINDOW_SECONDS / limit
        taken = one * min(cost, limit - already)
        full_at = max(self._full_at.get(name, now), now)
        room = WINDOW_SECONDS - (full_at - now)
        if room < taken - _ROUNDING:
            wait = taken + one * already - room  # sent again, it is hit again
            return RateDecision(limit, int(room / one + _ROUNDING), full_at - now, retry_after=wait)
        self._remember(name, full_at + taken)
        return RateDecision(limit, int((room - taken) / one + _ROUNDING), full_at + taken - now)

    def _remember(self, name: str, full_at: float) -> None:
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)


class RequestRateLimiter:
    """A bucket per caller.

    Args:
        per_minute: Requests per minute by tier.
        administrator: The administrator's, for all that it does: none of it is at a tenant's cost.
        clock: Its monotonic side is used.
        most_callers: How many are remembered at once, the least recently seen forgotten first.
    """

    def __init__(
        self,
        per_minute: Mapping[str, int],
        administrator: int,
        clock: Clock,
        *,
        most_callers: int = MOST_CALLERS,
    ) -> None:
        self._per_minute = per_minute
        self._administrator = administrator
        self._buckets = RateBuckets(clock, most_callers)

    def hit(self, caller: TenantContext | PlatformContext) -> RateDecision:
        """Count one request, if the caller may send one now; one that is refused costs nothing."""
        return self._buckets.take(*self._limit_of(caller))

    def charge(self, caller: TenantContext | PlatformContext, cost: int) -> RateDecision:
        """Count what a request that was hit before weighs beyond one.

        Args:
            caller: Who sent it.
            cost: In requests; with the first it is a whole minute's at most, so that each can be admitted.
        """
        return self._buckets.take(*self._limit_of(caller), cost, already=1)

    def _limit_of(self, caller: TenantContext | PlatformContext) -> tuple[str, int]:
        if isinstance(caller, PlatformContext) or caller.role is Role.ADMIN:
            return ADMINISTRATOR, self._administrator
        return caller.tenant_id, self._per_minute[caller.tier]
