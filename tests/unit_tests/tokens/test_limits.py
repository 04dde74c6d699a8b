"""What a tenant may use: tiers, overrides with an end, and how they are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pydantic
import pytest

from shared.errors import PreconditionFailedError
from shared.tenancy.store import Tier
from shared.tokens.counters import TENANT_COUNTER, WindowCounter
from shared.tokens.limits import (
    TIER_LIMITS,
    LimitsInForce,
    LimitsOverride,
    LimitStore,
    RateLimit,
    limits_in_force,
)
from tests.support.fakes import EPOCH, tenant_context
from tests.support.memory_cosmos import memory_cosmos

ACME, GLOBEX = tenant_context("acme"), tenant_context("globex")
AT = EPOCH.timestamp()


def test_every_tier_has_limits_of_every_kind() -> None:
    assert set(TIER_LIMITS) == set(Tier)
    for limits in TIER_LIMITS.values():
        assert limits.tokens_per_day is not None
        assert limits.tokens_per_month is not None
        assert limits.concurrency is not None
        assert limits.tokens_per_minute <= limits.tokens_per_day <= limits.tokens_per_month


def test_an_override_replaces_what_it_names_until_it_expires() -> None:
    rates = {"gpt-4o": RateLimit(tokens=5, requests=2)}
    override = LimitsOverride(
        tokens_per_minute=7, models=rates, expires_at=datetime.fromtimestamp(AT, UTC) + timedelta(hours=1)
    )
    limits = limits_in_force("free", override, AT)
    assert (limits.tokens_per_minute, limits.models) == (7, rates)
    assert limits.requests_per_minute == TIER_LIMITS[Tier.FREE].requests_per_minute
    assert limits_in_force("free", override, AT + 3599) == limits
    assert limits_in_force("free", override, AT + 3600) == TIER_LIMITS[Tier.FREE]
    assert limits_in_force("premium", None, AT) == TIER_LIMITS[Tier.PREMIUM]


@pytest.mark.parametrize("wrong", [0, -1, 10**12 + 1])
def test_a_limit_is_a_positive_integer_within_bounds(wrong: int) -> None:
    with pytest.raises(pydantic.ValidationError):
        LimitsOverride(tokens_per_minute=wrong)
    with pytest.raises(pydantic.ValidationError):
        LimitsOverride(models={"m": RateLimit(tokens=1, requests=wrong)})


async def test_overrides_are_stored_per_tenant_with_a_version() -> None:
    override = LimitsOverride(concurrency=3, expires_at=EPOCH)
    async with memory_cosmos() as cosmos:
        store = LimitStore(cosmos.container("ledger"))
        assert (await store.read(ACME)).version == 0
        written = await store.put(ACME, override)
        assert (written.override, written.version) == (override, 1)
        assert await store.read(ACME) == written
        assert (await store.read(GLOBEX)).override is None
        with pytest.raises(PreconditionFailedError):
            await store.put(ACME, None, if_version=0)
        assert (await store.put(ACME, None, if_version=1)).override is None
        assert (await store.read(ACME)).version == 2


async def test_a_change_whose_answer_is_lost_is_made_once() -> None:
    async with memory_cosmos() as cosmos:
        store = LimitStore(cosmos.container("ledger"))
        await store.put(ACME, None)
        cosmos.transport.watch_done = lambda _: None
        override = LimitsOverride(tokens_per_lock=9)

        def lose_the_patch(request: object) -> None:
            if getattr(request, "method", "") == "PATCH":
                cosmos.transport.lose_answers = 1
                cosmos.transport.watch_done = lambda _: None

        cosmos.transport.watch_done = lose_the_patch
        written = await store.put(ACME, override, if_version=1)
        assert (written.override, written.version) == (override, 2)


def test_limits_that_were_worked_out_hold_for_no_other_override_tier_or_time() -> None:
    def carrying(tokens: int, *, ends: bool = False) -> WindowCounter:
        end = {"expires_at": datetime.fromtimestamp(AT + 3600, UTC).isoformat()} if ends else {}
        override: dict[str, object] = {"tokens_per_minute": tokens, **end}
        # A counter that was removed and made anew begins with the same version again.
        return WindowCounter(id=TENANT_COUNTER, limits_version=1, override=override)

    known = LimitsInForce()
    told = [
        known.of("free", None, AT),
        known.of("free", carrying(7), AT),
        known.of("free", carrying(8), AT),
        known.of("premium", carrying(8), AT),
        known.of("premium", carrying(9, ends=True), AT + 3599),
        known.of("premium", carrying(9, ends=True), AT + 3600),
        known.of("free", None, AT),
    ]

    free, premium = (TIER_LIMITS[tier].tokens_per_minute for tier in (Tier.FREE, Tier.PREMIUM))
    assert [limits.tokens_per_minute for limits in told] == [free, 7, 8, 8, 9, premium, free]
    assert told[3].requests_per_minute == TIER_LIMITS[Tier.PREMIUM].requests_per_minute
