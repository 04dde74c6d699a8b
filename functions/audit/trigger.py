"""Bind the routes of the audit trail."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.audit.models import AuditEntryReply, AuditQuery
from functions.audit.service import AuditService
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.tenancy.context import PlatformContext, Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the audit routes."""
    routes = Routes(runtime, "audit")

    @routes.get("v1/audit", min_role=Role.TENANT_ADMIN)
    async def list_audit(tenant: TenantContext, query: AuditQuery) -> ListReply[AuditEntryReply]:
        """List what was done in the tenant, and by the administrator for it.

        The newest entry comes first. Changes of keys, settings and limits are kept, exports, and each time
        the platform's administrator acts for the tenant.
        """
        return await AuditService(tenant, runtime.audit).list(query)

    @routes.get("v1/platform/audit", min_role=Role.ADMIN)
    async def list_platform_audit(platform: PlatformContext, query: AuditQuery) -> ListReply[AuditEntryReply]:
        """List what was done to the platform itself.

        The newest entry comes first. It has the creation, change and purge of tenants and changes of the
        platform's settings, and outlives the tenants that it tells of.
        """
        return await AuditService(platform, runtime.audit).list(query)

    return routes.blueprint
