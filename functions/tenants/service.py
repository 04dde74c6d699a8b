"""Create, show and change tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.tenants.models import CallerReply, PurgeReply, TenantReply, TenantStateReply
from shared.errors import ConflictError, ValidationError
from shared.http.paging import ListReply, cut_page
from shared.tenancy.audit import AuditAction
from shared.tenancy.context import PlatformContext, Role, TenantContext
from shared.tenancy.store import TenantChange, TenantItem, TenantStatus, Tier
from shared.tenancy.tenant_state import parse_known_tenant_id, read_tenant_state
from shared.tokens.limits import limits_in_force

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from functions.tenants.models import (
        CreateTenantRequest,
        TenantPageQuery,
        UpdateTenantRequest,
    )
    from shared.clock import Clock
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.purges import PurgeItem, Purges
    from shared.tenancy.store import TenantStore
    from shared.tokens.limits import LimitStore

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
        return _render_tenant(stored)

    async def list(self, query: TenantPageQuery) -> ListReply[TenantReply]:
        """Return one page of tenants, by id; those that were purged are none any more."""
        found = await self._tenants.page(query.cursor, query.fetch_limit, query.prefix)
        page = cut_page(found, query.limit, lambda tenant: tenant.tenant_id.casefold())
        return ListReply[TenantReply].of(page, _render_tenant)

    async def update(self, tenant_id: str, request: UpdateTenantRequest, if_match: str | None) -> TenantReply:
        """Change a tenant; one that is suspended is locked out within 30 s.

        Raises:
            TenantNotFoundError: There is none.
            PreconditionFailedError: It is in another state than `if_match`.
            ConflictError: It is being purged.
        """
        known = parse_known_tenant_id(tenant_id)
        status = None if request.status is None else TenantStatus(request.status)
        change = TenantChange(request.name, request.tier, status)
        facts = {"tier": request.tier, "status": status}
        told = {name: fact for name, fact in facts.items() if fact is not None}
        async with self._recording(AuditAction.TENANT_UPDATE, tenant_id, **told):
            return _render_tenant(await self._tenants.update(known, change, if_match))

    def _recording(
        self, action: AuditAction, tenant_id: str, **detail: str
    ) -> AbstractAsyncContextManager[None]:
        return self._audit.recording(self._platform, action, tenant_id, detail=detail)


async def show_tenant(tenants: TenantStore, purges: Purges, tenant_id: str) -> TenantStateReply:
    """Return one tenant, or what is known of its purge.

    Raises:
        TenantNotFoundError: There is none, and there never was one of this id.
    """
    state = await read_tenant_state(tenants, purges, parse_known_tenant_id(tenant_id))
    return TenantStateReply(
        tenant_id=state.tenant_id,
        name=state.name,
        tier=state.tier,
        status=state.status,
        created_at=state.created_at,
        etag=state.etag,
        purge=None if state.purge is None else _render_purge(state.purge),
    )


async def describe_caller(
    caller: TenantContext | PlatformContext, limits: LimitStore, clock: Clock
) -> CallerReply:
    """Describe a caller, with the limits of its tenant that are in force now."""
    if isinstance(caller, PlatformContext):
        return CallerReply(role=Role.ADMIN, tenant_id=None, tier=None, key_id=None, user_id=None, limits=None)
    stored = await limits.read(caller)
    return CallerReply(
        role=caller.role,
        tenant_id=caller.tenant_id,
        tier=Tier(caller.tier),
        key_id=caller.key_id,
        user_id=caller.user_id,
        limits=limits_in_force(caller.tier, stored.override, clock.now().timestamp()),
    )


def _render_purge(purge: PurgeItem) -> PurgeReply:
    return PurgeReply(
        requested_at=purge.requested_at,
        closed_at=purge.closed_at,
        removed=purge.removed,
        counts=purge.counts,
        counted_at=purge.counted_at,
        finished_at=purge.finished_at,
    )


def _render_tenant(tenant: TenantItem) -> TenantReply:
    return TenantReply(
        tenant_id=tenant.tenant_id,
        name=tenant.name,
        tier=tenant.tier,
        status=tenant.status,
        created_at=tenant.created_at,
        etag=tenant.etag,
    )
