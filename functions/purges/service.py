"""Ask for the purge of a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.purges.models import PurgeAcceptedReply, PurgeProgressReply
from shared.errors import PreconditionFailedError
from shared.tenancy.audit import AuditAction
from shared.tenancy.tenant_state import parse_known_tenant_id, read_tenant_state

if TYPE_CHECKING:
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import PlatformContext
    from shared.tenancy.purges import PurgeItem, Purges
    from shared.tenancy.store import TenantStore


class PurgeService:
    """The administrator's requests for purges."""

    def __init__(
        self, platform: PlatformContext, tenants: TenantStore, purges: Purges, audit: AuditTrail
    ) -> None:
        self._platform = platform
        self._tenants = tenants
        self._purges = purges
        self._audit = audit

    async def request(self, tenant_id: str, if_match: str | None) -> PurgeAcceptedReply:
        """Have all that a tenant owns removed; asking again shows how far that is.

        Raises:
            TenantNotFoundError: There is none, and there never was one of this id.
            PreconditionFailedError: It is in another state than `if_match`.
        """
        known = parse_known_tenant_id(tenant_id)
        state = await read_tenant_state(self._tenants, self._purges, known)
        if state.purge is None:
            if if_match is not None and if_match != state.etag:
                raise PreconditionFailedError(
                    f"Tenant '{tenant_id}' has changed meanwhile", {"tenant_id": tenant_id}
                )
            async with self._audit.recording(self._platform, AuditAction.TENANT_PURGE, tenant_id):
                await self._purges.request(tenant_id=known, tier=state.tier, created_at=state.created_at)
                await self._tenants.close(known)
            state = await read_tenant_state(self._tenants, self._purges, known)
        return PurgeAcceptedReply(
            tenant_id=state.tenant_id,
            name=state.name,
            tier=state.tier,
            status=state.status,
            created_at=state.created_at,
            etag=state.etag,
            purge=None if state.purge is None else _render_purge(state.purge),
            status_url=f"/api/v1/tenants/{tenant_id}",
        )


def _render_purge(purge: PurgeItem) -> PurgeProgressReply:
    return PurgeProgressReply(
        requested_at=purge.requested_at,
        closed_at=purge.closed_at,
        removed=purge.removed,
        counts=purge.counts,
        counted_at=purge.counted_at,
        finished_at=purge.finished_at,
    )
