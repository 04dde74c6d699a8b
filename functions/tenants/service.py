"""Create and show tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.tenants.models import TenantListReply, TenantReply
from shared.errors import TenantNotFoundError
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.store import TenantItem, TenantStatus

if TYPE_CHECKING:
    from functions.tenants.models import CreateTenantRequest, TenantPage
    from shared.clock import Clock
    from shared.tenancy.context import PlatformContext
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


def _reply(tenant: TenantItem) -> TenantReply:
    return TenantReply(
        tenant_id=tenant.tenant_id,
        name=tenant.name,
        tier=tenant.tier,
        status=tenant.status,
        created_at=tenant.created_at,
        etag=tenant.etag,
    )
