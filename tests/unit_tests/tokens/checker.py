"""Reads a log of admissions on the one true clock and finds windows that hold more than the limit.

It shares nothing with the ledger: no seconds, no scopes, only who was told what, and when.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WINDOW_SECONDS = 60.0


@dataclass
class Admission:
    """One lock that somebody was given; `settled_at` is when its report or release was first sent."""

    at: float
    tokens: int
    settled_at: float = math.inf
    used: int = 0
    released: bool = False

    def tokens_at(self, time: float) -> int:
        """Return its size, or what was reported instead by then; use beyond the lock is a debt, not over."""
        return self.tokens if time < self.settled_at else min(self.tokens, self.used)

    def requests_at(self, time: float) -> int:
        """Return 1, or 0 when it was released by then."""
        return 0 if self.released and time >= self.settled_at else 1


@dataclass(frozen=True)
class Excess:
    """A moment at which the last 60 seconds held too much."""

    at: float
    tokens: int
    requests: int


def find_excess(log: list[Admission], limit_tokens: int, limit_requests: int) -> list[Excess]:
    """Scan the window that ends at each admission."""
    ordered = sorted(log, key=lambda admission: admission.at)
    found, first = [], 0
    for last, newest in enumerate(ordered):
        while ordered[first].at <= newest.at - WINDOW_SECONDS:
            first += 1
        window = ordered[first : last + 1]
        tokens = sum(admission.tokens_at(newest.at) for admission in window)
        requests = sum(admission.requests_at(newest.at) for admission in window)
        if tokens > limit_tokens or requests > limit_requests:
            found.append(Excess(newest.at, tokens, requests))
    return found
