"""Binds the routes of tenants, keys and settings."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.tenants.key_routes import bind_keys
from functions.tenants.models import (
    CreateTenantRequest,
    TenantListReply,
    TenantPage,
    TenantReply,
)
from functions.tenants.service import TenantService
from functions.tenants.settings_routes import bind_settings
from shared.http import Routes, TenantPath
from shared.tenancy.context import PlatformContext, Role

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the routes of tenants, keys and settings."""
    routes = Routes(runtime, "tenants")

    def service(platform: PlatformContext) -> TenantService:
        return TenantService(platform, runtime.tenants, runtime.clock)

    @routes.post("v1/tenants", who=Role.ADMIN, status=201)
    async def create_tenant(platform: PlatformContext, tenant: CreateTenantRequest) -> TenantReply:
        """Create a tenant."""
        return await service(platform).create(tenant)

    @routes.get("v1/tenants", who=Role.ADMIN)
    async def list_tenants(platform: PlatformContext, query: TenantPage) -> TenantListReply:
        """List the tenants."""
        return await service(platform).list(query)

    @routes.get("v1/tenants/{tenant_id}", who=Role.ADMIN)
    async def get_tenant(platform: PlatformContext, path: TenantPath) -> TenantReply:
        """Show one tenant."""
        return await service(platform).read(path.tenant_id)

    bind_keys(runtime, routes)
    bind_settings(runtime, routes)
    return routes.blueprint
