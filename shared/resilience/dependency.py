"""The one layer that retries: every call to a dependency goes through a `Dependency`.

At most three attempts in a bounded time, full jitter, Retry-After honoured, one circuit breaker for each
dependency and for each throttled part of one (engineering guidelines, section 3). The SDKs' own retries are
off.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

from shared.clock import SystemClock
from shared.errors import (
    DeadlineExceededError,
    DependencyTimeoutError,
    DependencyUnavailableError,
)
from shared.resilience.circuit_breaker import BreakerPermit, BreakerState, CircuitBreaker
from shared.resilience.deadlines import remaining_seconds
from shared.resilience.policy import AttemptLimits, Classify, Policy, Transient
from shared.telemetry.spans import dependency_telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.clock import Clock

_SHORTEST_RETRY_AFTER = 0.1
_MOST_THROTTLED_PARTS = 1024
_LONGEST_THROTTLE_SECONDS = 60.0


@dataclass(slots=True)
class _OngoingCall:
    """One call under way: who let it through, how long it may take, and how often it was tried.

    Attributes:
        permit: The permit of the dependency's own breaker.
        part_permit: That of the throttled part that it goes to, if that has a breaker.
        ends_at: When the time of the call is over, on the monotonic clock.
        shortened: Whether that is the caller's deadline rather than the policy's limit.
        attempts: Attempts that were begun so far.
        limits: The limits of its attempts.
        failures: Attempts that failed so far.
    """

    permit: BreakerPermit
    part_permit: BreakerPermit | None
    ends_at: float
    shortened: bool
    limits: AttemptLimits
    attempts: int = 0
    failures: int = 0


class Dependency:
    """One thing outside this process, called with time limits, retries and breakers.

    A 429 is an answer, and about the part of the dependency that the call went to: a container's partition, a
    deployment. It does not open the dependency's breaker, which would cut off everyone for one tenant's rate,
    but after some in a row one for that part alone.

    Args:
        name: How errors, logs and `/api/health/ready` call it.
        classify: Tells which of its failures are transient; all others are raised as they are.
        policy: Attempts and times.
        clock: Measures and waits.
    """

    def __init__(
        self, name: str, classify: Classify, policy: Policy | None = None, clock: Clock | None = None
    ) -> None:
        self.name = name
        self._classify = classify
        self._policy = policy or Policy()
        self._clock = clock or SystemClock()
        self.breaker = CircuitBreaker(self._clock)
        self._parts: LRUCache[str, CircuitBreaker] = LRUCache(_MOST_THROTTLED_PARTS)

    @property
    def throttled_parts(self) -> int:
        """Return how many parts of it are left alone now, because they refused this process's rate."""
        return sum(breaker.state is BreakerState.OPEN for breaker in self._parts.values())

    async def call[T](
        self, attempt: Callable[[], Awaitable[T]], part: str = "", limits: AttemptLimits | None = None
    ) -> T:
        """Run `attempt` until it succeeds, fails for good, or the policy or the caller's deadline is used up.

        Args:
            attempt: What to do once; it is cancelled when its time is over.
            part: What shares a rate limit with this call, where the dependency limits rates by parts.
            limits: Of this call's attempts, where they are tighter than the policy's.

        Raises:
            DependencyUnavailableError: A breaker is open, or the last attempt failed transiently.
            DependencyTimeoutError: The last attempt, or the whole call, ran out of time.
            DeadlineExceededError: The caller's own time was over.
        """
        with dependency_telemetry(self.name) as facts:
            call = self._begin(part, limits or AttemptLimits(self._policy.attempts))
            try:
                return await self._run_call(call, attempt, part)
            finally:
                if facts is not None:
                    facts.attributes["tenantry.attempts"] = call.attempts

    async def _run_call[T](self, call: _OngoingCall, attempt: Callable[[], Awaitable[T]], part: str) -> T:
        limit = asyncio.timeout(max(0.0, call.ends_at - self._clock.monotonic()))
        try:
            async with limit:
                result = await self._run_attempts(attempt, call)
        except TimeoutError as error:
            raise self._record_timeout(call, expired=limit.expired()) from error
        except Exception as error:
            if (failure := self._record_error(call, part, error)) is None:
                raise
            try:
                raise failure from error
            finally:
                del failure  # its traceback holds this frame
        except BaseException:
            self._abandon(call)
            raise
        self._record_success(call, part)
        return result

    def _begin(self, part: str, limits: AttemptLimits) -> _OngoingCall:
        total = self._policy.total_seconds
        remaining = remaining_seconds()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceededError(self.name)
        part_breaker, part_permit = self._parts.get(part), None
        if part_breaker is not None and (part_permit := part_breaker.admit()) is None:
            raise self._refusal(part_breaker, asks_for_pause=True)
        permit = self.breaker.admit()
        if permit is None:
            if part_permit is not None:
                part_permit.record_abandonment()
            raise self._refusal(self.breaker, asks_for_pause=False)
        shortened = remaining is not None and remaining < total
        seconds = remaining if remaining is not None and shortened else total
        return _OngoingCall(permit, part_permit, self._clock.monotonic() + seconds, shortened, limits)

    def _refusal(self, breaker: CircuitBreaker, *, asks_for_pause: bool) -> DependencyUnavailableError:
        seconds = max(breaker.retry_after(), _SHORTEST_RETRY_AFTER)
        return DependencyUnavailableError(self.name, retry_after=seconds, asks_for_pause=asks_for_pause)

    def _record_success(self, call: _OngoingCall, part: str) -> None:
        call.permit.record_success()
        if call.part_permit is not None:
            call.part_permit.record_success()
            if call.part_permit.breaker.state is BreakerState.CLOSED:
                self._parts.pop(part, None)

    def _abandon(self, call: _OngoingCall) -> None:
        call.permit.record_abandonment()
        if call.part_permit is not None:
            call.part_permit.record_abandonment()

    def _record_timeout(self, call: _OngoingCall, *, expired: bool) -> DependencyTimeoutError:
        if expired and call.shortened:
            if call.failures:
                self._record_failure(call)
            else:  # it may only have been given too little time
                self._abandon(call)
            return DeadlineExceededError(self.name)
        self._record_failure(call)
        return DependencyTimeoutError(self.name, self._policy.total_seconds)

    def _record_error(
        self, call: _OngoingCall, part: str, error: Exception
    ) -> DependencyUnavailableError | None:
        """Record how the call ended; return what is raised in the place of a transient error."""
        transient = self._transient_failure(error)
        if transient is None:
            self._record_success(call, part)
            return None
        if transient.throttled:
            self._record_throttling(call, part, transient.retry_after or 0.0)
        else:
            self._record_failure(call)
        seconds = transient.retry_after
        return DependencyUnavailableError(
            self.name, retry_after=seconds or 1.0, asks_for_pause=seconds is not None
        )

    def _record_failure(self, call: _OngoingCall) -> None:
        call.permit.record_failure()
        if call.part_permit is not None:
            call.part_permit.record_abandonment()

    def _record_throttling(self, call: _OngoingCall, part: str, retry_after: float) -> None:
        call.permit.record_success()
        if not part:
            return
        if call.part_permit is None:
            breaker = self._parts.setdefault(part, CircuitBreaker(self._clock, open_seconds=1.0))
            call.part_permit = BreakerPermit(breaker, is_probe=False)
        call.part_permit.record_failure(min(retry_after, _LONGEST_THROTTLE_SECONDS))

    async def _run_attempts[T](self, attempt: Callable[[], Awaitable[T]], call: _OngoingCall) -> T:
        while True:
            call.attempts += 1
            try:
                async with asyncio.timeout(self._policy.attempt_seconds):
                    return await attempt()
            except Exception as error:
                wait = self._plan_wait(call, error)
                if wait is None:
                    raise
            await self._clock.sleep(wait)

    def _plan_wait(self, call: _OngoingCall, error: Exception) -> float | None:
        """Return the seconds until the next attempt after one that failed; None where there is none."""
        transient = self._transient_failure(error)
        if transient is None or not call.limits.allow_another(error, transient):
            return None
        call.failures = call.attempts
        ceiling = self._policy.backoff_seconds * 2 ** (call.attempts - 1)
        jitter = random.uniform(0, ceiling)  # noqa: S311  # spreads load, protects nothing
        wait = jitter + (transient.retry_after or 0.0)
        is_too_late = self._clock.monotonic() + wait >= call.ends_at
        return None if is_too_late or call.attempts >= call.limits.attempts else wait

    def _transient_failure(self, error: BaseException) -> Transient | None:
        return Transient() if isinstance(error, TimeoutError) else self._classify(error)
