"""One retry layer: bounded, jittered, honouring Retry-After, with a breaker that recovers by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from shared.clock import SystemClock
from shared.errors import DeadlineExceededError, DependencyTimeoutError, DependencyUnavailableError
from shared.resilience.circuit_breaker import BreakerState, CircuitBreaker
from shared.resilience.deadlines import deadline
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy, Transient
from tests.support.fakes import FakeClock


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


class ThrottledError(Exception):
    """The caller asks too often."""


def dependency(clock: FakeClock, retry_after: float | None = None, **policy: float) -> Dependency:
    def classify(error: BaseException) -> Transient | None:
        if isinstance(error, ThrottledError):
            return Transient(retry_after, throttled=True)
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
    breaker.record_failure()
    clock.advance(5)

    probe, second, third = breaker.admit(), breaker.admit(), breaker.admit()
    assert probe is not None
    assert (second, third) == (None, None)
    probe.record_failure()
    assert breaker.state is BreakerState.OPEN
    assert breaker.retry_after() == 5


def test_an_abandoned_probe_lets_the_next_one_through() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock, threshold=1, open_seconds=5)
    breaker.record_failure()
    clock.advance(5)
    probe = breaker.admit()
    assert probe is not None

    probe.record_abandonment()

    assert breaker.admit() is not None


def test_calls_from_before_it_opened_end_late_without_a_say() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock, threshold=1, open_seconds=5)
    good, bad, first = breaker.admit(), breaker.admit(), breaker.admit()
    assert good is not None
    assert bad is not None
    assert first is not None
    first.record_failure()
    good.record_success()
    after_the_good_one = breaker.state
    clock.advance(5)
    probe = breaker.admit()
    bad.record_failure()

    assert after_the_good_one is BreakerState.OPEN
    assert breaker.admit() is None
    assert probe is not None
    probe.record_success()
    assert breaker.state is BreakerState.CLOSED


async def test_a_permanent_failure_proves_that_the_dependency_answers() -> None:
    target = dependency(FakeClock())
    for _ in range(10):
        with pytest.raises(WrongError):
            await target.call(Service(WrongError()))

    assert target.breaker.state is BreakerState.CLOSED


async def throttle(target: Dependency, part: str, calls: int = 5) -> None:
    for _ in range(calls):
        with pytest.raises(DependencyUnavailableError):
            await target.call(Service(*[ThrottledError()] * 3), part)


async def test_throttling_opens_the_breaker_of_its_part_and_of_nobody_else() -> None:
    target, refused, served = dependency(FakeClock()), Service(), Service()
    await throttle(target, "bots:acme")

    with pytest.raises(DependencyUnavailableError) as caught:
        await target.call(refused, "bots:acme")
    await target.call(served, "bots:globex")
    await target.call(served)

    assert (refused.calls, served.calls) == (0, 2)
    assert caught.value.retry_after == pytest.approx(1.0)
    assert target.breaker.state is BreakerState.CLOSED
    assert target.throttled_parts == 1


async def test_throttling_without_a_part_opens_nothing() -> None:
    target = dependency(FakeClock())
    await throttle(target, "", calls=20)

    assert await target.call(Service()) == "done"


async def test_a_throttled_part_is_left_alone_for_as_long_as_it_asked_and_then_recovers() -> None:
    clock = FakeClock()
    target, service = dependency(clock, retry_after=30), Service()
    await throttle(target, "bots:acme")
    clock.advance(29.9)
    with pytest.raises(DependencyUnavailableError):
        await target.call(service, "bots:acme")
    clock.advance(0.2)

    assert await target.call(service, "bots:acme") == "done"
    assert await target.call(service, "bots:acme") == "done"
    assert target.throttled_parts == 0


async def test_an_outage_while_a_part_is_probed_leaves_it_to_the_next_probe() -> None:
    clock = FakeClock()
    target = dependency(clock)
    await throttle(target, "bots:acme")
    clock.advance(1)
    with pytest.raises(DependencyUnavailableError):
        await target.call(Service(*[BusyError()] * 3), "bots:acme")

    assert await target.call(Service(), "bots:acme") == "done"


async def test_an_open_breaker_takes_no_probe_from_a_throttled_part() -> None:
    clock = FakeClock()
    target = dependency(clock)
    await throttle(target, "bots:acme")
    clock.advance(1)
    for _ in range(5):
        target.breaker.record_failure()
    with pytest.raises(DependencyUnavailableError):
        await target.call(Service(), "bots:acme")
    clock.advance(5)

    assert await target.call(Service(), "bots:acme") == "done"


async def test_a_cancelled_probe_of_a_part_lets_the_next_one_through() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    clock = FakeClock()
    target = dependency(clock)
    await throttle(target, "bots:acme")
    clock.advance(1)
    task = asyncio.create_task(target.call(hang, "bots:acme"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert await target.call(Service(), "bots:acme") == "done"


async def test_what_is_remembered_of_throttled_parts_is_bounded() -> None:
    target = dependency(FakeClock(), attempts=1)
    await throttle(target, "the first")
    for number in range(1023):
        await throttle(target, f"part {number}", calls=1)
    assert target.throttled_parts == 1

    await throttle(target, "one more", calls=1)

    assert target.throttled_parts == 0
    assert await target.call(Service(), "the first") == "done"


async def test_nothing_is_asked_after_the_callers_deadline() -> None:
    clock = FakeClock()
    target, service = dependency(clock), Service()
    with deadline(10, clock):
        clock.advance(10)
        with pytest.raises(DeadlineExceededError, match="time for this request was over"):
            await target.call(service)

    assert service.calls == 0
    assert target.breaker.state is BreakerState.CLOSED


async def test_no_attempt_begins_that_the_deadline_would_cut() -> None:
    clock = FakeClock()
    target, service = dependency(clock, retry_after=3), Service(*[BusyError()] * 3)
    with deadline(5, clock), pytest.raises(DependencyUnavailableError) as caught:
        await target.call(service)

    assert service.calls == 2
    assert caught.value.retry_after == 3
    assert clock.monotonic() < 5


async def test_a_deadline_that_cuts_the_first_attempt_says_nothing_about_the_dependency() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    target = dependency(FakeClock())
    for _ in range(10):
        with deadline(0.001, SystemClock()), pytest.raises(DeadlineExceededError):
            await target.call(hang)

    assert target.breaker.state is BreakerState.CLOSED


@pytest.mark.slow
async def test_a_deadline_that_cuts_a_later_attempt_counts_the_failed_ones() -> None:
    target = dependency(FakeClock())
    failures = iter([True, False] * 5)

    async def fail_then_hang() -> None:
        if next(failures):
            raise BusyError
        await asyncio.Event().wait()

    for _ in range(5):
        with deadline(0.2, SystemClock()), pytest.raises(DeadlineExceededError):
            await target.call(fail_then_hang)

    assert target.breaker.state is BreakerState.OPEN


async def test_a_call_ends_with_its_policys_time() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    target = dependency(FakeClock(), total_seconds=0.001)
    with deadline(60, FakeClock()), pytest.raises(DependencyTimeoutError, match=r"within 0\.001 s") as caught:
        await target.call(hang)

    assert not isinstance(caught.value, DeadlineExceededError)


async def test_calls_that_run_out_of_time_open_the_breaker_like_calls_that_fail() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    target = dependency(FakeClock(), total_seconds=0.001)
    for _ in range(5):
        with pytest.raises(DependencyTimeoutError):
            await target.call(hang)

    assert target.breaker.state is BreakerState.OPEN


async def test_a_throttled_call_from_before_its_part_was_left_alone_prolongs_nothing() -> None:
    clock = FakeClock()
    target, may_end = dependency(clock, attempts=1), asyncio.Event()

    async def end_late() -> None:
        await may_end.wait()
        raise ThrottledError

    late = asyncio.create_task(target.call(end_late, "bots:acme"))
    await asyncio.sleep(0)
    await throttle(target, "bots:acme")
    clock.advance(0.9)
    may_end.set()
    with pytest.raises(DependencyUnavailableError):
        await late
    clock.advance(0.2)

    assert await target.call(Service(), "bots:acme") == "done"


async def test_a_success_from_before_a_part_was_left_alone_does_not_reopen_it() -> None:
    target, may_end, refused = dependency(FakeClock(), attempts=1), asyncio.Event(), Service()
    await throttle(target, "bots:acme", calls=1)

    async def end_late() -> str:
        await may_end.wait()
        return "done"

    late = asyncio.create_task(target.call(end_late, "bots:acme"))
    await asyncio.sleep(0)
    await throttle(target, "bots:acme", calls=4)
    may_end.set()

    assert await late == "done"
    with pytest.raises(DependencyUnavailableError):
        await target.call(refused, "bots:acme")
    assert refused.calls == 0


def test_a_closed_breaker_asks_nobody_to_wait() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock, threshold=1, open_seconds=5.0)
    before = breaker.retry_after()
    breaker.record_failure()
    clock.advance(2)

    assert (before, breaker.retry_after()) == (0.0, 3.0)
    breaker.record_success()
    assert breaker.retry_after() == 0.0


@pytest.mark.parametrize(("seconds", "calls"), [(59.9, 0), (60.1, 1)])
async def test_a_part_that_asks_to_be_left_alone_for_an_hour_is_for_a_minute(
    seconds: float, calls: int
) -> None:
    clock = FakeClock()
    target, service = dependency(clock, retry_after=3600), Service()
    await throttle(target, "bots:acme")
    clock.advance(seconds)
    with suppress(DependencyUnavailableError):
        await target.call(service, "bots:acme")

    assert service.calls == calls


@pytest.mark.parametrize(("retry_after", "calls"), [(5, 3), (7, 2), (11, 2), (12, 1)])
async def test_a_call_takes_twelve_seconds_at_most_unless_it_is_told_otherwise(
    retry_after: float, calls: int
) -> None:
    service = Service(*[BusyError()] * 3)
    with pytest.raises(DependencyUnavailableError):
        await dependency(FakeClock(), retry_after=retry_after).call(service)

    assert service.calls == calls


def test_a_probe_that_fails_is_followed_by_another_after_the_same_time() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock, threshold=1, open_seconds=5.0)
    breaker.record_failure()
    for _ in range(3):
        clock.advance(5)
        probe = breaker.admit()
        assert probe is not None
        probe.record_failure()
        assert breaker.admit() is None
