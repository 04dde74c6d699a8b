"""Binds the routes of token budgets."""

import math
from typing import TYPE_CHECKING

import azure.functions as func

from functions.tokens.models import LockQuery, StatusQuery
from shared.http import Answered, Routes
from shared.tenancy.context import Role, TenantContext
from shared.tokens.models import TokenStatus
from shared.tokens.service import Decision, TokenService
from shared.tokens.wire import (
    LockReply,
    LockRequest,
    ReleaseRequest,
    ReportRequest,
    SettledReply,
    rate_limit_headers,
)

if TYPE_CHECKING:
    from shared.runtime import Runtime

_REFUSED = 429


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the token routes."""
    routes = Routes(runtime, "tokens")

    def service(tenant: TenantContext) -> TokenService:
        return TokenService(tenant, runtime.ledger, runtime.settings.openai_model)

    @routes.post("v1/tokens/lock", who=Role.USER, also={_REFUSED: "Refused, where `strict=true` asks for it"})
    async def lock_tokens(tenant: TenantContext, query: LockQuery, lock: LockRequest) -> Answered[LockReply]:
        """Take tokens out of the budget."""
        return _answered(await service(tenant).lock(lock), strict=query.strict == "true")

    @routes.post("v1/tokens/report", who=Role.USER)
    async def report_tokens(tenant: TenantContext, report: ReportRequest) -> SettledReply:
        """Report what a lock's call used."""
        return await service(tenant).report(report)

    @routes.post("v1/tokens/release", who=Role.USER)
    async def release_tokens(tenant: TenantContext, release: ReleaseRequest) -> SettledReply:
        """Give a lock back unused."""
        return await service(tenant).release(release)

    @routes.get("v1/tokens/status", who=Role.USER)
    async def get_token_status(tenant: TenantContext, query: StatusQuery) -> TokenStatus:
        """Show what counts now against the tenant's limits."""
        return await service(tenant).status(query.app_id)

    return routes.blueprint


def _answered(decision: Decision, *, strict: bool) -> Answered[LockReply]:
    headers = rate_limit_headers(decision.left)
    if decision.retry_after is None:
        return Answered(decision.reply, headers=headers)
    headers["retry-after"] = str(max(1, math.ceil(decision.retry_after)))
    return Answered(decision.reply, _REFUSED if strict else None, headers)
