"""Bind the routes of webhooks, and the timer that delivers."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.webhooks.models import (
    CreateWebhookRequest,
    DeliveryQuery,
    DeliveryReply,
    RotateWebhookRequest,
    WebhookPath,
    WebhookQuery,
    WebhookReply,
    WebhookSummary,
)
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.messaging.outbox_sweeper import Sweeper
from shared.tenancy.context import Role, TenantContext
from shared.webhooks.deliveries import DeliveryRepository
from shared.webhooks.store import WebhookStore

if TYPE_CHECKING:
    from functions.webhooks.courier import Courier
    from functions.webhooks.service import WebhookService
    from functions.webhooks.signing import SecretBox
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the webhooks capability."""
    routes = Routes(runtime, "webhooks")
    _bind_routes(runtime, routes)
    _bind_courier(runtime, routes.blueprint)
    return routes.blueprint


def _box(runtime: "Runtime") -> "SecretBox":
    from functions.webhooks.signing import SecretBox  # noqa: PLC0415  # cryptography loads when first used

    return SecretBox(runtime.settings.webhook_key, runtime.settings.webhook_key_previous)


def _webhooks(runtime: "Runtime", tenant: TenantContext) -> WebhookStore:
    return WebhookStore(tenant, runtime.container("webhooks"))


def _deliveries(runtime: "Runtime", tenant: TenantContext) -> DeliveryRepository:
    return DeliveryRepository(tenant, runtime.container("webhooks"), runtime.clock)


def _courier(runtime: "Runtime", tenant: TenantContext) -> "Courier":
    from functions.webhooks.courier import Courier  # noqa: PLC0415  # loads when first used
    from functions.webhooks.receivers import open_receivers  # noqa: PLC0415  # aiohttp loads when first used

    return Courier(
        tenant,
        _webhooks(runtime, tenant),
        _deliveries(runtime, tenant),
        _box(runtime),
        partial(open_receivers, allow_loopback=runtime.settings.webhooks_allow_loopback),
        runtime.clock,
    )


def _bind_routes(runtime: "Runtime", routes: Routes) -> None:
    def service(tenant: TenantContext) -> "WebhookService":
        from functions.webhooks.service import WebhookService  # noqa: PLC0415  # loads when first used

        return WebhookService(
            tenant,
            _webhooks(runtime, tenant),
            _deliveries(runtime, tenant),
            _box(runtime),
            runtime.audit,
            runtime.clock,
            runtime.settings.webhooks_allow_loopback,
        )

    @routes.post("v1/webhooks", min_role=Role.TENANT_ADMIN, status=201, secret=True)
    async def create_webhook(tenant: TenantContext, webhook: CreateWebhookRequest) -> WebhookReply:
        """Add a webhook, whose secret is shown this once.

        Its URL is one that the tenant's jobs may name as `callback_url`; nothing is ever sent to any other.
        There are 20 at most, and one for each URL (409). The secret is kept encrypted and shown nowhere else;
        for the same reason no Idempotency-Key is honoured here.
        """
        return await service(tenant).create(webhook)

    @routes.get("v1/webhooks", min_role=Role.TENANT_ADMIN)
    async def list_webhooks(tenant: TenantContext, query: WebhookQuery) -> ListReply[WebhookSummary]:
        """List the webhooks, without their secrets.

        They are sorted by id.
        """
        return await service(tenant).list(query)

    @routes.delete("v1/webhooks/{webhook_id}", min_role=Role.TENANT_ADMIN)
    async def delete_webhook(tenant: TenantContext, path: WebhookPath) -> None:
        """Remove a webhook.

        Nothing more is delivered to it, and jobs may not name its URL any more.
        """
        await service(tenant).remove(path.webhook_id)

    @routes.post("v1/webhooks/{webhook_id}/rotate", min_role=Role.TENANT_ADMIN, status=201, secret=True)
    async def rotate_webhook(
        tenant: TenantContext, path: WebhookPath, rotation: RotateWebhookRequest
    ) -> WebhookReply:
        """Replace a webhook's secret; the new one is shown this once.

        Deliveries are signed with both for the overlap, so that a receiver may change over in its own time.
        Rotated again within it, the secret before the last is dropped.
        """
        return await service(tenant).rotate(path.webhook_id, rotation)

    @routes.get("v1/webhooks/{webhook_id}/deliveries", min_role=Role.TENANT_ADMIN)
    async def list_webhook_deliveries(
        tenant: TenantContext, path: WebhookPath, query: DeliveryQuery
    ) -> ListReply[DeliveryReply]:
        """List what was delivered to a webhook, or is to be.

        The newest comes first; a delivery is kept for 30 days. One that is not taken is tried 8 times over
        21 hours.
        """
        return await service(tenant).list_deliveries(path.webhook_id, query)


def _bind_courier(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    @blueprint.timer_trigger(arg_name="timer", schedule="%WEBHOOK_SCHEDULE%")
    async def deliver_webhooks(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Deliver what is due to webhooks."""
        courier_of = partial(_courier, runtime)
        await Sweeper(runtime.tenants, runtime.authenticator, courier_of, runtime.clock).sweep()
