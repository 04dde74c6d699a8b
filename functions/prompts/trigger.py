"""Binds the routes of prompts."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.prompts.models import (
    PromptListReply,
    PromptPage,
    PromptPath,
    PromptQuery,
    PromptReply,
    RenderedPromptReply,
    RenderPromptRequest,
    SavePromptRequest,
)
from functions.prompts.service import PromptService
from shared.http import Routes
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the prompt routes."""
    routes = Routes(runtime, "prompts")

    def service(tenant: TenantContext) -> PromptService:
        return PromptService(tenant, runtime.container("prompts"), runtime.clock)

    @routes.put("v1/prompts/{name}", who=Role.TENANT_ADMIN)
    async def save_prompt(
        tenant: TenantContext, path: PromptPath, prompt: SavePromptRequest, if_match: str | None
    ) -> PromptReply:
        """Save a prompt's next version."""
        return await service(tenant).save(path.name, prompt, if_match)

    @routes.get("v1/prompts/{name}", who=Role.USER)
    async def get_prompt(tenant: TenantContext, path: PromptPath, query: PromptQuery) -> PromptReply:
        """Show a prompt."""
        return await service(tenant).read(path.name, query.version)

    @routes.get("v1/prompts", who=Role.USER)
    async def list_prompts(tenant: TenantContext, query: PromptPage) -> PromptListReply:
        """List the prompts."""
        return await service(tenant).list(query)

    @routes.post("v1/prompts/{name}/render", who=Role.USER)
    async def render_prompt(
        tenant: TenantContext, path: PromptPath, request: RenderPromptRequest
    ) -> RenderedPromptReply:
        """Fill in a prompt's variables."""
        return await service(tenant).render(path.name, request)

    return routes.blueprint
