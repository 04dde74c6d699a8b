"""Bind the routes of exports."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.exports.models import ExportedBlobQuery, ExportedBlobReply, ExportedThing, ExportQuery
from functions.exports.service import ExportService
from shared.http.bounds import RouteBounds
from shared.http.models import TenantPath
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the routes of exports; the edge has matched the path's tenant with the caller's."""
    routes = Routes(runtime, "exports")

    def service(tenant: TenantContext) -> ExportService:
        return ExportService(tenant, runtime.container, runtime.blob_container, runtime.audit, runtime.clock)

    @routes.get(
        "v1/tenants/{tenant_id}/export",
        min_role=Role.TENANT_ADMIN,
        path=TenantPath,
        bounds=RouteBounds(one_at_a_time=True),
    )
    async def export_tenant(tenant: TenantContext, query: ExportQuery) -> ListReply[ExportedThing]:
        """Export all that the tenant owns, page by page.

        Follow `next_cursor` until it is null. A page has at most `limit` things and about 4 MiB, and ends
        after 8 s with what it has, which may be nothing. An export is no snapshot: suspend the tenant first
        to have one. Each page is kept in the tenant's audit trail.
        """
        return await service(tenant).page(query)

    @routes.get("v1/tenants/{tenant_id}/export/blob", min_role=Role.TENANT_ADMIN, path=TenantPath)
    async def export_blob(tenant: TenantContext, query: ExportedBlobQuery) -> ExportedBlobReply:
        """Export the content of one of the tenant's blobs, part by part.

        A part has 1 MiB at most; follow `next_offset` until it is null. Each part is kept in the tenant's
        audit trail.
        """
        return await service(tenant).blob(query)

    return routes.blueprint
