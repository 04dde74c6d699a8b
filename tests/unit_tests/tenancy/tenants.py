"""Tenants and keys by heart, for tests of who gets in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.tenancy.context import Role, TenantId, parse_tenant_id
from shared.tenancy.keys import ApiKey, generate_key
from shared.tenancy.store import TenantItem, TenantStatus, Tier
from shared.tenancy.stored_keys import TenantKeyItem
from tests.support.fakes import EPOCH

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from shared.errors import APIError
    from shared.tenancy.audit import AuditAction
    from shared.tenancy.context import TenantContext


def new_key(tenant_id: str = "acme") -> ApiKey:
    return generate_key(parse_tenant_id(tenant_id))


@dataclass
class FakeTenants:
    """Counts what it is asked; can be slow, or down. Changes are another instance's unless they are told."""

    tenants: dict[str, TenantItem] = field(default_factory=dict)
    keys: dict[tuple[str, str], TenantKeyItem] = field(default_factory=dict)
    lookups: int = 0
    failure: APIError | None = None
    gate: asyncio.Event | None = None
    subscribers: list[Callable[[TenantId], None]] = field(default_factory=list)

    def add_tenant(self, tenant_id: str) -> None:
        self.tenants[tenant_id] = TenantItem(
            tenant_id=tenant_id,
            name=tenant_id,
            tier=Tier.STANDARD,
            status=TenantStatus.ACTIVE,
            created_at=EPOCH,
        )

    def add(
        self,
        key: ApiKey,
        role: Role = Role.USER,
        *,
        revoked: bool = False,
        expires_at: datetime | None = None,
        user_id: str | None = None,
    ) -> None:
        if key.tenant_id not in self.tenants:
            self.add_tenant(key.tenant_id)
        self.keys[key.tenant_id, key.key_id] = TenantKeyItem(
            id=f"key:{key.key_id}",
            key_id=key.key_id,
            name="a key",
            role=role,
            hash=key.hash(),
            created_at=EPOCH,
            expires_at=expires_at,
            revoked_at=EPOCH if revoked else None,
            user_id=user_id,
        )

    def set_status(self, tenant_id: str, status: TenantStatus) -> None:
        self.tenants[tenant_id] = self.tenants[tenant_id].model_copy(update={"status": status})

    def revoke(self, key: ApiKey) -> None:
        name = (key.tenant_id, key.key_id)
        self.keys[name] = self.keys[name].model_copy(update={"revoked_at": EPOCH})

    def tell(self, tenant_id: str) -> None:
        """Say that the last change was made in this process."""
        for changed in self.subscribers:
            changed(parse_tenant_id(tenant_id))

    def subscribe(self, changed: Callable[[TenantId], None]) -> None:
        self.subscribers.append(changed)

    async def read(self, tenant_id: TenantId) -> TenantItem | None:
        tenant = self.tenants.get(tenant_id)
        await self._asked()
        return tenant

    async def read_with_key(
        self, tenant_id: TenantId, key_id: str
    ) -> tuple[TenantItem | None, TenantKeyItem | None]:
        found = self.tenants.get(tenant_id), self.keys.get((tenant_id, key_id))
        await self._asked()
        return found

    async def _asked(self) -> None:
        self.lookups += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure


@dataclass
class FakeAudit:
    """Remembers what it was told to keep, or cannot keep anything."""

    kept: list[tuple[str, AuditAction, str]] = field(default_factory=list)
    failure: APIError | None = None

    async def record(self, who: TenantContext, action: AuditAction, subject: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.kept.append((who.tenant_id, action, subject))


class Comparer:
    """Compares as `hmac.compare_digest` does, and counts."""

    def __init__(self) -> None:
        self.lengths: list[tuple[int, int]] = []

    def __call__(self, presented: bytes, known: bytes) -> bool:
        self.lengths.append((len(presented), len(known)))
        return presented == known
