"""Binds the routes of exports."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.exports.models import ExportedBlobQuery, ExportedBlobReply, ExportPage, ExportReply
from functions.exports.service import ExportService
from shared.http.models import TenantPath
from shared.http.routes import Routes
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the routes of exports; the edge has matched the path's tenant with the caller's."""
    routes = Routes(runtime, "exports")

    def service(tenant: TenantContext) -> ExportService:
        return ExportService(tenant, runtime.container, runtime.blobs, runtime.audit)

    @routes.get("v1/tenants/{tenant_id}/export", who=Role.TENANT_ADMIN)
    async def export_tenant(tenant: TenantContext, path: TenantPath, query: ExportPage) -> ExportReply:  # noqa: ARG001  # the edge has matched the path with the tenant
        """Export all that the tenant owns, page by page."""
        return await service(tenant).page(query)

    @routes.get("v1/tenants/{tenant_id}/export/blob", who=Role.TENANT_ADMIN)
    async def export_blob(
        tenant: TenantContext,
        path: TenantPath,  # noqa: ARG001  # same
        query: ExportedBlobQuery,
    ) -> ExportedBlobReply:
        """Export the content of one of the tenant's blobs, part by part."""
        return await service(tenant).blob(query)

    return routes.blueprint
