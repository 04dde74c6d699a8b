"""State of a tenant, a purge of it included: for the administrator's routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from shared.resilience.concurrency import side_by_side
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.errors import TenantNotFoundError
from shared.tenancy.store import TenantStatus

if TYPE_CHECKING:
    from datetime import datetime

    from shared.tenancy.context import TenantId
    from shared.tenancy.purges import PurgeItem, Purges
    from shared.tenancy.store import TenantItem, TenantStore, Tier


class TenantState(NamedTuple):
    """A tenant as it is, or what is kept of one that was purged: that has no name any more."""

    tenant_id: str
    name: str
    tier: Tier
    status: TenantStatus
    created_at: datetime
    etag: str | None
    purge: PurgeItem | None


def parse_known_tenant_id(text: str) -> TenantId:
    """Parse an id from a path.

    Raises:
        TenantNotFoundError: No tenant can have this id.
    """
    try:
        return parse_tenant_id(text)
    except ValueError as error:
        raise TenantNotFoundError(text) from error


async def read_tenant_state(tenants: TenantStore, purges: Purges, tenant_id: TenantId) -> TenantState:
    """Read a tenant, or what is known of its purge.

    Raises:
        TenantNotFoundError: There is none, and there never was one of this id.
    """
    found = await side_by_side([tenants.read(tenant_id), purges.read(tenant_id)])
    tenant, purge = cast("tuple[TenantItem | None, PurgeItem | None]", tuple(found))
    if tenant is not None:
        status = tenant.status if purge is None else TenantStatus.PURGING
        return TenantState(
            tenant.tenant_id, tenant.name, tenant.tier, status, tenant.created_at, tenant.etag, purge
        )
    if purge is None:
        raise TenantNotFoundError(tenant_id)
    status = TenantStatus.PURGING if purge.finished_at is None else TenantStatus.PURGED
    return TenantState(purge.purged, "", purge.tier, status, purge.created_at, None, purge)
