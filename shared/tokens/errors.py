"""Errors of the token ledger."""

from __future__ import annotations

from shared.errors import BudgetExceededError, NotFoundError, ValidationError


class LockNotFoundError(NotFoundError):
    """No lock that was given to this tenant and application, or none of the last 24 hours."""

    def __init__(self) -> None:
        super().__init__("No such lock of this application")


class TokenRateLimitError(BudgetExceededError):
    """The minute's tokens are in use, or too many calls are under way: it takes a minute at most."""


class TokenBudgetExhaustedError(BudgetExceededError):
    """The budget of the day or the month is used up: it takes until the next one begins."""


class LockTooLargeError(ValidationError):
    """A lock is larger than a whole limit: it fits at no time.

    Attributes:
        tokens: The size of the lock.
        largest: The size of the largest lock that the limit admits.
        limit: The name of the limit, as in `TenantLimits`.
    """

    def __init__(self, tokens: int, largest: int, limit: str) -> None:
        super().__init__(
            f"A lock of {tokens} tokens exceeds the limit {limit} of {largest}",
            {"fields": {"token_count": f"must be <= {largest}"}, "limit": limit},
        )
        self.tokens = tokens
        self.largest = largest
        self.limit = limit
