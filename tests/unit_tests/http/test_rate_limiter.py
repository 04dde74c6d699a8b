"""The request rate: a minute's requests at once, refilled evenly, per tenant, in bounded memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.http.rate_limiter import WINDOW_SECONDS, RequestRateLimiter
from shared.tenancy.context import Role
from tests.support.fakes import FakeClock, platform_context, tenant_context

ACME, GLOBEX = tenant_context("acme"), tenant_context("globex", tier="premium")


@pytest.fixture
def rates(clock: FakeClock) -> RequestRateLimiter:
    return RequestRateLimiter({"free": 6, "premium": 60}, 3, clock)


def admitted(rates: RequestRateLimiter, times: int) -> int:
    return sum(rates.hit(ACME).retry_after is None for _ in range(times))


def test_a_minutes_requests_are_admitted_at_once_and_no_more(rates: RequestRateLimiter) -> None:
    assert admitted(rates, 20) == 6


def test_requests_come_back_evenly(rates: RequestRateLimiter, clock: FakeClock) -> None:
    admitted(rates, 6)
    clock.advance(25)

    assert admitted(rates, 20) == 2


def test_what_was_not_used_is_saved_for_one_minute_only(rates: RequestRateLimiter, clock: FakeClock) -> None:
    admitted(rates, 1)
    clock.advance(3600)

    assert admitted(rates, 20) == 6


def test_each_tenant_has_its_tiers_own(rates: RequestRateLimiter) -> None:
    admitted(rates, 6)

    assert rates.hit(GLOBEX).remaining == 59


def test_the_administrator_has_one_rate_whomever_it_acts_for(rates: RequestRateLimiter) -> None:
    judged = [rates.hit(platform_context()).remaining]
    judged += [rates.hit(tenant_context(name, Role.ADMIN)).remaining for name in ("acme", "globex")]

    assert judged == [2, 1, 0]
    assert rates.hit(platform_context()).retry_after == pytest.approx(20)
    assert rates.hit(ACME).remaining == 5


def test_only_so_many_callers_are_remembered(clock: FakeClock) -> None:
    rates = RequestRateLimiter({"free": 2}, 1, clock, most_callers=2)
    for name in ("acme", "globex", "acme", "initech"):
        rates.hit(tenant_context(name))

    remaining = {name: rates.hit(tenant_context(name)).remaining for name in ("acme", "initech")}

    assert remaining == {"acme": 0, "initech": 0}
    assert rates.hit(tenant_context("globex")).remaining == 1, "the least recently seen one is forgotten"


def test_what_a_request_weighs_is_taken_at_once_or_not_at_all(rates: RequestRateLimiter) -> None:
    rates.hit(ACME)

    refused = rates.charge(ACME, 6)
    assert (refused.retry_after, refused.remaining) == (None, 0), "a minute's is the most it weighs"
    assert rates.charge(GLOBEX, 9).remaining == 51


def test_waiting_as_long_as_a_weighty_request_is_told_admits_it(
    rates: RequestRateLimiter, clock: FakeClock
) -> None:
    for _ in range(3):
        rates.hit(ACME)
    refused = rates.charge(ACME, 4)
    assert refused.retry_after == pytest.approx(20)
    assert refused.remaining == 3

    clock.advance(refused.retry_after or 0)

    assert rates.hit(ACME).retry_after is None
    assert rates.charge(ACME, 4).retry_after is None


@settings(deadline=None, derandomize=True)
@given(
    limit=st.integers(1, 10_000),
    waits=st.lists(st.floats(0, 90, allow_nan=False), max_size=20),
    burst=st.integers(1, 5),
)
def test_waiting_as_long_as_told_always_succeeds_and_no_minute_sees_more_than_two_minutes_requests(
    limit: int, waits: list[float], burst: int
) -> None:
    clock = FakeClock()
    rates = RequestRateLimiter({"free": limit}, 1, clock)
    times: list[float] = []
    for wait in waits:
        clock.advance(wait)
        for _ in range(burst):
            judged = rates.hit(ACME)
            assert 0 <= judged.remaining < limit
            assert judged.reset_seconds <= WINDOW_SECONDS + 1e-3
            if judged.retry_after is not None:
                assert judged.retry_after > 0
                clock.advance(math.ceil(judged.retry_after))
                assert rates.hit(ACME).retry_after is None
            times.append(clock.monotonic())
    for time in times:
        assert sum(time <= other < time + WINDOW_SECONDS for other in times) <= 2 * limit + 1


def test_ten_thousand_callers_are_remembered(clock: FakeClock) -> None:
    rates = RequestRateLimiter({"free": 1}, 1, clock)
    for number in range(10_000):
        rates.hit(tenant_context(f"t{number:05}"))

    assert rates.hit(tenant_context("t00000")).retry_after is not None
    rates.hit(tenant_context("late"))
    assert rates.hit(tenant_context("t00000")).retry_after is None
