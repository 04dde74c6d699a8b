"""Binds the routes of tenants, keys, settings and exports."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.tenants.export_routes import bind_exports
from functions.tenants.key_routes import bind_keys
from functions.tenants.settings_routes import bind_settings
from functions.tenants.tenant_routes import bind_tenants
from shared.http.routes import Routes

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the routes of tenants, keys, settings and exports."""
    routes = Routes(runtime, "tenants")
    bind_tenants(runtime, routes)
    bind_keys(runtime, routes)
    bind_settings(runtime, routes)
    bind_exports(runtime, routes)
    return routes.blueprint
