"""Rate limiter of each bot's turns per minute, by tenant, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import RateLimitError
from shared.http.rate_limiter import RateBuckets

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.tenancy.context import TenantContext


class TurnRateExceededError(RateLimitError):
    """The tenant's users have asked this bot more often than its configuration allows."""

    def __init__(self, bot_id: str, per_minute: int, retry_after: float) -> None:
        super().__init__(
            f"More than {per_minute} turns per minute with bot '{bot_id}'",
            {"bot_id": bot_id, "limit": per_minute},
            retry_after=retry_after,
        )


class TurnRateLimiter:
    """A bucket per tenant and bot.

    Args:
        clock: Its monotonic side is used.
    """

    def __init__(self, clock: Clock) -> None:
        self._buckets = RateBuckets(clock)

    def hit(self, tenant: TenantContext, bot_id: str, per_minute: int | None) -> None:
        """Count one turn.

        Args:
            tenant: Whose users ask.
            bot_id: The bot.
            per_minute: The bot's limit; with None nothing is counted.

        Raises:
            TurnRateExceededError: The limit does not admit it now.
        """
        if per_minute is None:
            return
        # No tenant's id has a colon: no two pairs make the same name.
        decision = self._buckets.take(f"{tenant.tenant_id}:{bot_id}", per_minute)
        if decision.retry_after is not None:
            raise TurnRateExceededError(bot_id, per_minute, decision.retry_after)
