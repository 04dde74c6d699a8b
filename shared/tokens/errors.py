"""Errors of the token ledger."""

from __future__ import annotations

from shared.errors import BudgetExceededError, NotFoundError


class LockNotFoundError(NotFoundError):
    """No lock that was given to this tenant and application, or none of the last 24 hours."""

    def __init__(self) -> None:
        super().__init__("No such lock of this application")


class TokenRateLimitError(BudgetExceededError):
    """The minute's tokens are in use, or too many calls are under way: it takes a minute at most."""


class TokenBudgetExhaustedError(BudgetExceededError):
    """The budget of the day or the month is used up: it takes until the next one begins."""
