"""From a credential to a context: every refusal reads the same, and junk costs no look-up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from shared.errors import (
    APIError,
    AuthenticationError,
    DependencyUnavailableError,
    TenantNotFoundError,
)
from shared.tenancy.audit import AuditAction
from shared.tenancy.authentication import Authenticator
from shared.tenancy.context import PlatformContext, Role, TenantContext, TenantId, parse_tenant_id
from shared.tenancy.keys import ApiKey, generate_key
from shared.tenancy.store import TenantItem, TenantKeyItem, TenantStatus, Tier
from tests.fakes import EPOCH

ADMIN_KEY = "an-administrators-key"
NEXT_ADMIN_KEY = "the-administrators-next-key"


@dataclass
class FakeTenants:
    """Tenants and keys by heart; counts look-ups."""

    tenants: dict[str, TenantItem] = field(default_factory=dict)
    keys: dict[tuple[str, str], TenantKeyItem] = field(default_factory=dict)
    lookups: int = 0

    def add(self, key: ApiKey, role: Role = Role.USER, *, revoked: bool = False) -> None:
        self.tenants.setdefault(
            key.tenant_id,
            TenantItem(
                tenant_id=key.tenant_id,
                name=key.tenant_id,
                tier=Tier.STANDARD,
                status=TenantStatus.ACTIVE,
                created_at=EPOCH,
            ),
        )
        self.keys[key.tenant_id, key.key_id] = TenantKeyItem(
            id=f"key:{key.key_id}",
            key_id=key.key_id,
            name="a key",
            role=role,
            hash=key.hash(),
            created_at=EPOCH,
            revoked_at=EPOCH if revoked else None,
        )

    def suspend(self, tenant_id: str) -> None:
        tenant = self.tenants[tenant_id]
        self.tenants[tenant_id] = tenant.model_copy(update={"status": TenantStatus.SUSPENDED})

    async def read(self, tenant_id: TenantId) -> TenantItem | None:
        self.lookups += 1
        return self.tenants.get(tenant_id)

    async def read_with_key(
        self, tenant_id: TenantId, key_id: str
    ) -> tuple[TenantItem | None, TenantKeyItem | None]:
        self.lookups += 1
        return self.tenants.get(tenant_id), self.keys.get((tenant_id, key_id))


@dataclass
class FakeAudit:
    """Remembers what it was told to keep, or cannot keep anything."""

    kept: list[tuple[str, AuditAction, str]] = field(default_factory=list)
    failure: APIError | None = None

    async def record(self, who: TenantContext, action: AuditAction, subject: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.kept.append((who.tenant_id, action, subject))


@pytest.fixture
def audit() -> FakeAudit:
    return FakeAudit()


@pytest.fixture
def tenants() -> FakeTenants:
    return FakeTenants()


@pytest.fixture
def authenticator(tenants: FakeTenants, audit: FakeAudit) -> Authenticator:
    return Authenticator(tenants, audit, [ADMIN_KEY, NEXT_ADMIN_KEY])


def new_key(tenant_id: str = "acme") -> ApiKey:
    return generate_key(parse_tenant_id(tenant_id))


@pytest.mark.parametrize("role", [Role.USER, Role.TENANT_ADMIN])
async def test_a_key_gives_its_tenant_tier_and_role(
    tenants: FakeTenants, authenticator: Authenticator, role: Role
) -> None:
    key = new_key()
    tenants.add(key, role)

    context = await authenticator.authenticate(f"Bearer {key}")

    assert context == TenantContext(parse_tenant_id("acme"), Tier.STANDARD, role, key.key_id)


@pytest.mark.parametrize("key", [ADMIN_KEY, NEXT_ADMIN_KEY])
async def test_both_administrator_keys_are_in_force_without_a_look_up(
    tenants: FakeTenants, authenticator: Authenticator, key: str
) -> None:
    assert await authenticator.authenticate(f"Bearer {key}") == PlatformContext("admin")
    assert tenants.lookups == 0


@pytest.mark.parametrize(
    "header", [None, "", "Basic abc", "Bearer", "Bearer ", "Bearer tk.acme.junk", "tk.x"]
)
async def test_junk_is_refused_without_a_look_up(
    tenants: FakeTenants, authenticator: Authenticator, header: str | None
) -> None:
    with pytest.raises(AuthenticationError):
        await authenticator.authenticate(header)
    assert tenants.lookups == 0


async def test_every_wrong_key_is_refused_in_the_same_words(
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    known, revoked, suspended = new_key(), new_key(), new_key("globex")
    tenants.add(known)
    tenants.add(revoked, revoked=True)
    tenants.add(suspended)
    tenants.suspend("globex")
    wrong_secret = ApiKey(known.tenant_id, known.key_id, new_key().secret)
    moved = ApiKey(parse_tenant_id("globex"), known.key_id, known.secret)

    said = set()
    for key in (new_key(), new_key("nobody"), revoked, suspended, wrong_secret, moved):
        with pytest.raises(AuthenticationError) as caught:
            await authenticator.authenticate(f"Bearer {key}")
        said.add((caught.value.message, tuple(caught.value.detail)))

    assert said == {("The API key is not valid", ())}


async def test_the_administrator_acts_for_an_existing_tenant_even_a_suspended_one(
    tenants: FakeTenants, authenticator: Authenticator, audit: FakeAudit
) -> None:
    tenants.add(new_key())
    tenants.suspend("acme")

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
    tenants: FakeTenants, authenticator: Authenticator
) -> None:
    tenants.add(new_key())

    context = await authenticator.for_platform("acme")

    assert (context.role, context.principal) == (Role.USER, "platform")
    tenants.suspend("acme")
    with pytest.raises(TenantNotFoundError):
        await authenticator.for_platform("acme")
