"""Bind the routes of tenants."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.tenants.models import (
    CallerReply,
    CreateTenantRequest,
    TenantPageQuery,
    TenantReply,
    TenantStateReply,
    UpdateTenantRequest,
)
from functions.tenants.service import TenantService, describe_caller, show_tenant
from shared.http.inputs import IfMatch
from shared.http.models import TenantPath
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.tenancy.context import PlatformContext, Role, TenantContext
from shared.tokens.limits import LimitStore

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the routes of tenants."""
    routes = Routes(runtime, "tenants")

    def service(platform: PlatformContext) -> TenantService:
        return TenantService(platform, runtime.tenants, runtime.purges, runtime.audit, runtime.clock)

    @routes.post("v1/tenants", min_role=Role.ADMIN, status=201)
    async def create_tenant(platform: PlatformContext, tenant: CreateTenantRequest) -> TenantReply:
        """Create a tenant.

        The tenant is active at once and has no keys yet: make its first one with `POST
        /tenants/{tenant_id}/keys`. An id that is taken, or was before a purge, is a 409; a reserved one a
        422.
        """
        return await service(platform).create(tenant)

    @routes.get("v1/tenants", min_role=Role.ADMIN)
    async def list_tenants(platform: PlatformContext, query: TenantPageQuery) -> ListReply[TenantReply]:
        """List the tenants.

        They are sorted by id. Tenants that were purged are not among them; `GET /tenants/{tenant_id}` still
        tells of each.
        """
        return await service(platform).list(query)

    @routes.get("v1/tenants/{tenant_id}", min_role=Role.TENANT_ADMIN)
    async def get_tenant(path: TenantPath) -> TenantStateReply:
        """Show one tenant, and how far its purge is.

        A tenant's own administrator sees its own alone. While the tenant is being purged, `purge` shows what
        was removed and what is left.
        """
        return await show_tenant(runtime.tenants, runtime.purges, path.tenant_id)

    @routes.get("v1/me", min_role=Role.USER)
    async def get_me(caller: TenantContext | PlatformContext) -> CallerReply:
        """Show who the caller is, and which limits are in force.

        Any valid credential can ask, which makes it the way to try one. `limits` has the override that the
        administrator gave, where there is one in force.
        """
        return await describe_caller(caller, LimitStore(runtime.container("ledger")), runtime.clock)

    @routes.patch("v1/tenants/{tenant_id}", min_role=Role.ADMIN)
    async def update_tenant(
        platform: PlatformContext, path: TenantPath, change: UpdateTenantRequest, if_match: IfMatch | None
    ) -> TenantReply:
        """Change a tenant's name, tier or status.

        The change is in force within 30 s on every instance. A tenant that is being purged cannot be changed
        any more: 409.
        """
        return await service(platform).update(path.tenant_id, change, if_match)

    return routes.blueprint
