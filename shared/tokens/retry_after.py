"""Retry-after of a lock that does not fit: which limit it waits for, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.tokens.errors import LockTooLargeError
from shared.tokens.store_clock import MAX_WIDTH_SECONDS

if TYPE_CHECKING:
    from shared.errors import APIError
    from shared.tokens.headroom import Available, Headroom


def refuse_lock(tokens: int, headrooms: tuple[Headroom, ...], largest: Available, time: float) -> APIError:
    """Build the error of a lock that does not fit: why, and when it does if nothing is added.

    Args:
        tokens: The size of the lock.
        headrooms: Those of the lock's counters, the root's first.
        largest: The largest lock that ever fits.
        time: The store's clock, in seconds.
    """
    if tokens > largest.count:
        return LockTooLargeError(tokens, largest.count, largest.limit)
    limits = headrooms[0].limits
    wait = max((one.find_wait(tokens) for one in headrooms), key=lambda one: one.until)
    return wait.error(
        f"The token budget does not admit this call now: it waits for {wait.limit}",
        {
            "limit": wait.limit,
            "requested_tokens": tokens,
            "available_tokens": max(0, min(one.available_tokens.count for one in headrooms)),
            "available_requests": max(0, min(one.available_requests.count for one in headrooms)),
            "limit_tokens": limits.tokens,
            "limit_requests": limits.requests,
        },
        retry_after=wait_until(wait.until, time),
    )


def wait_until(second: float, time: float) -> float:
    """Return the wait until every instance, with its own bounds, knows that the store reached `second`."""
    return max(0.0, second - time) + MAX_WIDTH_SECONDS
