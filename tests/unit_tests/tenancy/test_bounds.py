"""Limits of credentials and of tenants' settings, each where it binds and by its number."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import ItemChangedError
from shared.errors import ConflictError, DependencyUnavailableError
from shared.settings import OidcSettings
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.credential_cache import CredentialCache
from shared.tenancy.jwks import SigningKeys
from shared.tenancy.oidc import UserTokens
from shared.tenancy.settings_store import settings_of
from shared.tenancy.store import TenantItem, TenantStatus, Tier
from tests.support.fakes import EPOCH, FakeClock, tenant_context
from tests.support.identity_provider import (
    AUDIENCE,
    ISSUER,
    JWKS_URL,
    IdentityProvider,
    public_jwk,
    rsa_key,
)
from tests.support.ledger_simulation import run_async
from tests.support.simulated_cosmos import SimulatedContainer, SimulatedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.cosmos.container import Json, Key, Patch
    from shared.tenancy.context import TenantId
    from shared.tenancy.stored_keys import TenantKeyItem


class Tenants:
    """Tenants of the names that begin with `t`; how often each was looked up."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def read(self, tenant_id: TenantId) -> TenantItem | None:
        self.asked.append(tenant_id)
        if not tenant_id.startswith("t"):
            return None
        return TenantItem(
            tenant_id=tenant_id, name="x", tier=Tier.FREE, status=TenantStatus.ACTIVE, created_at=EPOCH
        )

    async def read_with_key(
        self, tenant_id: TenantId, key_id: str
    ) -> tuple[TenantItem | None, TenantKeyItem | None]:
        raise AssertionError(tenant_id, key_id)

    def subscribe(self, changed: Callable[[TenantId], None]) -> None:
        """Nothing is changed here."""


async def find(keys: SigningKeys, kid: str) -> bool:
    return await keys.find(kid) is not None


def keys_of(provider: IdentityProvider, clock: FakeClock) -> SigningKeys:
    return SigningKeys(ISSUER, JWKS_URL, provider, clock, allow_http=False)


async def test_signing_keys_are_used_for_15_minutes_without_asking() -> None:
    clock, provider = FakeClock(), IdentityProvider()
    keys = keys_of(provider, clock)
    asked = []
    for seconds in (0, 899, 1):
        clock.advance(seconds)
        assert await find(keys, "current")
        asked.append(len(provider.asked))

    assert asked == [1, 1, 2]


async def test_an_unknown_key_asks_the_provider_every_30_seconds() -> None:
    clock, provider = FakeClock(), IdentityProvider()
    keys = keys_of(provider, clock)
    asked = []
    for seconds in (0, 29, 1):
        clock.advance(seconds)
        assert not await find(keys, "unknown")
        asked.append(len(provider.asked))

    assert asked == [1, 1, 2]


@pytest.mark.parametrize(("length", "is_read"), [(1, True), (200, True), (201, False)])
async def test_a_keys_id_has_200_characters_at_most(length: int, *, is_read: bool) -> None:
    provider = IdentityProvider(published=[public_jwk("k" * length, rsa_key())])

    assert await find(keys_of(provider, FakeClock()), "k" * length) is is_read


@pytest.mark.parametrize(("place", "is_read"), [(99, True), (100, False)])
async def test_a_hundred_keys_of_a_set_are_read(place: int, *, is_read: bool) -> None:
    others = [public_jwk(f"other-{number}", rsa_key()) for number in range(place)]
    provider = IdentityProvider(published=[*others, public_jwk("current", rsa_key())])

    assert await find(keys_of(provider, FakeClock()), "current") is is_read


@pytest.mark.parametrize(
    ("member", "value", "is_read"),
    [
        ("e", "A" * 12 + "AQAB", True),
        ("e", "A" * 13 + "AQAB", False),
        ("n", "A" * (2_800 - 342) + str(public_jwk("", rsa_key())["n"]), True),
        ("n", "A" * (2_801 - 342) + str(public_jwk("", rsa_key())["n"]), False),
    ],
    ids=["e 16", "e 17", "n 2800", "n 2801"],
)
async def test_the_numbers_of_a_key_are_bounded(member: str, value: str, *, is_read: bool) -> None:
    provider = IdentityProvider(published=[public_jwk("current", rsa_key()) | {member: value}])

    assert await find(keys_of(provider, FakeClock()), "current") is is_read


def user_tokens(provider: IdentityProvider, clock: FakeClock) -> UserTokens:
    configured = OidcSettings.model_validate(
        {"OIDC_ISSUER": ISSUER, "OIDC_AUDIENCE": AUDIENCE, "OIDC_JWKS_URL": JWKS_URL}
    )
    return UserTokens(configured, keys_of(provider, clock), CredentialCache(Tenants(), clock, 20), clock)


async def test_a_tokens_times_are_compared_with_the_apps_clock_and_no_other() -> None:
    for year in (2020, 2100):
        clock = FakeClock(datetime(year, 1, 1, tzinfo=UTC))
        provider = IdentityProvider(clock=clock)

        assert await user_tokens(provider, clock).verify(provider.token(tid="tenant")) is not None


async def test_while_the_provider_is_out_one_comes_back_after_a_second_at_the_soonest() -> None:
    clock = FakeClock()
    provider = IdentityProvider(failure=DependencyUnavailableError("The identity provider"))
    keys = keys_of(provider, clock)
    told = []
    for seconds in (0, 3.5, 1.0):
        clock.advance(seconds)
        with pytest.raises(DependencyUnavailableError) as refused:
            await keys.find("current")
        told.append(refused.value.retry_after)

    assert told == pytest.approx([5.0, 1.5, 1.0])


async def test_a_user_token_has_16_kib_at_most() -> None:
    provider, clock = IdentityProvider(), FakeClock()
    tokens = user_tokens(provider, clock)
    sizes = {True: 0, False: 1_000_000}
    for padding in range(11_795, 11_835):
        token = provider.token(tid="tenant", padding="x" * padding)
        if abs(len(token) - 16_384) > 8:
            continue
        accepted = await tokens.verify(token) is not None
        sizes[accepted] = (max if accepted else min)(sizes[accepted], len(token))

    assert 16_380 < sizes[True] <= 16_384 < sizes[False] < 16_390


@pytest.mark.parametrize(("length", "accepted"), [(200, True), (201, False)])
async def test_a_user_tokens_key_is_named_by_200_characters_at_most(length: int, *, accepted: bool) -> None:
    provider = IdentityProvider(published=[public_jwk("k" * length, rsa_key())])
    token = provider.token(headers={"kid": "k" * length}, tid="tenant")

    assert (await user_tokens(provider, FakeClock()).verify(token) is not None) is accepted
    assert len(provider.asked) == accepted  # for a longer name nobody is asked


async def test_what_is_absent_is_looked_up_again_after_five_seconds_and_what_is_there_after_its_time() -> (
    None
):
    clock, tenants = FakeClock(), Tenants()
    cache = CredentialCache(tenants, clock, 20)
    for seconds in (0, 4.9, 0.1):
        clock.advance(seconds)
        await cache.of_tenant(parse_tenant_id("absent"))
        await cache.of_tenant(parse_tenant_id("there"))

    assert tenants.asked == ["absent", "there", "absent"]


@pytest.mark.parametrize(("prefix", "most"), [("t", 10_000), ("a", 1_000)])
@pytest.mark.slow
async def test_so_many_tenants_that_are_there_or_absent_are_remembered(prefix: str, most: int) -> None:
    tenants = Tenants()
    cache = CredentialCache(tenants, FakeClock(), 20)
    for number in [*range(most), most, 1, 0]:
        await cache.of_tenant(parse_tenant_id(f"{prefix}{number:06}"))

    assert tenants.asked[most:] == [f"{prefix}{most:06}", f"{prefix}{0:06}"]


def test_a_setting_that_others_always_change_is_tried_five_times() -> None:
    tries: list[str] = []

    class Contended(SimulatedContainer):
        async def patch(self, key: Key, item_id: str, patch: Patch) -> Json:  # noqa: ARG002  # the real one's
            tries.append(item_id)
            raise ItemChangedError(item_id)

    async def scenario() -> None:
        container = Contended(SimulatedStore(), random.Random(1))  # noqa: S311  # no secret
        own = settings_of(tenant_context(), container, FakeClock())
        await own.put("k", 1, "me", None)
        for change in (own.put("k", 2, "me", None), own.remove("k", None)):
            with pytest.raises(ConflictError):
                await change

    run_async(scenario())
    assert len(tries) == 10
