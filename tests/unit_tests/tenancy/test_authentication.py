"""From a credential to a context: every refusal reads the same, and junk costs no look-up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from shared.errors import AuthenticationError, DependencyUnavailableError, PermissionDeniedError
from shared.tenancy.audit import AuditAction
from shared.tenancy.authentication import Authenticator, KeyVerifier
from shared.tenancy.context import PlatformContext, Role, TenantContext, parse_tenant_id
from shared.tenancy.credential_cache import CredentialCache
from shared.tenancy.errors import TenantNotFoundError, TenantSuspendedError
from shared.tenancy.keys import AdminKeys, ApiKey
from shared.tenancy.store import TenantStatus, Tier
from tests.support.fakes import EPOCH
from tests.unit_tests.tenancy.tenants import Comparer, FakeAudit, FakeTenants, new_key

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock

ACME = parse_tenant_id("acme")
TTL = 20.0
ADMIN_KEY = "an-administrators-key"
NEXT_ADMIN_KEY = "the-administrators-next-key"


@pytest.fixture
def audit() -> FakeAudit:
    return FakeAudit()


@pytest.fixture
def tenants() -> FakeTenants:
    return FakeTenants()


@pytest.fixture
def comparer() -> Comparer:
    return Comparer()


@pytest.fixture
def authenticator(
    tenants: FakeTenants, audit: FakeAudit, clock: FakeClock, comparer: Comparer
) -> Authenticator:
    credentials = CredentialCache(tenants, clock, TTL)
    keys = KeyVerifier(credentials, clock, comparer)
    return Authenticator(credentials, audit, AdminKeys([ADMIN_KEY, NEXT_ADMIN_KEY]), keys)


async def refused(authenticator: Authenticator, key: object) -> bool:
    try:
        await authenticator.authenticate(f"Bearer {key}")
    except AuthenticationError:
        return True
    return False


async def looked_up(tenants: FakeTenants, times: int) -> None:
    """Let those who ask get as far as the store."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert tenants.lookups == times


@pytest.mark.parametrize("role", [Role.USER, Role.TENANT_ADMIN])
async def test_a_key_gives_its_tenant_tier_and_role(
    tenants: FakeTenants, authenticator: Authenticator, role: Role
) -> None:
    key = new_key()
    tenants.add(key, role)

    context = await authenticator.authenticate(f"Bearer {key}")

    assert context == TenantContext(parse_tenant_id("acme"), Tier.STANDARD, role, key.key_id)


async def test_an_answer_that_goes_on_is_told_when_its_key_is_revoked_over_or_suspended(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    revoked, ending = new_key(), new_key()
    tenants.add(revoked)
    tenants.add(ending, expires_at=clock.now() + timedelta(seconds=TTL / 2))
    contexts = [await authenticator.authenticate(f"Bearer {key}") for key in (revoked, ending)]
    of_revoked, of_ending = (context for context in contexts if isinstance(context, TenantContext))

    await authenticator.check_in_force(of_revoked)
    await authenticator.check_in_force(of_ending)
    clock.advance(TTL)

    with pytest.raises(AuthenticationError):
        await authenticator.check_in_force(of_ending)
    tenants.set_status("acme", TenantStatus.SUSPENDED)
    clock.advance(TTL)
    with pytest.raises(TenantSuspendedError):
        await authenticator.check_in_force(of_revoked)
    tenants.set_status("acme", TenantStatus.ACTIVE)
    tenants.revoke(revoked)
    clock.advance(TTL)
    with pytest.raises(AuthenticationError):
        await authenticator.check_in_force(of_revoked)


async def test_a_key_that_is_bound_to_a_user_sees_what_is_that_users_alone(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    key = new_key()
    tenants.add(key, user_id="ann+test@example.com")

    context = await authenticator.authenticate(f"Bearer {key}")

    assert isinstance(context, TenantContext)
    assert (context.only_user, context.principal) == ("ann+test@example.com", key.key_id)
    assert context.user_named(None) == "ann+test@example.com"
    assert context.sees("ann+test@example.com")
    assert not context.sees("bob")
    assert not context.sees(None)
    with pytest.raises(PermissionDeniedError):
        context.user_named("bob")


async def test_only_who_has_a_suspended_tenants_right_key_is_told_that_it_is_suspended(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock, comparer: Comparer
) -> None:
    key, ended = new_key(), new_key()
    tenants.add(key)
    tenants.add(ended, expires_at=EPOCH)
    forged = ApiKey(key.tenant_id, key.key_id, new_key().secret)
    tenants.set_status("acme", TenantStatus.SUSPENDED)

    with pytest.raises(TenantSuspendedError, match="suspended") as told:
        await authenticator.authenticate(f"Bearer {key}")
    strangers = []
    for wrong in (forged, ended, new_key()):
        with pytest.raises(AuthenticationError) as refusal:
            await authenticator.authenticate(f"Bearer {wrong}")
        strangers.append((type(refusal.value), refusal.value.message, refusal.value.detail))

    assert told.value.status == 401
    assert set(map(str, strangers)) == {str((AuthenticationError, "The API key is not valid", {}))}
    assert len(comparer.lengths) == 4  # one comparison for each

    tenants.set_status("acme", TenantStatus.ACTIVE)
    clock.advance(TTL)
    assert not await refused(authenticator, key)


@pytest.mark.parametrize("key", [ADMIN_KEY, NEXT_ADMIN_KEY])
async def test_both_administrator_keys_are_in_force_without_a_look_up(
    tenants: FakeTenants, authenticator: Authenticator, key: str
) -> None:
    assert await authenticator.authenticate(f"Bearer {key}") == PlatformContext("admin")
    assert tenants.lookups == 0


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic abc",
        "Bearer",
        "Bearer ",
        "Bearer tk.acme.junk",
        "tk.x",
        pytest.param(f"Bearer {str(new_key())[:-8]}00000000", id="a wrong checksum"),
        pytest.param(f"Bearer {new_key()}x", id="a letter too many"),
        "Bearer \xff\x00",
        pytest.param("Bearer " + "a" * 100_000, id="very long"),
    ],
)
async def test_junk_is_refused_without_a_look_up_and_without_comparing_it_to_any_tenants_key(
    tenants: FakeTenants, authenticator: Authenticator, comparer: Comparer, header: str | None
) -> None:
    with pytest.raises(AuthenticationError):
        await authenticator.authenticate(header)
    assert tenants.lookups == 0
    assert comparer.lengths == []


async def test_every_well_formed_key_takes_one_comparison_of_equal_lengths(
    tenants: FakeTenants, authenticator: Authenticator, comparer: Comparer
) -> None:
    known, revoked, suspended = new_key(), new_key(), new_key("globex")
    tenants.add(known)
    tenants.add(revoked, revoked=True)
    tenants.add(suspended)
    tenants.set_status("globex", TenantStatus.SUSPENDED)
    wrong_secret = ApiKey(known.tenant_id, known.key_id, new_key().secret)
    presented = (known, wrong_secret, revoked, suspended, new_key(), new_key("nobody"))

    for key in presented * 2:  # cold and warm
        before = len(comparer.lengths)
        assert await refused(authenticator, key) == (key is not known)
        assert comparer.lengths[before:] == [(32, 32)]


async def test_a_warm_key_needs_no_look_up(tenants: FakeTenants, authenticator: Authenticator) -> None:
    key = new_key()
    tenants.add(key)

    for _ in range(100):
        await authenticator.authenticate(f"Bearer {key}")

    assert tenants.lookups == 1


async def test_a_wrong_secret_costs_no_look_up_where_the_key_is_warm(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    key = new_key()
    tenants.add(key)
    await authenticator.authenticate(f"Bearer {key}")

    for _ in range(10):
        assert await refused(authenticator, ApiKey(key.tenant_id, key.key_id, new_key().secret))

    assert tenants.lookups == 1
    assert not await refused(authenticator, key)


async def test_what_another_instance_revoked_is_refused_when_its_time_is_up(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    key = new_key()
    tenants.add(key)
    await authenticator.authenticate(f"Bearer {key}")
    tenants.revoke(key)

    clock.advance(TTL - 0.01)
    assert not await refused(authenticator, key)
    clock.advance(0.01)
    assert await refused(authenticator, key)


async def test_a_key_in_constant_use_does_not_outlive_its_revocation(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    key = new_key()
    tenants.add(key)
    await authenticator.authenticate(f"Bearer {key}")
    tenants.revoke(key)

    for _ in range(int(TTL) - 1):
        clock.advance(1)
        await authenticator.authenticate(f"Bearer {key}")

    clock.advance(1)
    assert await refused(authenticator, key)


async def test_the_age_counts_from_before_the_store_was_asked(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    key = new_key()
    tenants.add(key)
    tenants.gate = asyncio.Event()
    asking = asyncio.create_task(authenticator.authenticate(f"Bearer {key}"))
    await looked_up(tenants, 1)
    tenants.revoke(key)
    clock.advance(TTL)  # the store took its time
    tenants.gate.set()
    await asking

    assert await refused(authenticator, key)


async def test_what_this_instance_changed_is_in_force_at_once(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    key, other = new_key(), new_key("globex")
    tenants.add(key)
    tenants.add(other)
    await authenticator.authenticate(f"Bearer {key}")
    await authenticator.authenticate(f"Bearer {other}")

    tenants.set_status("acme", TenantStatus.SUSPENDED)
    tenants.tell("acme")
    assert await refused(authenticator, key)

    tenants.set_status("acme", TenantStatus.ACTIVE)
    tenants.tell("acme")
    assert not await refused(authenticator, key)
    before = tenants.lookups
    assert not await refused(authenticator, other)
    assert tenants.lookups == before


async def test_a_look_up_that_was_under_way_does_not_bring_a_revoked_key_back(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    key = new_key()
    tenants.add(key)
    tenants.gate = asyncio.Event()
    early = asyncio.create_task(authenticator.authenticate(f"Bearer {key}"))
    await looked_up(tenants, 1)
    tenants.revoke(key)
    tenants.tell("acme")
    late = asyncio.create_task(refused(authenticator, key))
    await looked_up(tenants, 2)
    tenants.gate.set()

    await early  # it came before the revocation
    assert await late
    assert await refused(authenticator, key)


async def test_a_key_ends_at_its_second_though_it_is_warm(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    key = new_key()
    tenants.add(key, expires_at=EPOCH + timedelta(seconds=5))
    clock.advance(4.9)
    assert not await refused(authenticator, key)
    clock.advance(0.1)
    assert await refused(authenticator, key)


async def test_a_store_that_is_down_gives_no_last_known_good(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    key = new_key()
    tenants.add(key)
    await authenticator.authenticate(f"Bearer {key}")
    tenants.failure = DependencyUnavailableError("Cosmos DB")

    clock.advance(TTL - 0.01)
    await authenticator.authenticate(f"Bearer {key}")
    clock.advance(0.01)
    with pytest.raises(DependencyUnavailableError):
        await authenticator.authenticate(f"Bearer {key}")
    tenants.failure = None
    await authenticator.authenticate(f"Bearer {key}")


async def test_an_outage_is_not_kept_as_an_answer(tenants: FakeTenants, authenticator: Authenticator) -> None:
    key = new_key()
    tenants.add(key)
    tenants.failure = DependencyUnavailableError("Cosmos DB")
    with pytest.raises(DependencyUnavailableError):
        await authenticator.authenticate(f"Bearer {key}")
    tenants.failure = None

    assert not await refused(authenticator, key)


async def test_those_who_come_at_once_share_one_look_up_and_its_outage(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    key = new_key()
    tenants.add(key)

    for failure in (DependencyUnavailableError("Cosmos DB"), None):
        tenants.gate, tenants.failure, tenants.lookups = asyncio.Event(), failure, 0
        asking = [asyncio.create_task(authenticator.authenticate(f"Bearer {key}")) for _ in range(50)]
        await asyncio.sleep(0)
        tenants.gate.set()
        said = await asyncio.gather(*asking, return_exceptions=True)

        assert tenants.lookups == 1
        assert {type(one) for one in said} == {type(failure) if failure else TenantContext}


async def test_a_caller_who_hangs_up_leaves_the_others_their_answer(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    key = new_key()
    tenants.add(key)
    tenants.gate = asyncio.Event()
    asking = [asyncio.create_task(authenticator.authenticate(f"Bearer {key}")) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    asking[1].cancel()
    await asyncio.sleep(0)
    tenants.gate.set()

    said = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(one) for one in said] == [asyncio.CancelledError, asyncio.CancelledError, TenantContext]
    assert tenants.lookups == 1  # the question is everybody's, not the first one's


async def test_an_absent_key_is_asked_for_once_in_a_while(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    key = new_key()
    for _ in range(10):
        assert await refused(authenticator, key)
    assert tenants.lookups == 1

    tenants.add(key)
    clock.advance(5)
    assert not await refused(authenticator, key)


async def test_made_up_keys_grow_nothing_and_push_no_real_key_out(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    key = new_key()
    tenants.add(key)
    await authenticator.authenticate(f"Bearer {key}")
    first = new_key()
    await refused(authenticator, first)
    for _ in range(1_000):
        await refused(authenticator, new_key())
    before = tenants.lookups

    assert not await refused(authenticator, key)
    assert tenants.lookups == before
    assert await refused(authenticator, first)  # it was pushed out: what is absent has a bound
    assert tenants.lookups == before + 1


@pytest.mark.slow
async def test_the_key_used_longest_ago_makes_room_for_a_new_one(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    oldest, used, *others = keys = [new_key() for _ in range(10_001)]
    for key in keys[:-1]:
        tenants.add(key)
        await authenticator.authenticate(f"Bearer {key}")
    await authenticator.authenticate(f"Bearer {oldest}")
    tenants.add(others[-1])
    await authenticator.authenticate(f"Bearer {others[-1]}")
    before = tenants.lookups

    await authenticator.authenticate(f"Bearer {oldest}")
    assert tenants.lookups == before
    await authenticator.authenticate(f"Bearer {used}")
    assert tenants.lookups == before + 1


async def test_a_stored_key_with_the_administrators_role_is_no_key(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    key = new_key()
    tenants.add(key, Role.ADMIN)

    assert await refused(authenticator, key)


async def test_nothing_of_a_presented_key_is_kept_but_its_digest(
    tenants: FakeTenants, clock: FakeClock
) -> None:
    key = new_key()
    tenants.add(key)
    credentials = CredentialCache(tenants, clock, TTL)

    known = await credentials.of_key(key.tenant_id, key.key_id)

    assert known is not None
    assert known.digest == bytes.fromhex(key.hash())
    assert key.secret not in repr(known)


@pytest.mark.parametrize("seconds", [-1, 25.1, 30])
def test_no_setting_lets_a_revoked_key_live_for_30_seconds(
    tenants: FakeTenants, clock: FakeClock, seconds: float
) -> None:
    with pytest.raises(ValueError, match="0 to 25"):
        CredentialCache(tenants, clock, seconds)


async def test_without_a_cache_each_key_is_asked_for(tenants: FakeTenants, clock: FakeClock) -> None:
    key = new_key()
    tenants.add(key)
    credentials = CredentialCache(tenants, clock, 0)

    for _ in range(3):
        assert await credentials.of_key(key.tenant_id, key.key_id)

    assert tenants.lookups == 3


async def test_every_wrong_key_is_refused_in_the_same_words(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    known, revoked, suspended = new_key(), new_key(), new_key("globex")
    tenants.add(known)
    tenants.add(revoked, revoked=True)
    tenants.add(suspended)
    tenants.set_status("globex", TenantStatus.SUSPENDED)
    wrong_secret = ApiKey(known.tenant_id, known.key_id, new_key().secret)
    moved = ApiKey(parse_tenant_id("globex"), known.key_id, known.secret)
    guessed = ApiKey(suspended.tenant_id, suspended.key_id, known.secret)

    said = set()
    for key in (new_key(), new_key("nobody"), revoked, guessed, wrong_secret, moved):
        with pytest.raises(AuthenticationError) as caught:
            await authenticator.authenticate(f"Bearer {key}")
        said.add((caught.value.message, tuple(caught.value.detail)))

    assert said == {("The API key is not valid", ())}


async def test_the_administrator_acts_for_an_existing_tenant_even_a_suspended_one(
    tenants: FakeTenants, authenticator: Authenticator, audit: FakeAudit
) -> None:
    tenants.add(new_key())
    tenants.set_status("acme", TenantStatus.SUSPENDED)

    context = await authenticator.for_tenant(PlatformContext("admin"), "acme", "list_prompts")

    assert (context.tenant_id, context.role, context.principal) == ("acme", Role.ADMIN, "admin")
    assert audit.kept == [("acme", AuditAction.ADMIN_ACT, "list_prompts")]


async def test_the_administrator_acts_for_nobody_while_that_cannot_be_kept(
    tenants: FakeTenants, authenticator: Authenticator, audit: FakeAudit
) -> None:
    tenants.add(new_key())
    audit.failure = DependencyUnavailableError("Cosmos DB")

    with pytest.raises(DependencyUnavailableError):
        await authenticator.for_tenant(PlatformContext("admin"), "acme", "list_prompts")


@pytest.mark.parametrize("tenant_id", ["nobody", "global:tenants", "", "../acme"])
async def test_nobody_acts_for_a_tenant_that_is_not_there(
    authenticator: Authenticator, tenant_id: str
) -> None:
    with pytest.raises(TenantNotFoundError):
        await authenticator.for_tenant(PlatformContext("admin"), tenant_id, "list_prompts")
    with pytest.raises(TenantNotFoundError):
        await authenticator.for_platform(tenant_id)


async def test_the_platforms_work_runs_as_an_active_tenant_only(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    tenants.add(new_key())

    context = await authenticator.for_platform("acme")

    assert (context.role, context.principal) == (Role.USER, "platform")
    tenants.set_status("acme", TenantStatus.SUSPENDED)
    clock.advance(TTL)
    with pytest.raises(TenantNotFoundError):
        await authenticator.for_platform("acme")
    tenants.set_status("acme", TenantStatus.ACTIVE)
    assert await authenticator.for_platform("acme") == context  # by what it is, not by what is remembered


async def test_the_platforms_work_looks_an_active_tenant_up_once_for_as_long_as_a_key(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    tenants.add(new_key())
    for _ in range(3):
        await authenticator.for_platform("acme")
    asked = tenants.lookups
    clock.advance(TTL)
    await authenticator.for_platform("acme")

    assert (asked, tenants.lookups) == (1, 2)


async def test_all_rounds_look_a_tenant_up_once_for_as_long_as_a_key_whether_it_is_active_or_not(
    tenants: FakeTenants, authenticator: Authenticator, clock: FakeClock
) -> None:
    tenants.add(new_key())
    known = await authenticator.for_platform("acme")
    assert [await authenticator.find_active(ACME) for _ in range(3)] == [known] * 3
    tenants.set_status("acme", TenantStatus.SUSPENDED)
    clock.advance(TTL)
    assert [await authenticator.find_active(ACME) for _ in range(3)] == [None] * 3
    assert tenants.lookups == 2
    tenants.set_status("acme", TenantStatus.ACTIVE)
    clock.advance(TTL)
    assert await authenticator.find_active(ACME) == known


async def test_no_round_is_made_for_a_tenant_that_is_gone(authenticator: Authenticator) -> None:
    assert await authenticator.find_active(ACME) is None


async def test_the_platforms_work_refuses_nobody_by_what_was_known_a_moment_ago(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    with pytest.raises(TenantNotFoundError):
        await authenticator.for_platform("acme")
    tenants.add(new_key())
    assert (await authenticator.for_platform("acme")).tenant_id == "acme"
