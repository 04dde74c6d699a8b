"""Binds the routes of token budgets."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.tokens.models import StatusQuery, TokenStatusReply
from functions.tokens.service import TokenService
from shared.http import Routes
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the token routes."""
    routes = Routes(runtime, "tokens")

    @routes.get("v1/tokens/status", who=Role.USER)
    async def get_token_status(tenant: TenantContext, query: StatusQuery) -> TokenStatusReply:
        """Show what counts now against the tenant's limits."""
        return await TokenService(tenant, runtime.ledger).status(query)

    return routes.blueprint
