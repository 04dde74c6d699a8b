"""The one layer that retries: every call to a dependency goes through a `Dependency`.

At most three attempts in a bounded time, full jitter, Retry-After honoured, one circuit breaker per
dependency (engineering guidelines, section 3). The SDKs' own retries are off.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from shared.clock import SystemClock
from shared.errors import DependencyTimeoutError, DependencyUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Transient:
    """Another attempt may succeed, not before `retry_after` seconds where the dependency said so."""

    retry_after: float | None = None


type Classify = Callable[[BaseException], Transient | None]
"""Decides per dependency whether a failure is worth another attempt."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how often one call may try.

    Attributes:
        attempts: All attempts, the first included.
        attempt_seconds: The time limit of one attempt.
        total_seconds: The time limit of the call with its waits.
        backoff_seconds: The ceiling of the first wait; it doubles, and each wait is drawn from 0 up to it.
    """

    attempts: int = 3
    attempt_seconds: float = 5.0
    total_seconds: float = 12.0
    backoff_seconds: float = 0.1


class BreakerState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Stops calling a dependency that keeps failing, and lets a single probe find out when it is back.

    Args:
        clock: Its monotonic side measures the time open.
        threshold: Failed calls in a row that open it.
        open_seconds: The time until a probe is let through.
    """

    def __init__(self, clock: Clock, *, threshold: int = 5, open_seconds: float = 5.0) -> None:
        self._clock = clock
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Tell whether calls are let through now."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.retry_after() > 0 or self._probing else BreakerState.HALF_OPEN

    def retry_after(self) -> float:
        """Return the seconds until a probe is let through; 0 when calls are."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._open_seconds - self._clock.monotonic())

    def admit(self) -> bool:
        """Ask to make one call; a True must be answered by `succeeded`, `failed` or `abandoned`."""
        match self.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.HALF_OPEN:
                self._probing = True
                return True
            case BreakerState.OPEN:
                return False

    def succeeded(self) -> None:
        """Close it: the dependency answered."""
        self._failures, self._opened_at, self._probing = 0, None, False

    def failed(self) -> None:
        """Count a failed call, and open at the threshold or when it was the probe."""
        self._failures += 1
        if self._probing or self._failures >= self._threshold:
            self._opened_at = self._clock.monotonic()
        self._probing = False

    def abandoned(self) -> None:
        """Take back an admission whose outcome nobody learned: the call was cancelled."""
        self._probing = False


class Dependency:
    """One thing outside this process, called with time limits, retries and a breaker.

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

    async def call[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run `attempt` until it succeeds, fails for good, or the policy is used up.

        Raises:
            DependencyUnavailableError: The breaker is open, or the last attempt failed transiently.
            DependencyTimeoutError: The last attempt, or the whole call, ran out of time.
        """
        if not self.breaker.admit():
            raise DependencyUnavailableError(self.name, retry_after=max(self.breaker.retry_after(), 0.1))
        try:
            async with asyncio.timeout(self._policy.total_seconds):
                result = await self._retried(attempt)
        except TimeoutError as error:
            self.breaker.failed()
            raise DependencyTimeoutError(self.name, self._policy.total_seconds) from error
        except Exception as error:
            transient = self._transient(error)
            if transient is None:
                self.breaker.succeeded()
                raise
            self.breaker.failed()
            raise DependencyUnavailableError(self.name, retry_after=transient.retry_after or 1.0) from error
        except BaseException:
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()
        return result

    async def _retried[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        async for trial in self._attempts():
            with trial:
                async with asyncio.timeout(self._policy.attempt_seconds):
                    return await attempt()
        raise AssertionError("unreachable: the last failure is raised again")

    def _attempts(self) -> AsyncRetrying:
        return AsyncRetrying(
            stop=stop_after_attempt(self._policy.attempts),
            wait=self._wait,
            retry=retry_if_exception(self._worth_another),
            sleep=self._clock.sleep,
            reraise=True,
        )

    def _transient(self, error: BaseException) -> Transient | None:
        return Transient() if isinstance(error, TimeoutError) else self._classify(error)

    def _worth_another(self, error: BaseException) -> bool:
        transient = self._transient(error)
        return transient is not None and (transient.retry_after or 0.0) < self._policy.total_seconds

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        transient = self._transient(error) if error else None
        ceiling = self._policy.backoff_seconds * 2 ** (state.attempt_number - 1)
        jitter = random.uniform(0, ceiling)  # noqa: S311  # spreads load, protects nothing
        return jitter + ((transient and transient.retry_after) or 0.0)
