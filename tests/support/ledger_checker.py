"""Reads a log of admissions on the one true clock and finds windows that hold more than the limit.

It shares nothing with the ledger: no seconds, no scopes, only who was told what, and when.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WINDOW_SECONDS = 60.0

_EXPIRY, _SETTLEMENT, _ADMISSION = range(3)


@dataclass
class Admission:
    """One lock that somebody was given; `settled_at` is when its report or release was first sent."""

    at: float
    tokens: int
    settled_at: float = math.inf
    used: int = 0
    released: bool = False

    @property
    def tokens_after(self) -> int:
        """Return what was reported in its place; use beyond the lock is a debt, not over."""
        return min(self.tokens, self.used)

    @property
    def requests_after(self) -> int:
        """Return 1, or 0 when it was released."""
        return 0 if self.released else 1


@dataclass(frozen=True)
class Excess:
    """A moment at which the last 60 seconds held too much."""

    at: float
    tokens: int
    requests: int


def find_excess(log: Sequence[Admission], limit_tokens: int, limit_requests: int) -> list[Excess]:
    """Look at every window of 60 seconds that ends at an admission: in none may more count than the limit."""
    return [
        Excess(at, tokens, requests)
        for at, tokens, requests, is_admission in _sums(log)
        if is_admission and (tokens > limit_tokens or requests > limit_requests)
    ]


def mean_tokens(log: Sequence[Admission], since: float, until: float) -> float:
    """Return how many tokens the last 60 seconds held, on the average over a time."""
    area, held, last = 0.0, 0, since
    for at, tokens, _, _ in _sums(log):
        area += held * (min(max(at, since), until) - last)
        last = min(max(at, since), until)
        held = tokens
    return (area + held * (until - last)) / (until - since)


def mean_debt_tokens(log: Sequence[Admission], since: float, until: float) -> float:
    """Return how many tokens beyond their locks the last 60 seconds held, on the average over a time.

    They were used: they count from their report on, and as long as they do, nobody else can have them.
    """
    area = 0.0
    for admission in log:
        debt = max(0, admission.used - admission.tokens)
        if debt and admission.settled_at < until:
            gone = admission.settled_at + WINDOW_SECONDS
            area += debt * max(0.0, min(gone, until) - max(admission.settled_at, since))
    return area / (until - since)


def _sums(log: Sequence[Admission]) -> Iterator[tuple[float, int, int, bool]]:
    """Follow what the last 60 seconds hold: the time, tokens, requests, and whether one was admitted."""
    tokens = requests = 0
    for at, kind, admission in _events(log):
        if kind == _ADMISSION:
            before, after = (0, 0), (admission.tokens, 1)
        else:
            was_settled = kind == _EXPIRY and admission.settled_at < at
            settled = (admission.tokens_after, admission.requests_after)
            before = settled if was_settled else (admission.tokens, 1)
            after = (0, 0) if kind == _EXPIRY else settled
        tokens += after[0] - before[0]
        requests += after[1] - before[1]
        yield at, tokens, requests, kind == _ADMISSION


def _events(log: Sequence[Admission]) -> list[tuple[float, int, Admission]]:
    """Return what changes the sums, in order; at one moment, what falls out or is settled comes first."""
    events = []
    for admission in log:
        gone = admission.at + WINDOW_SECONDS
        events += [(admission.at, _ADMISSION, admission), (gone, _EXPIRY, admission)]
        if admission.settled_at < gone:
            events.append((max(admission.at, admission.settled_at), _SETTLEMENT, admission))
    return sorted(events, key=itemgetter(0, 1))
