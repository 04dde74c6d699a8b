"""Courier: delivers what is due to one tenant's webhooks, within a bounded time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from functions.webhooks.signing import write_signature
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side
from shared.version import VERSION
from shared.webhooks.deliveries import public_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from functions.webhooks.signing import SecretBox
    from shared.clock import Clock
    from shared.tenancy.context import TenantContext
    from shared.webhooks.deliveries import AttemptOutcome, DeliveryRepository
    from shared.webhooks.models import DeliveryItem, StoredWebhook, WebhooksItem
    from shared.webhooks.store import WebhookStore

ROUND_SECONDS = 20.0
"""After this, no attempt of a tenant's is begun in a round: the other tenants' deliveries wait for it."""

_AT_ONCE = 4
_MOST_OF_A_ROUND = 50
_logger = get_logger(__name__)


class PostsNotices(Protocol):
    """Way to the receivers."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AttemptOutcome:
        """Send a body once."""
        ...


@dataclass(frozen=True, slots=True)
class Courier:
    """Delivers to one tenant's webhooks.

    Attributes:
        tenant: The tenant.
        webhooks: Its webhooks.
        deliveries: What is to be delivered.
        box: Decrypts the signing secrets.
        open_receivers: Opens the way to the receivers.
        clock: Dates signatures, and bounds a round.
    """

    tenant: TenantContext
    webhooks: WebhookStore
    deliveries: DeliveryRepository
    box: SecretBox
    open_receivers: Callable[[], AbstractAsyncContextManager[PostsNotices]]
    clock: Clock

    async def sweep(self) -> int:
        """Deliver what is due; tell how much was taken. A receiver that fails keeps no other one waiting.

        Raises:
            DependencyUnavailableError: The store is down.
            ConfigurationError: The secrets cannot be decrypted.
        """
        known = await self.webhooks.read()
        ends_at = self.clock.monotonic() + ROUND_SECONDS
        rounds = (self._serve(known, webhook_id, ends_at) for webhook_id in known.hooks)
        return sum(await side_by_side(rounds, at_once=_AT_ONCE))

    async def _serve(self, known: WebhooksItem, webhook_id: str, ends_at: float) -> int:
        """Deliver to one webhook in order, up to the first failure: the rest is the next round's."""
        due = await self.deliveries.due(webhook_id, _MOST_OF_A_ROUND)
        if not due:
            return 0
        signing = self._open_secrets(known, webhook_id)
        taken = 0
        async with self.open_receivers() as receivers:
            for delivery in due:
                if self.clock.monotonic() >= ends_at:
                    break
                claimed = await self.deliveries.claim(delivery)
                if claimed is None:
                    continue
                outcome = await self._attempt(receivers, known.hooks[webhook_id], claimed, signing)
                await self.deliveries.record(claimed, outcome)
                if outcome.problem is not None:
                    _log_failure(claimed, outcome)
                    break
                taken += 1
        return taken

    async def _attempt(
        self,
        receivers: PostsNotices,
        hook: StoredWebhook,
        delivery: DeliveryItem,
        signing: Sequence[str],
    ) -> AttemptOutcome:
        body = self._write_body(delivery)
        headers = {
            "content-type": "application/json",
            "user-agent": f"tenantry/{VERSION}",
            "x-tenantry-delivery": public_id(delivery),
            "x-tenantry-event": delivery.notice.event,
            "x-tenantry-signature": write_signature(signing, int(self.clock.now().timestamp()), body),
        }
        return await receivers.post(hook.url, body, headers)

    def _open_secrets(self, known: WebhooksItem, webhook_id: str) -> list[str]:
        now = self.clock.now()
        return [
            self.box.open(secret.sealed, self.tenant.tenant_id, webhook_id)
            for secret in known.secrets.get(webhook_id, ())
            if secret.works_at(now)
        ]

    def _write_body(self, delivery: DeliveryItem) -> bytes:
        """Return the body: the same bytes at each attempt, and no text of the job's."""
        notice = delivery.notice
        told = {
            "delivery_id": public_id(delivery),
            "event": notice.event,
            "tenant_id": self.tenant.tenant_id,
            "job_id": notice.job_id,
            "task_id": notice.task_id,
            "status": notice.status,
            "status_url": notice.status_url,
            "created_at": delivery.created_at.isoformat(),
        }
        return json.dumps(told, separators=(",", ":")).encode()


def _log_failure(delivery: DeliveryItem, outcome: AttemptOutcome) -> None:
    facts = {
        "webhook_id": delivery.webhook_id,
        "delivery_id": public_id(delivery),
        "attempts": delivery.attempts,
        "status_code": outcome.status_code,
        "problem": outcome.problem,
    }
    _logger.warning("A webhook has not taken a notice", extra=facts)
