"""The one layer that retries: every call to a dependency goes through a `Dependency`.

At most three attempts in a bounded time, full jitter, Retry-After honoured, one circuit breaker for each
dependency and for each throttled part of one (engineering guidelines, section 3). The SDKs' own retries are
off.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from shared.clock import SystemClock
from shared.deadlines import remaining_seconds
from shared.errors import (
    DeadlineExceededError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    RateLimitError,
)
from shared.telemetry import dependency_telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from shared.clock import Clock

_SHORTEST_RETRY_AFTER = 0.1
_MOST_THROTTLED_PARTS = 1024
_LONGEST_THROTTLE_SECONDS = 60.0
_TOO_MANY_REQUESTS = 429
_LONGEST_WINDOW_SECONDS = 120.0
"""A window is a minute; what cannot be had in two is refused for another reason, such as a day's budget."""

_WINDOW_JITTER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Transient:
    """Another attempt may succeed.

    Attributes:
        retry_after: Not before so many seconds, where the dependency said so.
        throttled: The dependency is well, and refuses this caller's rate (429).
    """

    retry_after: float | None = None
    throttled: bool = False


type Classify = Callable[[BaseException], Transient | None]
"""Decides per dependency whether a failure is worth another attempt."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how often one call may try.

    Attributes:
        attempts: All attempts, the first included.
        attempt_seconds: The time limit of one attempt.
        total_seconds: The time limit of the call with its waits; the caller's deadline can only shorten it.
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
    """Stops calling what keeps failing, and lets a single probe find out when it is back.

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
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Tell whether calls are let through now."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.retry_after() > 0 or self._probing else BreakerState.HALF_OPEN

    def retry_after(self) -> float:
        """Return the seconds until a probe is let through; 0 when calls are."""
        if self._open_until is None:
            return 0.0
        return max(0.0, self._open_until - self._clock.monotonic())

    def admit(self) -> Admission | None:
        """Ask to make one call; the admission must be told how the call ended. None refuses it."""
        match self.state:
            case BreakerState.CLOSED:
                return Admission(self, is_probe=False)
            case BreakerState.HALF_OPEN:
                self._probing = True
                return Admission(self, is_probe=True)
            case BreakerState.OPEN:
                return None

    def succeeded(self) -> None:
        """Close it: the dependency answered."""
        self._failures, self._open_until, self._probing = 0, None, False

    def failed(self, retry_after: float = 0.0) -> None:
        """Count a failed call, and open at the threshold or when it was the probe.

        Args:
            retry_after: How long the dependency asked to be left alone; it stays open for no less.
        """
        self._failures += 1
        if self._probing or self._failures >= self._threshold:
            self._open_until = self._clock.monotonic() + max(self._open_seconds, retry_after)
        self._probing = False

    def abandoned(self) -> None:
        """Let another probe through: nobody learned how this one ended."""
        self._probing = False


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave for one call. While the breaker is not closed only its probe's outcome counts.

    Calls that were under way when it opened end late: they neither close it nor let a second probe through.
    """

    breaker: CircuitBreaker
    is_probe: bool

    def succeeded(self) -> None:
        """Tell that the dependency answered."""
        if self._counts:
            self.breaker.succeeded()

    def failed(self, retry_after: float = 0.0) -> None:
        """Tell that it did not."""
        if self._counts:
            self.breaker.failed(retry_after)

    def abandoned(self) -> None:
        """Tell that nobody learned whether it did."""
        if self.is_probe:
            self.breaker.abandoned()

    @property
    def _counts(self) -> bool:
        return self.is_probe or self.breaker.state is BreakerState.CLOSED


@dataclass(slots=True)
class _Call:
    """One call under way: who let it through, how long it may take, and how often it was tried.

    Attributes:
        whole: The leave of the dependency's own breaker.
        part: The leave of the breaker of the throttled part that it goes to, if that has one.
        ends_at: When the time of the call is over, on the monotonic clock.
        shortened: Whether that is the caller's deadline rather than the policy's limit.
        attempts: Attempts that were begun so far.
        failures: Attempts that failed so far.
    """

    whole: Admission
    part: Admission | None
    ends_at: float
    shortened: bool
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
        self._parts: OrderedDict[str, CircuitBreaker] = OrderedDict()

    @property
    def throttled_parts(self) -> int:
        """Return how many parts of it are left alone now, because they refused this process's rate."""
        return sum(breaker.state is BreakerState.OPEN for breaker in self._parts.values())

    async def call[T](self, attempt: Callable[[], Awaitable[T]], part: str = "") -> T:
        """Run `attempt` until it succeeds, fails for good, or the policy or the caller's deadline is used up.

        Args:
            attempt: What to do once; it is cancelled when its time is over.
            part: What shares a rate limit with this call, where the dependency limits rates by parts.

        Raises:
            DependencyUnavailableError: A breaker is open, or the last attempt failed transiently.
            DependencyTimeoutError: The last attempt, or the whole call, ran out of time.
            DeadlineExceededError: The caller's own time was over.
        """
        with dependency_telemetry(self.name) as told:
            call = self._begin(part)
            try:
                return await self._made(call, attempt, part)
            finally:
                if told is not None:
                    told.attributes["tenantry.attempts"] = call.attempts

    async def _made[T](self, call: _Call, attempt: Callable[[], Awaitable[T]], part: str) -> T:
        limit = asyncio.timeout(max(0.0, call.ends_at - self._clock.monotonic()))
        try:
            async with limit:
                result = await self._retried(attempt, call)
        except TimeoutError as error:
            raise self._timed_out(call, expired=limit.expired()) from error
        except Exception as error:
            if (failure := self._failed(call, part, error)) is None:
                raise
            raise failure from error
        except BaseException:
            self._abandon(call)
            raise
        self._answered(call, part)
        return result

    def _begin(self, part: str) -> _Call:
        total = self._policy.total_seconds
        remaining = remaining_seconds()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceededError(self.name)
        of_part, by_part = self._parts.get(part), None
        if of_part is not None and (by_part := of_part.admit()) is None:
            raise self._refused(of_part)
        whole = self.breaker.admit()
        if whole is None:
            if by_part is not None:
                by_part.abandoned()
            raise self._refused(self.breaker)
        shortened = remaining is not None and remaining < total
        seconds = remaining if remaining is not None and shortened else total
        return _Call(whole, by_part, self._clock.monotonic() + seconds, shortened)

    def _refused(self, breaker: CircuitBreaker) -> DependencyUnavailableError:
        return DependencyUnavailableError(
            self.name, retry_after=max(breaker.retry_after(), _SHORTEST_RETRY_AFTER)
        )

    def _answered(self, call: _Call, part: str) -> None:
        call.whole.succeeded()
        if call.part is not None:
            call.part.succeeded()
            if call.part.breaker.state is BreakerState.CLOSED:
                self._parts.pop(part, None)

    def _abandon(self, call: _Call) -> None:
        call.whole.abandoned()
        if call.part is not None:
            call.part.abandoned()

    def _timed_out(self, call: _Call, *, expired: bool) -> DependencyTimeoutError:
        if expired and call.shortened:
            if call.failures:
                self._down(call)
            else:  # it may only have been given too little time
                self._abandon(call)
            return DeadlineExceededError(self.name)
        self._down(call)
        return DependencyTimeoutError(self.name, self._policy.total_seconds)

    def _failed(self, call: _Call, part: str, error: Exception) -> DependencyUnavailableError | None:
        """Tell the breakers how the call ended; return what it means, or None where the error says it."""
        transient = self._transient(error)
        if transient is None:
            self._answered(call, part)
            return None
        if transient.throttled:
            self._throttled(call, part, transient.retry_after or 0.0)
        else:
            self._down(call)
        return DependencyUnavailableError(self.name, retry_after=transient.retry_after or 1.0)

    def _down(self, call: _Call) -> None:
        call.whole.failed()
        if call.part is not None:
            call.part.abandoned()

    def _throttled(self, call: _Call, part: str, retry_after: float) -> None:
        call.whole.succeeded()
        if not part:
            return
        if call.part is None:
            breaker = self._parts.setdefault(part, CircuitBreaker(self._clock, open_seconds=1.0))
            if len(self._parts) > _MOST_THROTTLED_PARTS:
                self._parts.popitem(last=False)
            call.part = Admission(breaker, is_probe=False)
        call.part.failed(min(retry_after, _LONGEST_THROTTLE_SECONDS))

    async def _retried[T](self, attempt: Callable[[], Awaitable[T]], call: _Call) -> T:
        async for trial in self._attempts(call):
            with trial:
                call.attempts += 1
                async with asyncio.timeout(self._policy.attempt_seconds):
                    return await attempt()
        raise AssertionError("unreachable: the last failure is raised again")

    def _attempts(self, call: _Call) -> AsyncRetrying:
        def count(state: RetryCallState) -> None:
            call.failures = state.attempt_number

        def used_up(state: RetryCallState) -> bool:
            next_at = self._clock.monotonic() + state.upcoming_sleep
            return state.attempt_number >= self._policy.attempts or next_at >= call.ends_at

        return AsyncRetrying(
            stop=used_up,
            wait=self._wait,
            retry=retry_if_exception(lambda error: self._transient(error) is not None),
            after=count,
            sleep=self._clock.sleep,
            reraise=True,
        )

    def _transient(self, error: BaseException) -> Transient | None:
        return Transient() if isinstance(error, TimeoutError) else self._classify(error)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        transient = self._transient(error) if error else None
        ceiling = self._policy.backoff_seconds * 2 ** (state.attempt_number - 1)
        jitter = random.uniform(0, ceiling)  # noqa: S311  # spreads load, protects nothing
        return jitter + ((transient and transient.retry_after) or 0.0)


class WindowStatus(Protocol):
    """What waiting for a rate limit needs of a token counter's status."""

    @property
    def reset_time_seconds(self) -> float:
        """Seconds until more is available."""
        ...


class TokenCounter(Protocol):
    """What waiting for a rate limit needs of a `TokenClient`."""

    async def get_status(self) -> WindowStatus:
        """Tell what counts now."""
        ...


async def with_token_limit_retry[T](
    func: Callable[..., Awaitable[T]],
    token_client: TokenCounter,
    *args: Any,  # noqa: ANN401  # the document's signature: whatever `func` takes
    max_retries: int = 2,
    **kwargs: Any,  # noqa: ANN401  # same
) -> T:
    """Call `func(*args, **kwargs)`, and again when a rate limit's window has passed.

    The common library's document shows two shapes, and both work: what follows the client is the function's,
    as in its example; but a number that the function has no parameter for is `max_retries`, as in its
    signature.

    A rate limit is a `RateLimitError`, or any error whose `status_code` is 429. It is waited for as long as
    the error itself says, else as the token counter's status does, unless that is longer than a window can be
    or than the deadline in force. Every other error is raised at once.
    """
    if args and type(args[0]) is int and not _takes(func, args, kwargs) and _takes(func, args[1:], kwargs):
        max_retries, args = args[0], args[1:]
    for retries_left in reversed(range(max_retries + 1)):
        try:
            return await func(*args, **kwargs)
        except Exception as error:
            if not retries_left or not _is_rate_limit(error):
                raise
            seconds = await _window_seconds(error, token_client)
            remaining = remaining_seconds()
            if seconds > _LONGEST_WINDOW_SECONDS or (remaining is not None and seconds > remaining):
                raise
        await asyncio.sleep(seconds)
    raise AssertionError("unreachable: the last failure is raised again")


def with_token_limit_retry_decorator[**P, T](
    token_client: TokenCounter, max_retries: int = 2
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Make each call of the decorated function a `with_token_limit_retry`."""

    def decorate(func: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @functools.wraps(func)
        async def retried(*args: P.args, **kwargs: P.kwargs) -> T:
            call = functools.partial(func, *args, **kwargs)
            return await with_token_limit_retry(call, token_client, max_retries=max_retries)

        return retried

    return decorate


def _takes(func: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        inspect.signature(func).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _is_rate_limit(error: Exception) -> bool:
    return isinstance(error, RateLimitError) or getattr(error, "status_code", None) == _TOO_MANY_REQUESTS


async def _window_seconds(error: Exception, token_client: TokenCounter) -> float:
    told = error.retry_after if isinstance(error, RateLimitError) else None
    seconds = (await token_client.get_status()).reset_time_seconds if told is None else told
    return seconds + random.uniform(0, _WINDOW_JITTER_SECONDS)  # noqa: S311  # spreads load, protects nothing
