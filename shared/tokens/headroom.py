"""Headroom under one counter's limits: the locks it admits now, the write's conditions, the time to wait."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from shared.tokens.counters import (
    WINDOW_SECONDS,
    Amount,
    CounterChange,
    bucket_amount,
    bucket_seconds,
    expired_seconds,
    new_counter,
    sum_buckets,
    total_amount,
)
from shared.tokens.errors import TokenBudgetExhaustedError, TokenRateLimitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.errors import BudgetExceededError
    from shared.tokens.counters import WindowCounter
    from shared.tokens.limits import PoolLimits, TenantLimits

UNLIMITED = 2**60
_DAY_SECONDS = 24 * 3600
_LATEST_REPORT_SECONDS = 2 * _DAY_SECONDS
_MOST_BACKLOG = 5
"""The most expired seconds that may wait until their headroom is needed."""


@dataclass(frozen=True, slots=True)
class PeriodBudget:
    """Token limit of a day or a month; `ends_at` is when the next one begins, on the store's clock."""

    name: str
    key: str
    tokens: int
    ends_at: float


@dataclass(frozen=True, slots=True)
class CounterLimits:
    """Limits of one counter; None and () where there is no limit of that kind.

    Attributes:
        tokens: In any 60 seconds; so too `requests`.
        open_locks: Locks of the last 60 seconds that are not reported.
        budgets: Tokens reported and locked in a day and in a month.
        version: The version of the tenant's limits, where the counter carries one.
    """

    tokens: int | None = None
    requests: int | None = None
    open_locks: int | None = None
    budgets: tuple[PeriodBudget, ...] = ()
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Available:
    """Headroom of one kind, and the name of the limit that bounds it; empty where none does."""

    count: int
    limit: str


def limit_tenant_counter(limits: TenantLimits, version: int, time: float) -> CounterLimits:
    """Return the limits of a tenant's counter at a time of the store's clock."""
    return _limit_root_counter(limits, limits.concurrency, version, time)


def limit_pool_counter(limits: TenantLimits, time: float) -> CounterLimits:
    """Return the limits of the counter of a tenant's embeddings; its version is the tenant's counter's."""
    return _limit_root_counter(limits.embeddings, limits.concurrency, None, time)


def _limit_root_counter(
    limits: TenantLimits | PoolLimits, concurrency: int | None, version: int | None, time: float
) -> CounterLimits:
    day, month = _periods_of(int(time // _DAY_SECONDS))
    budgets = []
    if limits.tokens_per_day is not None:
        budgets.append(PeriodBudget("tokens_per_day", day.key, limits.tokens_per_day, day.ends_at))
    if limits.tokens_per_month is not None:
        budgets.append(PeriodBudget("tokens_per_month", month.key, limits.tokens_per_month, month.ends_at))
    return CounterLimits(
        limits.tokens_per_minute, limits.requests_per_minute, concurrency, tuple(budgets), version
    )


def limit_app_counter(limits: TenantLimits, share: float) -> CounterLimits:
    """Return the limits of an application with a share of the tenant's rates: rounded down, at least 1."""
    if share >= 1:
        return CounterLimits()
    return CounterLimits(
        max(1, math.floor(limits.tokens_per_minute * share)),
        max(1, math.floor(limits.requests_per_minute * share)),
    )


def limit_model_counter(limits: TenantLimits, model: str) -> CounterLimits:
    """Return the limits of a model's counter."""
    rate = limits.models.get(model)
    return CounterLimits() if rate is None else CounterLimits(rate.tokens, rate.requests)


def spending_keys(time: float) -> tuple[str, str]:
    """Return the names under which a time's day and month are counted."""
    day, month = _periods_of(int(time // _DAY_SECONDS))
    return day.key, month.key


class _Period(NamedTuple):
    """Day or month: the name that it is counted under, and when the next one begins."""

    key: str
    ends_at: float


@lru_cache(maxsize=16)
def _periods_of(day: int) -> tuple[_Period, _Period]:
    """Return a day, which is counted from the epoch on, and its month; both are UTC's."""
    at = datetime.fromtimestamp(day * _DAY_SECONDS, UTC)
    next_month = (at.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (
        _Period(f"d{at:%Y%m%d}", (at + timedelta(days=1)).timestamp()),
        _Period(f"m{at:%Y%m}", next_month.timestamp()),
    )


def _find_outdated(counter: WindowCounter, time: float) -> list[str]:
    """Return the names of days and months for which no report can come any more."""
    day, month = spending_keys(time - _LATEST_REPORT_SECONDS)
    return [key for key in counter.spent if key < (day if key.startswith("d") else month)]


@dataclass(frozen=True, slots=True)
class Wait:
    """Time of the store's clock at which a lock fits if nothing is added, and the limit it waits for."""

    until: float
    limit: str = ""
    error: type[BudgetExceededError] = TokenRateLimitError


class Headroom:
    """Locks that one counter, as it was read, admits when the store's clock has reached a time.

    Args:
        counter: The counter; None where there is none.
        limits: The counter's limits.
        time: A time that the store's clock has certainly reached.
    """

    def __init__(self, counter: WindowCounter | None, limits: CounterLimits, time: float) -> None:
        self.counter = new_counter("") if counter is None else counter
        self.limits = limits
        self._hits = Amount()
        self._expired = expired_seconds(self.counter, time)
        self.counted = total_amount(self.counter).minus(sum_buckets(self.counter, self._expired))
        self._tokens = self._most_tokens(self.counted)
        self._requests = self._most_requests(self.counted)

    def test(self, tokens: int) -> bool:
        """Tell whether one more lock fits."""
        return self._hits.tokens + tokens <= self._tokens.count and (
            self._hits.requests + 1 <= self._requests.count
        )

    def hit(self, tokens: int) -> None:
        """Count one more lock."""
        self._hits.tokens += tokens
        self._hits.requests += 1

    def largest_lock(self) -> Available:
        """Return the size of the largest lock that can ever fit, and the limit that says so."""
        sizes = [Available(budget.tokens, budget.name) for budget in self.limits.budgets]
        if self.limits.tokens is not None:
            sizes.append(Available(self.limits.tokens, "tokens_per_minute"))
        return find_tightest(sizes)

    def build_change(self, second: int) -> CounterChange:
        """Build the write that charges all hits to a second, if they still fit.

        Without any it writes nothing, and holds the others of its batch to the version of the limits.
        """
        if not self._hits.requests:
            return CounterChange(conditions=self._require_version())
        freed = self._choose_freed()
        gone = sum_buckets(self.counter, freed)
        outdated = _find_outdated(self.counter, second)
        change = CounterChange(freed=freed, outdated=outdated, conditions=self._conditions(gone))
        change.add(second, self._hits)
        return change

    def find_wait(self, tokens: int) -> Wait:
        """Tell when a lock fits that does not fit now: the longest of its waits."""
        return max(self._waits(tokens), key=lambda wait: wait.until, default=Wait(0.0))

    def _waits(self, tokens: int) -> Iterator[Wait]:
        counted, limits, expiry = self.counted, self.limits, self._expiry
        if limits.tokens is not None:
            needed = counted.tokens + tokens - limits.tokens
            yield Wait(expiry.find_time(expiry.tokens, needed), "tokens_per_minute")
        if limits.requests is not None:
            needed = counted.requests + 1 - limits.requests
            yield Wait(expiry.find_time(expiry.requests, needed), "requests_per_minute")
        if limits.open_locks is not None:
            needed = counted.open + 1 - limits.open_locks
            yield Wait(expiry.find_time(expiry.open, needed), "concurrency")
        for budget in limits.budgets:
            spent = self.counter.spent.get(budget.key, 0) + tokens
            if spent > budget.tokens:
                until = max(budget.ends_at, expiry.find_time(expiry.locked, counted.locked))
            else:
                until = expiry.find_time(expiry.locked, spent + counted.locked - budget.tokens)
            yield Wait(until, budget.name, TokenBudgetExhaustedError)

    @property
    def available_tokens(self) -> Available:
        """Return the size of the largest lock that fits now, and the limit that says so."""
        return Available(self._tokens.count - self._hits.tokens, self._tokens.limit)

    @property
    def available_requests(self) -> Available:
        """Return the number of locks that fit now, and the limit that says so."""
        return Available(self._requests.count - self._hits.requests, self._requests.limit)

    def last_second(self) -> int | None:
        """Return the youngest second that counts."""
        if not self.counted.requests and not self.counted.tokens:
            return None
        return max(bucket_seconds(self.counter), default=None)

    @cached_property
    def _expiry(self) -> _ExpirySchedule:
        gone = set(self._expired)
        left = [second for second in bucket_seconds(self.counter) if second not in gone]
        return _ExpirySchedule(left, [bucket_amount(self.counter, second) for second in left])

    def _choose_freed(self) -> Sequence[int]:
        """Free what the hits need, and no more, so that instances rarely meet; but let nothing pile up."""
        if len(self._expired) > _MOST_BACKLOG:
            return self._expired
        total = total_amount(self.counter)
        for count in range(len(self._expired)):
            counted = total.minus(sum_buckets(self.counter, self._expired[:count]))
            if self._hits.tokens <= self._most_tokens(counted).count and (
                self._hits.requests <= self._most_requests(counted).count
            ):
                return self._expired[:count]
        return self._expired

    def _most_tokens(self, counted: Amount) -> Available:
        found = [
            Available(
                budget.tokens - self.counter.spent.get(budget.key, 0) - counted.locked,
                budget.name,
            )
            for budget in self.limits.budgets
        ]
        if self.limits.tokens is not None:
            found.append(Available(self.limits.tokens - counted.tokens, "tokens_per_minute"))
        return find_tightest(found)

    def _most_requests(self, counted: Amount) -> Available:
        found = []
        if self.limits.requests is not None:
            found.append(Available(self.limits.requests - counted.requests, "requests_per_minute"))
        if self.limits.open_locks is not None:
            found.append(Available(self.limits.open_locks - counted.open, "concurrency"))
        return find_tightest(found)

    def _conditions(self, gone: Amount) -> list[str]:
        """Demand of the stored counter what was found of the one that was read: the store decides."""
        hits, limits = self._hits, self.limits
        found = self._require_version()
        if limits.tokens is not None:
            found.append(f"c.tokens <= {limits.tokens - hits.tokens + gone.tokens}")
        if limits.requests is not None:
            found.append(f"c.requests <= {limits.requests - hits.requests + gone.requests}")
        if limits.open_locks is not None:
            found.append(f"c.requests - c.done <= {limits.open_locks - hits.requests + gone.open}")
        for budget in limits.budgets:
            spent = f"(c.spent.{budget.key} ?? 0) + c.tokens - c.used"
            found.append(f"{spent} <= {budget.tokens - hits.tokens + gone.locked}")
        return found

    def _require_version(self) -> list[str]:
        return [] if self.limits.version is None else [f"c.limits_version = {self.limits.version}"]


def find_tightest(found: Sequence[Available]) -> Available:
    """Return the least of several; of equal ones, the first by name."""
    return min(found, key=lambda one: (one.count, one.limit), default=Available(UNLIMITED, ""))


class _ExpirySchedule:
    """Running sums of what expires by each second, if nothing is added."""

    def __init__(self, left: Sequence[int], buckets: Sequence[Amount]) -> None:
        self._seconds = left
        self.tokens = list(accumulate(one.tokens for one in buckets))
        self.requests = list(accumulate(one.requests for one in buckets))
        self.open = list(accumulate(one.open for one in buckets))
        self.locked = list(accumulate(one.locked for one in buckets))

    def find_time(self, gone: Sequence[int], needed: int) -> float:
        """Return when at least so much will have expired; 0 where nothing has to."""
        if needed <= 0 or not self._seconds:
            return 0.0
        at = min(bisect_left(gone, needed), len(self._seconds) - 1)
        return float(self._seconds[at] + WINDOW_SECONDS)
