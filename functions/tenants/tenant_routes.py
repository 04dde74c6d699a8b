"""Binds the routes of tenants, and the timer that purges them."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.tenants.estate import owned_by
from functions.tenants.models import (
    CreateTenantRequest,
    PurgeAcceptedReply,
    TenantListReply,
    TenantPage,
    TenantReply,
    TenantStateReply,
    UpdateTenantRequest,
)
from functions.tenants.purging import Purger
from functions.tenants.service import TenantService
from shared.http.models import TenantPath
from shared.http.routes import Routes
from shared.tenancy.context import PlatformContext, Role

if TYPE_CHECKING:
    from shared.runtime import Runtime


def bind_tenants(runtime: "Runtime", routes: Routes) -> None:
    """Bind the tenant routes."""

    def service(platform: PlatformContext) -> TenantService:
        return TenantService(platform, runtime.tenants, runtime.purges, runtime.audit, runtime.clock)

    @routes.post("v1/tenants", who=Role.ADMIN, status=201)
    async def create_tenant(platform: PlatformContext, tenant: CreateTenantRequest) -> TenantReply:
        """Create a tenant."""
        return await service(platform).create(tenant)

    @routes.get("v1/tenants", who=Role.ADMIN)
    async def list_tenants(platform: PlatformContext, query: TenantPage) -> TenantListReply:
        """List the tenants."""
        return await service(platform).list(query)

    @routes.get("v1/tenants/{tenant_id}", who=Role.ADMIN)
    async def get_tenant(platform: PlatformContext, path: TenantPath) -> TenantStateReply:
        """Show one tenant, and how far its purge is."""
        return await service(platform).read(path.tenant_id)

    @routes.patch("v1/tenants/{tenant_id}", who=Role.ADMIN)
    async def update_tenant(
        platform: PlatformContext, path: TenantPath, change: UpdateTenantRequest, if_match: str | None
    ) -> TenantReply:
        """Change a tenant's name, tier or status."""
        return await service(platform).update(path.tenant_id, change, if_match)

    @routes.delete("v1/tenants/{tenant_id}", who=Role.ADMIN, status=202)
    async def purge_tenant(
        platform: PlatformContext, path: TenantPath, if_match: str | None
    ) -> PurgeAcceptedReply:
        """Purge a tenant: remove all that it owns, in the background."""
        return await service(platform).purge(path.tenant_id, if_match)

    @routes.blueprint.timer_trigger(arg_name="timer", schedule="%TENANT_PURGE_SCHEDULE%")
    async def go_on_purging(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Go on with every purge that is not over."""
        await Purger(
            runtime.purges,
            runtime.tenants,
            partial(owned_by, runtime.container, runtime.blobs),
            runtime.audit,
            runtime.clock,
            runtime.settings.purge_settle_seconds,
        ).run()
