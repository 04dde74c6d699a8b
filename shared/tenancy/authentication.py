"""From a credential to a context: the only place that builds one."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Protocol

from shared.errors import AuthenticationError, TenantNotFoundError
from shared.tenancy.audit import AuditAction
from shared.tenancy.context import PlatformContext, Role, TenantContext, parse_tenant_id
from shared.tenancy.keys import parse_key
from shared.tenancy.store import TenantItem, TenantStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.tenancy.context import TenantId
    from shared.tenancy.store import TenantKeyItem

_SCHEME = "bearer "


class TenantLookup(Protocol):
    """What authentication reads of the tenants container."""

    async def read(self, tenant_id: TenantId) -> TenantItem | None:
        """Return a tenant, active or not."""
        ...

    async def read_with_key(
        self, tenant_id: TenantId, key_id: str
    ) -> tuple[TenantItem | None, TenantKeyItem | None]:
        """Return a tenant and one of its keys."""
        ...


class KeepsActs(Protocol):
    """What authentication asks of the audit trail."""

    async def record(self, who: TenantContext, action: AuditAction, subject: str) -> None:
        """Keep what happens now, before going on with it."""
        ...


class Authenticator:
    """Turns credentials into contexts.

    Every failure reads the same, so that nothing tells an unknown tenant from a wrong secret.

    Args:
        tenants: Where tenants and key hashes are.
        audit: Where it is kept that the administrator acts for a tenant.
        admin_keys: The administrator's keys in force; two of them while they are rotated.
    """

    def __init__(self, tenants: TenantLookup, audit: KeepsActs, admin_keys: Sequence[str]) -> None:
        self._tenants = tenants
        self._audit = audit
        self._admin_digests = [_digest(key) for key in admin_keys]

    async def authenticate(self, authorization: str | None) -> TenantContext | PlatformContext:
        """Check an `Authorization` header.

        Raises:
            AuthenticationError: It is missing or malformed, or the key is unknown, revoked or a suspended
                tenant's.
        """
        if authorization is None or not authorization.lower().startswith(_SCHEME):
            raise AuthenticationError("An Authorization header with a Bearer key is required")
        presented = authorization[len(_SCHEME) :].strip()
        if self._is_admin(presented):
            return PlatformContext("admin")
        key = parse_key(presented)
        if key is None:
            raise AuthenticationError("The API key is not valid")
        tenant, stored = await self._tenants.read_with_key(key.tenant_id, key.key_id)
        valid = stored is not None and key.matches(stored.hash) and stored.revoked_at is None
        if not valid or stored is None or tenant is None or tenant.status is not TenantStatus.ACTIVE:
            raise AuthenticationError("The API key is not valid")
        return _context(tenant, stored.role, stored.key_id)

    async def for_tenant(self, platform: PlatformContext, tenant_id: str, route: str) -> TenantContext:
        """Let the administrator act for a tenant, once that is kept in the tenant's audit trail.

        Raises:
            TenantNotFoundError: There is no such tenant.
            DependencyUnavailableError: The act cannot be kept, so it must not be done.
        """
        tenant = _context(await self._existing(tenant_id), Role.ADMIN, platform.principal)
        await self._audit.record(tenant, AuditAction.ADMIN_ACT, route)
        return tenant

    async def for_platform(self, tenant_id: str) -> TenantContext:
        """Let work that the platform's own queues and timers name a tenant for run as that tenant.

        Raises:
            TenantNotFoundError: There is no such tenant, or it is suspended.
        """
        tenant = await self._existing(tenant_id)
        if tenant.status is not TenantStatus.ACTIVE:
            raise TenantNotFoundError(tenant_id)
        return _context(tenant, Role.USER, "platform")

    async def _existing(self, tenant_id: str) -> TenantItem:
        try:
            tenant = await self._tenants.read(parse_tenant_id(tenant_id))
        except ValueError as error:
            raise TenantNotFoundError(tenant_id) from error
        if tenant is None:
            raise TenantNotFoundError(tenant_id)
        return tenant

    def _is_admin(self, presented: str) -> bool:
        digest = _digest(presented)
        matches = [hmac.compare_digest(digest, known) for known in self._admin_digests]
        return any(matches)


def _context(tenant: TenantItem, role: Role, principal: str) -> TenantContext:
    return TenantContext(parse_tenant_id(tenant.tenant_id), tenant.tier, role, principal)


def _digest(key: str) -> bytes:
    """Hash before comparing, so that not even the length can be timed."""
    return hashlib.sha256(key.encode()).digest()
