"""What a scope still admits, what a lock's write demands of it, and when a lock that does not fit will."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from shared.errors import TokenBudgetExhaustedError, TokenRateLimitError
from shared.tokens.counters import (
    WINDOW_SECONDS,
    Amount,
    Change,
    bucket,
    expired,
    new_scope,
    seconds,
    sum_of,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.errors import BudgetExceededError
    from shared.tokens.counters import Scope
    from shared.tokens.limits import TenantLimits

_UNLIMITED = 2**60
_LATEST_REPORT_SECONDS = 2 * 24 * 3600
_MOST_BACKLOG = 5
"""So many seconds that have fallen out may wait until their room is needed."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most of a day or a month; `ends_at` is when the next one begins, on the store's clock."""

    name: str
    key: str
    tokens: int
    ends_at: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds one scope; None and () where nothing does.

    Attributes:
        tokens: In any 60 seconds; so too `requests`.
        open_locks: Locks of the last 60 seconds that are not reported.
        budgets: What is reported and locked in a day and in a month.
        version: The version of the limits that this is taken from, where the scope carries one.
    """

    tokens: int | None = None
    requests: int | None = None
    open_locks: int | None = None
    budgets: tuple[Budget, ...] = ()
    version: int | None = None


def tenant_bounds(limits: TenantLimits, version: int, time: float) -> Bounds:
    """Return what bounds a tenant at a time of the store's clock."""
    day, month = spending_keys(time)
    at = datetime.fromtimestamp(time, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    next_month = (at.replace(day=1) + timedelta(days=32)).replace(day=1)
    budgets = []
    if limits.tokens_per_day is not None:
        tomorrow = (at + timedelta(days=1)).timestamp()
        budgets.append(Budget("tokens_per_day", day, limits.tokens_per_day, tomorrow))
    if limits.tokens_per_month is not None:
        budgets.append(Budget("tokens_per_month", month, limits.tokens_per_month, next_month.timestamp()))
    return Bounds(
        limits.tokens_per_minute, limits.requests_per_minute, limits.concurrency, tuple(budgets), version
    )


def share_bounds(limits: TenantLimits, share: float) -> Bounds:
    """Return what bounds an application that has a share of the tenant's rates."""
    if share >= 1:
        return Bounds()
    return Bounds(
        max(1, math.floor(limits.tokens_per_minute * share)),
        max(1, math.floor(limits.requests_per_minute * share)),
    )


def model_bounds(limits: TenantLimits, model: str) -> Bounds:
    """Return what bounds the use of a model."""
    rate = limits.models.get(model)
    return Bounds() if rate is None else Bounds(rate.tokens, rate.requests)


def spending_keys(time: float) -> tuple[str, str]:
    """Return under which names a time's day and month are counted."""
    at = datetime.fromtimestamp(time, UTC)
    return f"d{at:%Y%m%d}", f"m{at:%Y%m}"


def _outdated(scope: Scope, time: float) -> list[str]:
    """Return what was spent before the days and months in which a report can still come."""
    day, month = spending_keys(time - _LATEST_REPORT_SECONDS)
    return [key for key in scope.spent if key < (day if key.startswith("d") else month)]


@dataclass(frozen=True, slots=True)
class Wait:
    """When a lock fits if nothing is added, on the store's clock, and what it waits for."""

    until: float
    limit: str = ""
    error: type[BudgetExceededError] = TokenRateLimitError


class Room:
    """What one scope, as it was seen, admits when the store's clock has reached a time.

    Args:
        seen: The scope; None where there is none.
        bounds: What bounds it.
        time: What the store's clock has certainly reached.
    """

    def __init__(self, seen: Scope | None, bounds: Bounds, time: float) -> None:
        self.scope = new_scope("") if seen is None else seen
        self.bounds = bounds
        self._taken = Amount()
        self._expired = expired(self.scope, time)
        self.counted = total(self.scope).minus(sum_of(self.scope, self._expired))
        self._tokens = self._most_tokens(self.counted)
        self._requests = self._most_requests(self.counted)

    def fits(self, tokens: int) -> bool:
        """Tell whether one more lock fits."""
        return self._taken.tokens + tokens <= self._tokens and self._taken.requests + 1 <= self._requests

    def take(self, tokens: int) -> None:
        """Count one more lock."""
        self._taken.tokens += tokens
        self._taken.requests += 1

    def largest(self) -> tuple[int, str]:
        """Return the largest lock that will ever fit, and the limit that says so."""
        sizes = [(budget.tokens, budget.name) for budget in self.bounds.budgets]
        if self.bounds.tokens is not None:
            sizes.append((self.bounds.tokens, "tokens_per_minute"))
        return min(sizes, default=(_UNLIMITED, ""))

    def change(self, second: int) -> Change:
        """Return the write that takes what was counted, charged to a second, if it still fits."""
        freed = self._freed()
        gone = sum_of(self.scope, freed)
        outdated = _outdated(self.scope, second)
        change = Change(freed=freed, outdated=outdated, conditions=self._conditions(gone))
        change.add(second, self._taken)
        return change

    def wait(self, tokens: int) -> Wait:
        """Tell when a lock fits that does not fit now: the longest of what it waits for."""
        return max(self._waits(tokens), key=lambda wait: wait.until, default=Wait(0.0))

    def _waits(self, tokens: int) -> Iterator[Wait]:
        counted, bounds, emptying = self.counted, self.bounds, self._emptying
        if bounds.tokens is not None:
            needed = counted.tokens + tokens - bounds.tokens
            yield Wait(emptying.when(emptying.tokens, needed), "tokens_per_minute")
        if bounds.requests is not None:
            needed = counted.requests + 1 - bounds.requests
            yield Wait(emptying.when(emptying.requests, needed), "requests_per_minute")
        if bounds.open_locks is not None:
            needed = counted.open + 1 - bounds.open_locks
            yield Wait(emptying.when(emptying.open, needed), "concurrency")
        for budget in bounds.budgets:
            spent = self.scope.spent.get(budget.key, 0) + tokens
            if spent > budget.tokens:
                until = max(budget.ends_at, emptying.when(emptying.locked, counted.locked))
            else:
                until = emptying.when(emptying.locked, spent + counted.locked - budget.tokens)
            yield Wait(until, budget.name, TokenBudgetExhaustedError)

    @property
    def left_tokens(self) -> int:
        """Return the largest lock that fits now."""
        return self._tokens - self._taken.tokens

    @property
    def left_requests(self) -> int:
        """Return how many locks fit now."""
        return self._requests - self._taken.requests

    def last_second(self) -> int | None:
        """Return the youngest second that counts."""
        return (
            max(seconds(self.scope), default=None) if self.counted.requests or self.counted.tokens else None
        )

    @cached_property
    def _emptying(self) -> _Emptying:
        gone = set(self._expired)
        left = [second for second in seconds(self.scope) if second not in gone]
        return _Emptying(left, [bucket(self.scope, second) for second in left])

    def _freed(self) -> Sequence[int]:
        """Free what the locks need, and no more, so that instances rarely meet; but let nothing pile up."""
        if len(self._expired) > _MOST_BACKLOG:
            return self._expired
        left = total(self.scope)
        for count in range(len(self._expired)):
            counted = left.minus(sum_of(self.scope, self._expired[:count]))
            if self._taken.tokens <= self._most_tokens(
                counted
            ) and self._taken.requests <= self._most_requests(counted):
                return self._expired[:count]
        return self._expired

    def _most_tokens(self, counted: Amount) -> int:
        rooms = [
            budget.tokens - self.scope.spent.get(budget.key, 0) - counted.locked
            for budget in self.bounds.budgets
        ]
        if self.bounds.tokens is not None:
            rooms.append(self.bounds.tokens - counted.tokens)
        return min(rooms, default=_UNLIMITED)

    def _most_requests(self, counted: Amount) -> int:
        rooms = []
        if self.bounds.requests is not None:
            rooms.append(self.bounds.requests - counted.requests)
        if self.bounds.open_locks is not None:
            rooms.append(self.bounds.open_locks - counted.open)
        return min(rooms, default=_UNLIMITED)

    def _conditions(self, gone: Amount) -> list[str]:
        """Demand of what is stored what was found of what was seen: the store decides, not this process."""
        taken, bounds = self._taken, self.bounds
        found = []
        if bounds.version is not None:
            found.append(f"c.limits_version = {bounds.version}")
        if bounds.tokens is not None:
            found.append(f"c.tokens <= {bounds.tokens - taken.tokens + gone.tokens}")
        if bounds.requests is not None:
            found.append(f"c.requests <= {bounds.requests - taken.requests + gone.requests}")
        if bounds.open_locks is not None:
            found.append(f"c.requests - c.done <= {bounds.open_locks - taken.requests + gone.open}")
        for budget in bounds.budgets:
            spent = f"(c.spent.{budget.key} ?? 0) + c.tokens - c.used"
            found.append(f"{spent} <= {budget.tokens - taken.tokens + gone.locked}")
        return found


class _Emptying:
    """How a scope empties with time, if nothing is added: what has gone by each second, summed."""

    def __init__(self, left: Sequence[int], buckets: Sequence[Amount]) -> None:
        self._seconds = left
        self.tokens = list(accumulate(one.tokens for one in buckets))
        self.requests = list(accumulate(one.requests for one in buckets))
        self.open = list(accumulate(one.open for one in buckets))
        self.locked = list(accumulate(one.locked for one in buckets))

    def when(self, gone: Sequence[int], needed: int) -> float:
        """Return when at least so much will have gone; 0 where nothing has to."""
        if needed <= 0 or not self._seconds:
            return 0.0
        at = min(bisect_left(gone, needed), len(self._seconds) - 1)
        return float(self._seconds[at] + WINDOW_SECONDS)
