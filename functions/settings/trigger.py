"""Bind the routes of settings."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.settings.models import (
    PutSettingRequest,
    SettingPageQuery,
    SettingPath,
    SettingQuery,
    SettingReply,
    SettingSchemaReply,
)
from functions.settings.service import SettingsService, describe_settings
from shared.http.inputs import IfMatch
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.tenancy.context import PlatformContext, Role, TenantContext
from shared.tenancy.settings import SettingScope

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the routes of settings; the administrator who names no tenant means the global scope."""
    routes = Routes(runtime, "settings")

    def service(caller: TenantContext | PlatformContext, scope: SettingScope) -> SettingsService:
        return SettingsService(caller, scope, runtime.tenant_settings, runtime.audit)

    @routes.get("v1/settings", min_role=Role.TENANT_ADMIN)
    async def list_settings(
        caller: TenantContext | PlatformContext, query: SettingPageQuery
    ) -> ListReply[SettingReply]:
        """List the settings with their values.

        Each comes with the value in force and its source: the tenant's own, the platform's or the default.
        They are sorted by key.
        """
        return await service(caller, query.scope).list(query)

    @routes.get("v1/settings/schema", min_role=Role.TENANT_ADMIN)
    async def describe_setting_forms() -> SettingSchemaReply:
        """Describe the settings for a form.

        It lists all settings with type, label, bounds and the JSON schema that a value is checked against:
        enough to build a form, or to learn the keys.
        """
        return describe_settings(runtime.tenant_settings.registry)

    @routes.get("v1/settings/{key}", min_role=Role.TENANT_ADMIN)
    async def get_setting(
        caller: TenantContext | PlatformContext, path: SettingPath, query: SettingQuery
    ) -> SettingReply:
        """Show a setting's value and where it comes from.

        The value is the tenant's own, else the platform's, else the default; `source` tells which.
        """
        return await service(caller, query.scope).read(path.key)

    @routes.put("v1/settings/{key}", min_role=Role.TENANT_ADMIN)
    async def put_setting(
        caller: TenantContext | PlatformContext,
        path: SettingPath,
        query: SettingQuery,
        setting: PutSettingRequest,
        if_match: IfMatch | None,
    ) -> SettingReply:
        """Set a value.

        It is in force within 30 s everywhere. A value of another type is a 422; an unknown key is a 404. The
        platform's value (`scope=global`) is the administrator's to set. The change is kept in the audit
        trail, without the value.
        """
        return await service(caller, query.scope).put(path.key, setting.value, if_match)

    @routes.delete("v1/settings/{key}", min_role=Role.TENANT_ADMIN, status=200)
    async def delete_setting(
        caller: TenantContext | PlatformContext,
        path: SettingPath,
        query: SettingQuery,
        if_match: IfMatch | None,
    ) -> SettingReply:
        """Take a value back, and show the one in force without it.

        Where none is set, nothing changes.
        """
        return await service(caller, query.scope).remove(path.key, if_match)

    return routes.blueprint
