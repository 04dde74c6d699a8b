"""Add, show, rotate and remove a tenant's webhooks, and show what was delivered to them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from functions.webhooks.addresses import find_url_problem
from functions.webhooks.models import DeliveryReply, WebhookReply, WebhookSummary
from functions.webhooks.signing import generate_secret
from shared.http.paging import ListReply, cut_page
from shared.tenancy.audit import AuditAction
from shared.validation import refused_field
from shared.webhooks.deliveries import public_id
from shared.webhooks.models import SealedSecret, StoredWebhook
from shared.webhooks.store import WebhookNotFoundError

if TYPE_CHECKING:
    from functions.webhooks.models import (
        CreateWebhookRequest,
        DeliveryQuery,
        RotateWebhookRequest,
        WebhookQuery,
    )
    from functions.webhooks.signing import SecretBox
    from shared.clock import Clock
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import TenantContext
    from shared.webhooks.deliveries import DeliveryRepository
    from shared.webhooks.models import DeliveryItem, WebhooksItem
    from shared.webhooks.store import WebhookStore


@dataclass(frozen=True, slots=True)
class WebhookService:
    """One tenant's webhooks, as its administrators see them.

    Attributes:
        tenant: The tenant.
        webhooks: Its webhooks.
        deliveries: What was delivered to them.
        box: Encrypts the signing secrets.
        audit: Where it is kept who did what.
        clock: Dates what is made.
        allow_loopback: Whether a webhook may lead to this machine: for tests.
    """

    tenant: TenantContext
    webhooks: WebhookStore
    deliveries: DeliveryRepository
    box: SecretBox
    audit: AuditTrail
    clock: Clock
    allow_loopback: bool

    async def create(self, request: CreateWebhookRequest) -> WebhookReply:
        """Add a webhook, and show its secret this once.

        Raises:
            ValidationError: The URL leads where webhooks may not lead.
            WebhookExistsError: There is one of this URL.
            TooManyWebhooksError: There are as many as there may be.
            ConfigurationError: There is no key to encrypt the secret with.
        """
        problem = find_url_problem(request.url, allow_loopback=self.allow_loopback)
        if problem is not None:
            raise refused_field("body.url", problem)
        webhook_id, secret = uuid.uuid4().hex, generate_secret()
        sealed = self._seal(secret, webhook_id)
        events = list(dict.fromkeys(request.events))
        hook = StoredWebhook(url=request.url, events=events, created_at=self.clock.now())
        async with self.audit.recording(self.tenant, AuditAction.WEBHOOK_CREATE, webhook_id):
            await self.webhooks.add(webhook_id, hook, sealed)
        return _render_once(webhook_id, hook, secret, None)

    async def list(self, query: WebhookQuery) -> ListReply[WebhookSummary]:
        """Return one page of webhooks without their secrets, by id."""
        item = await self.webhooks.read()
        found = sorted(one for one in item.hooks if one > (query.cursor or ""))
        page = cut_page(found[: query.fetch_limit], query.limit, str)
        return ListReply[WebhookSummary].of(page, lambda one: self._render(item, one))

    async def remove(self, webhook_id: str) -> None:
        """Remove a webhook: its deliveries end, and jobs may not name its URL any more.

        Raises:
            WebhookNotFoundError: The tenant has none of this id.
        """
        async with self.audit.recording(self.tenant, AuditAction.WEBHOOK_DELETE, webhook_id):
            await self.webhooks.remove(webhook_id)

    async def rotate(self, webhook_id: str, request: RotateWebhookRequest) -> WebhookReply:
        """Replace a webhook's secret, and show the new one this once; of the old ones the last goes on.

        Raises:
            WebhookNotFoundError: The tenant has none of this id.
            ConfigurationError: There is no key to encrypt the secret with.
        """
        item, now = await self.webhooks.read(), self.clock.now()
        old = _find(item, webhook_id)
        secret = generate_secret()
        ends_at = now + timedelta(seconds=request.overlap_seconds)
        kept = [
            one.model_copy(update={"ends_at": ends_at})
            for one in item.secrets.get(webhook_id, ())
            if one.ends_at is None and request.overlap_seconds
        ]
        hook = old.model_copy(update={"rotated_at": now})
        async with self.audit.recording(self.tenant, AuditAction.WEBHOOK_ROTATE, webhook_id):
            secrets = [self._seal(secret, webhook_id), *kept]
            await self.webhooks.replace_secret(webhook_id, hook, secrets)
        return _render_once(webhook_id, hook, secret, ends_at if kept else None)

    async def list_deliveries(self, webhook_id: str, query: DeliveryQuery) -> ListReply[DeliveryReply]:
        """Return one page of a webhook's deliveries, the newest first.

        Raises:
            WebhookNotFoundError: The tenant has none of this id.
        """
        _find(await self.webhooks.read(), webhook_id)
        found = await self.deliveries.page(webhook_id, query.cursor, query.fetch_limit)
        page = cut_page(found, query.limit, lambda delivery: delivery.place)
        return ListReply[DeliveryReply].of(page, _render_delivery)

    def _seal(self, secret: str, webhook_id: str) -> SealedSecret:
        return SealedSecret(sealed=self.box.seal(secret, self.tenant.tenant_id, webhook_id))

    def _render(self, item: WebhooksItem, webhook_id: str) -> WebhookSummary:
        now = self.clock.now()
        ends = (one.ends_at for one in item.secrets.get(webhook_id, ()) if one.works_at(now))
        old_until = next((end for end in ends if end is not None), None)
        return _summarise(webhook_id, item.hooks[webhook_id], old_until)


def _find(item: WebhooksItem, webhook_id: str) -> StoredWebhook:
    if webhook_id not in item.hooks:
        raise WebhookNotFoundError(webhook_id)
    return item.hooks[webhook_id]


def _summarise(webhook_id: str, hook: StoredWebhook, old_until: datetime | None) -> WebhookSummary:
    return WebhookSummary(
        webhook_id=webhook_id,
        url=hook.url,
        events=hook.events,
        created_at=hook.created_at,
        rotated_at=hook.rotated_at,
        old_secret_until=old_until,
    )


def _render_once(
    webhook_id: str, hook: StoredWebhook, secret: str, old_until: datetime | None
) -> WebhookReply:
    return WebhookReply(**_summarise(webhook_id, hook, old_until).model_dump(), secret=secret)


def _render_delivery(delivery: DeliveryItem) -> DeliveryReply:
    next_at = datetime.fromtimestamp(delivery.due_at, UTC) if delivery.is_pending else None
    return DeliveryReply(
        delivery_id=public_id(delivery),
        event=delivery.notice.event,
        job_id=delivery.notice.job_id,
        status=delivery.status,
        attempts=delivery.attempts,
        status_code=delivery.status_code,
        problem=delivery.problem,
        next_attempt_at=next_at,
        created_at=delivery.created_at,
        updated_at=delivery.updated_at,
    )
