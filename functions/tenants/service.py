"""Create and show tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.tenants.models import (
    TenantReply,
    TenantStateReply,
)
from shared.errors import (
    ConflictError,
    ValidationError,
)
from shared.http.paging import ListReply, cut_page
from shared.tenancy.audit import AuditAction
from shared.tenancy.store import TenantChange, TenantItem, TenantStatus
from shared.tenancy.tenant_state import known_tenant_id, read_tenant_state

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from functions.tenants.models import (
        CreateTenantRequest,
        UpdateTenantRequest,
    )
    from shared.clock import Clock
    from shared.http.paging import PageQuery
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import PlatformContext
    from shared.tenancy.purges import Purges
    from shared.tenancy.store import TenantStore

RESERVED_IDS = frozenset(
    {
        "admin",
        "administrator",
        "all",
        "anonymous",
        "api",
        "default",
        "global",
        "internal",
        "null",
        "platform",
        "public",
        "root",
        "shared",
        "system",
        "tenantry",
        "undefined",
        "unknown",
    }
)
"""Ids that would be taken for something else in a log, a path or an audit entry."""


class TenantService:
    """The administrator's side of tenancy."""

    def __init__(
        self,
        platform: PlatformContext,
        tenants: TenantStore,
        purges: Purges,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._platform = platform
        self._tenants = tenants
        self._purges = purges
        self._audit = audit
        self._clock = clock

    async def create(self, request: CreateTenantRequest) -> TenantReply:
        """Create a tenant.

        Raises:
            ValidationError: The id is reserved.
            ConflictError: The id is taken, without regard to case, or was before a purge.
        """
        tenant_id = request.tenant_id
        if tenant_id.casefold() in RESERVED_IDS:
            raise ValidationError(
                f"The tenant id '{tenant_id}' is reserved", {"fields": {"body.tenant_id": "is reserved"}}
            )
        async with self._recording(AuditAction.TENANT_CREATE, tenant_id, tier=request.tier):
            if await self._purges.is_taken(tenant_id):
                raise ConflictError(f"The tenant id '{tenant_id}' was used before", {"tenant_id": tenant_id})
            stored = await self._tenants.create(
                TenantItem(
                    tenant_id=tenant_id,
                    name=request.name,
                    tier=request.tier,
                    status=TenantStatus.ACTIVE,
                    created_at=self._clock.now(),
                )
            )
        return _reply(stored)

    async def read(self, tenant_id: str) -> TenantStateReply:
        """Return one tenant, or what is known of its purge.

        Raises:
            TenantNotFoundError: There is none, and there never was one of this id.
        """
        state = await read_tenant_state(self._tenants, self._purges, known_tenant_id(tenant_id))
        return TenantStateReply.model_validate(state._asdict(), from_attributes=True)

    async def list(self, query: PageQuery) -> ListReply[TenantReply]:
        """Return one page of tenants, by id; those that were purged are none any more."""
        found = await self._tenants.page(query.cursor, query.fetch_limit)
        page = cut_page(found, query.limit, lambda tenant: tenant.tenant_id.casefold())
        return ListReply[TenantReply].of(page, _reply)

    async def update(self, tenant_id: str, request: UpdateTenantRequest, if_match: str | None) -> TenantReply:
        """Change a tenant; one that is suspended is locked out within 30 s.

        Raises:
            TenantNotFoundError: There is none.
            PreconditionFailedError: It is in another state than `if_match`.
            ConflictError: It is being purged.
        """
        known = known_tenant_id(tenant_id)
        status = None if request.status is None else TenantStatus(request.status)
        change = TenantChange(request.name, request.tier, status)
        facts = {"tier": request.tier, "status": status}
        told = {name: fact for name, fact in facts.items() if fact is not None}
        async with self._recording(AuditAction.TENANT_UPDATE, tenant_id, **told):
            return _reply(await self._tenants.update(known, change, if_match))

    def _recording(
        self, action: AuditAction, tenant_id: str, **detail: str
    ) -> AbstractAsyncContextManager[None]:
        return self._audit.recording(self._platform, action, tenant_id, detail=detail)


def _reply(tenant: TenantItem) -> TenantReply:
    return TenantReply(
        tenant_id=tenant.tenant_id,
        name=tenant.name,
        tier=tenant.tier,
        status=tenant.status,
        created_at=tenant.created_at,
        etag=tenant.etag,
    )
