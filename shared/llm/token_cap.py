"""Bound of the tokens that the model calls of one piece of work take together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.contracts import NOTHING_USED
from shared.errors import APIError

if TYPE_CHECKING:
    from shared.contracts import Usage


class TokenCapReachedError(APIError):
    """The next call might take more than what is left of the work's own tokens; nothing was asked."""

    status = 409

    def __init__(self, tokens: int, left: int, limit: int) -> None:
        super().__init__(
            f"The next call may take {tokens} tokens; of the budget of {limit} there are {left} left",
            {"tokens": tokens, "left": left, "limit": limit},
        )


@dataclass(slots=True)
class TokenCap:
    """Tokens of one piece of work; it travels with the work's prompts, and counts what their calls report.

    Attributes:
        limit: The most that its calls may take together, prompts and answers; None for no bound.
        used: What they have used.
    """

    limit: int | None = None
    used: Usage = NOTHING_USED

    def require(self, tokens: int) -> None:
        """Refuse a call that might take more than what is left.

        Raises:
            TokenCapReachedError: It might.
        """
        if self.limit is not None and (left := self.limit - self.used.total_tokens) < tokens:
            raise TokenCapReachedError(tokens, max(left, 0), self.limit)

    def add(self, usage: Usage) -> None:
        """Count what a call used."""
        self.used += usage
