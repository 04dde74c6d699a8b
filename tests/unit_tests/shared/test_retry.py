"""One retry layer: bounded, jittered, honouring Retry-After, with a breaker that recovers by itself."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from shared.retry import BreakerState, CircuitBreaker, Dependency, Policy, Transient
from tests.fakes import FakeClock


class BusyError(Exception):
    """The dependency asks to come back."""


class WrongError(Exception):
    """The dependency will never like this request."""


class Service:
    """Fails as often as it is told to, and counts."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        return "done"


def dependency(clock: FakeClock, retry_after: float | None = None, **policy: float) -> Dependency:
    def classify(error: BaseException) -> Transient | None:
        return Transient(retry_after) if isinstance(error, BusyError) else None

    return Dependency("the service", classify, Policy(**policy), clock)  # type: ignore[arg-type]  # floats only


async def test_a_transient_failure_is_tried_again_until_it_works() -> None:
    clock = FakeClock()
    service = Service(BusyError(), BusyError())

    assert await dependency(clock).call(service) == "done"
    assert service.calls == 3


async def test_three_attempts_are_the_most() -> None:
    service = Service(*[BusyError()] * 10)

    with pytest.raises(DependencyUnavailableError, match="the service is not available") as caught:
        await dependency(FakeClock()).call(service)

    assert service.calls == 3
    assert isinstance(caught.value.__cause__, BusyError)


async def test_a_permanent_failure_is_raised_as_it_is_after_one_attempt() -> None:
    clock = FakeClock()
    service = Service(WrongError("no"))

    with pytest.raises(WrongError, match="no"):
        await dependency(clock).call(service)

    assert service.calls == 1
    assert clock.slept == []


async def test_waits_are_jittered_below_a_doubling_ceiling() -> None:
    firsts, seconds = [], []
    for _ in range(50):
        clock = FakeClock()
        await dependency(clock, backoff_seconds=1.0).call(Service(BusyError(), BusyError()))
        firsts.append(clock.slept[0])
        seconds.append(clock.slept[1])

    assert all(0 <= wait <= 1 for wait in firsts)
    assert all(0 <= wait <= 2 for wait in seconds)
    assert len(set(firsts)) > 25


async def test_retry_after_is_waited_for() -> None:
    clock = FakeClock()

    await dependency(clock, retry_after=2.5).call(Service(BusyError()))

    assert 2.5 <= clock.slept[0] <= 2.6


async def test_a_retry_after_beyond_the_time_limit_is_passed_on_at_once() -> None:
    clock = FakeClock()
    service = Service(BusyError())

    with pytest.raises(DependencyUnavailableError) as caught:
        await dependency(clock, retry_after=60).call(service)

    assert service.calls == 1
    assert caught.value.retry_after == 60


async def test_an_attempt_that_hangs_is_a_timeout_by_name() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DependencyTimeoutError, match="the service did not answer"):
        await dependency(FakeClock(), attempt_seconds=0.001).call(hang)


async def test_cancellation_is_passed_on_and_counts_as_nothing() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    target = dependency(FakeClock())
    task = asyncio.create_task(target.call(hang))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert target.breaker.state is BreakerState.CLOSED


async def test_the_breaker_opens_after_failed_calls_and_stops_calling() -> None:
    target = dependency(FakeClock())
    for _ in range(5):
        with pytest.raises(DependencyUnavailableError):
            await target.call(Service(*[BusyError()] * 3))
    service = Service()

    with pytest.raises(DependencyUnavailableError) as caught:
        await target.call(service)

    assert service.calls == 0
    assert target.breaker.state is BreakerState.OPEN
    assert caught.value.retry_after is not None


async def test_the_breaker_closes_by_itself_when_a_probe_succeeds() -> None:
    clock = FakeClock()
    target = dependency(clock)
    for _ in range(5):
        with pytest.raises(DependencyUnavailableError):
            await target.call(Service(*[BusyError()] * 3))
    states = [target.breaker.state]
    clock.advance(5)
    states.append(target.breaker.state)

    assert await target.call(Service()) == "done"
    assert [*states, target.breaker.state] == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]


def test_only_one_probe_is_let_through_and_its_failure_opens_again() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock, threshold=1, open_seconds=5)
    breaker.failed()
    clock.advance(5)

    assert [breaker.admit(), breaker.admit(), breaker.admit()] == [True, False, False]
    breaker.failed()
    assert breaker.state is BreakerState.OPEN
    assert breaker.retry_after() == 5


def test_an_abandoned_probe_lets_the_next_one_through() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock, threshold=1, open_seconds=5)
    breaker.failed()
    clock.advance(5)
    assert breaker.admit()

    breaker.abandoned()

    assert breaker.admit()


async def test_a_permanent_failure_proves_that_the_dependency_answers() -> None:
    target = dependency(FakeClock())
    for _ in range(10):
        with pytest.raises(WrongError):
            await target.call(Service(WrongError()))

    assert target.breaker.state is BreakerState.CLOSED
