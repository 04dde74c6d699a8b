"""Binds the routes of tenants, keys and settings."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.tenants.models import (
    CreateKeyRequest,
    CreateTenantRequest,
    KeyReply,
    TenantListReply,
    TenantPage,
    TenantReply,
)
from functions.tenants.service import KeyService, TenantService
from functions.tenants.settings_routes import bind_settings
from shared.http import Routes, TenantPath
from shared.tenancy.context import PlatformContext, Role, TenantContext

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

    @routes.post("v1/tenants/{tenant_id}/keys", who=Role.TENANT_ADMIN, status=201, secret=True)
    async def create_key(tenant: TenantContext, path: TenantPath, key: CreateKeyRequest) -> KeyReply:  # noqa: ARG001  # the edge has matched the path with the tenant
        """Make an API key, shown this once."""
        return await KeyService(tenant, runtime.tenants, runtime.clock).create(key)

    bind_settings(runtime, routes)
    return routes.blueprint
