"""Bind the routes of token budgets."""

import math
from typing import TYPE_CHECKING

import azure.functions as func

from functions.tokens.alerts import open_alert_outbox
from functions.tokens.limits import LimitsService
from functions.tokens.models import (
    LimitsReply,
    LockQuery,
    PutLimitsRequest,
    StatusQuery,
    UsageQuery,
    UsageReply,
)
from functions.tokens.usage import UsageService
from shared.http.inputs import IfMatch
from shared.http.models import TenantPath
from shared.http.route import Answered
from shared.http.routes import Routes
from shared.messaging.outbox import Outbox
from shared.messaging.outbox_sweeper import Sweeper
from shared.tenancy.context import Role, TenantContext
from shared.tokens.alerts import AlertItem, BudgetAlerts
from shared.tokens.api_models import (
    RATE_LIMIT_HEADERS,
    LockReply,
    LockRequest,
    ReleaseRequest,
    ReportRequest,
    SettledReply,
    rate_limit_headers,
)
from shared.tokens.limits import LimitStore
from shared.tokens.service import Decision, TokenService
from shared.tokens.stored_models import TokenStatus

if TYPE_CHECKING:
    from shared.runtime import Runtime

_REFUSED = 429


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the token routes."""
    routes = Routes(runtime, "tokens")

    def service(tenant: TenantContext) -> TokenService:
        return TokenService(tenant, runtime.ledger, runtime.settings.openai_model)

    @routes.post(
        "v1/tokens/lock",
        min_role=Role.USER,
        extra_statuses={_REFUSED: "Refused, where `strict=true` asks for it"},
        response_headers=RATE_LIMIT_HEADERS,
    )
    async def lock_tokens(tenant: TenantContext, query: LockQuery, lock: LockRequest) -> Answered[LockReply]:
        """Take tokens out of the budget.

        Lock before a model is called, and settle after it: `POST /tokens/report` with what was used, or `POST
        /tokens/release` where it was not called. A refused lock says in `Retry-After` when it would be
        admitted. A lock that is not settled counts for 60 seconds.
        """
        return _answered(await service(tenant).lock(lock), strict=query.strict == "true")

    @routes.post("v1/tokens/report", min_role=Role.USER)
    async def report_tokens(tenant: TenantContext, report: ReportRequest) -> SettledReply:
        """Report what a lock's call used.

        The use takes the place of the lock in the budget, even where it is more. Of a report and a
        release the first one decides; what comes after it, within 24 hours, is answered the same.
        """
        return await service(tenant).report(report)

    @routes.post("v1/tokens/release", min_role=Role.USER)
    async def release_tokens(tenant: TenantContext, release: ReleaseRequest) -> SettledReply:
        """Give a lock back unused.

        The tokens are free again at once. Repeating it, within 24 hours, is answered the same.
        """
        return await service(tenant).release(release)

    @routes.get("v1/tokens/status", min_role=Role.USER)
    async def get_token_status(tenant: TenantContext, query: StatusQuery) -> TokenStatus:
        """Show what counts now against the tenant's limits.

        It shows the headroom under all limits, and which limit binds.
        """
        return await service(tenant).status(query.app_id)

    _bind_usage(runtime, routes)
    _bind_limits(runtime, routes)
    _bind_alerts(runtime, routes.blueprint)
    return routes.blueprint


def _bind_usage(runtime: "Runtime", routes: Routes) -> None:
    @routes.get("v1/usage", min_role=Role.TENANT_ADMIN)
    async def get_usage(tenant: TenantContext, query: UsageQuery) -> UsageReply:
        """Show what was used, and what it cost.

        Costs are at the prices of now, from the catalogue of models, by kind of token. A report is in the
        sums within seconds.
        """
        container = runtime.container("ledger")
        return await UsageService(tenant, container, runtime.models.prices, runtime.clock).usage(query)


def _bind_limits(runtime: "Runtime", routes: Routes) -> None:
    def service(tenant: TenantContext) -> LimitsService:
        store = LimitStore(runtime.container("ledger"))
        return LimitsService(tenant, store, runtime.audit, runtime.clock)

    @routes.get("v1/tenants/{tenant_id}/limits", min_role=Role.TENANT_ADMIN, path=TenantPath)
    async def get_limits(tenant: TenantContext) -> LimitsReply:
        """Show what the tenant may use.

        It shows the limits in force, the tier's, and the override that the administrator gave.
        """
        return await service(tenant).read()

    @routes.put("v1/tenants/{tenant_id}/limits", min_role=Role.ADMIN, path=TenantPath)
    async def put_limits(
        tenant: TenantContext, limits: PutLimitsRequest, if_match: IfMatch | None
    ) -> LimitsReply:
        """Give the tenant limits of its own, for a time.

        The override replaces the one before as a whole; it is in force with the very next lock. It ends at
        `expires_at`, where one is given.
        """
        return await service(tenant).put(limits, if_match)

    @routes.delete("v1/tenants/{tenant_id}/limits", min_role=Role.ADMIN, path=TenantPath, status=200)
    async def delete_limits(tenant: TenantContext, if_match: IfMatch | None) -> LimitsReply:
        """Take the tenant's own limits back, and show its tier's, which hold again.

        Where there is no override, nothing changes.
        """
        return await service(tenant).remove(if_match)


def _bind_alerts(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    def outbox(tenant: TenantContext) -> Outbox[AlertItem]:
        alerts = BudgetAlerts(tenant, runtime.container("ledger"), runtime.clock)
        return open_alert_outbox(tenant, alerts, runtime.sender, runtime.settings.budget_alerts_queue)

    @blueprint.timer_trigger(arg_name="timer", schedule="%BUDGET_ALERTS_SCHEDULE%")
    async def send_budget_alerts(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Tell of the budgets that are used up to 80 or 100 percent."""
        await Sweeper(runtime.tenants, runtime.authenticator, outbox, runtime.clock).sweep()


def _answered(decision: Decision, *, strict: bool) -> Answered[LockReply]:
    headers = rate_limit_headers(decision.status)
    if decision.retry_after is None:
        return Answered(decision.reply, headers=headers)
    headers["retry-after"] = str(max(1, math.ceil(decision.retry_after)))
    return Answered(decision.reply, _REFUSED if strict else None, headers)
