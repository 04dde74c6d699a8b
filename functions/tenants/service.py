"""Create and show tenants, and make keys for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.tenants.models import KeyReply, TenantListReply, TenantReply
from shared.errors import PermissionDeniedError, TenantNotFoundError
from shared.tenancy.context import Role, parse_tenant_id
from shared.tenancy.keys import generate_key
from shared.tenancy.store import TenantItem, TenantStatus

if TYPE_CHECKING:
    from functions.tenants.models import CreateKeyRequest, CreateTenantRequest, TenantPage
    from shared.clock import Clock
    from shared.tenancy.context import PlatformContext, TenantContext
    from shared.tenancy.store import TenantStore


class TenantService:
    """The administrator's side of tenancy."""

    def __init__(self, platform: PlatformContext, tenants: TenantStore, clock: Clock) -> None:
        self._platform = platform
        self._tenants = tenants
        self._clock = clock

    async def create(self, request: CreateTenantRequest) -> TenantReply:
        """Create a tenant.

        Raises:
            ConflictError: The id is taken, without regard to case.
        """
        stored = await self._tenants.create(
            TenantItem(
                tenant_id=request.tenant_id,
                name=request.name,
                tier=request.tier,
                status=TenantStatus.ACTIVE,
                created_at=self._clock.now(),
            )
        )
        return _reply(stored)

    async def read(self, tenant_id: str) -> TenantReply:
        """Return one tenant.

        Raises:
            TenantNotFoundError: There is none.
        """
        try:
            stored = await self._tenants.read(parse_tenant_id(tenant_id))
        except ValueError as error:
            raise TenantNotFoundError(tenant_id) from error
        if stored is None:
            raise TenantNotFoundError(tenant_id)
        return _reply(stored)

    async def list(self, page: TenantPage) -> TenantListReply:
        """Return one page of tenants, by id."""
        found = await self._tenants.page(page.cursor, page.limit + 1)
        shown = found[: page.limit]
        more = len(found) > page.limit
        return TenantListReply(
            items=[_reply(tenant) for tenant in shown],
            next_cursor=shown[-1].tenant_id.casefold() if more else None,
        )


class KeyService:
    """One tenant's keys."""

    def __init__(self, tenant: TenantContext, tenants: TenantStore, clock: Clock) -> None:
        self._tenant = tenant
        self._tenants = tenants
        self._clock = clock

    async def create(self, request: CreateKeyRequest) -> KeyReply:
        """Make a key and show it this once.

        Raises:
            PermissionDeniedError: The role is the platform administrator's.
        """
        if request.role is Role.ADMIN:
            raise PermissionDeniedError(
                "The administrator's role is not a tenant's to give", {"role": "admin"}
            )
        key = generate_key(self._tenant.tenant_id)
        stored = await self._tenants.create_key(
            key, name=request.name, role=request.role, created_at=self._clock.now()
        )
        return KeyReply(
            key_id=stored.key_id,
            key=str(key),
            name=stored.name,
            role=stored.role,
            created_at=stored.created_at,
        )


def _reply(tenant: TenantItem) -> TenantReply:
    return TenantReply(
        tenant_id=tenant.tenant_id,
        name=tenant.name,
        tier=tenant.tier,
        status=tenant.status,
        created_at=tenant.created_at,
        etag=tenant.etag,
    )
