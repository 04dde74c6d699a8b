"""Callbacks of jobs: the end of one that names a URL becomes a webhook's delivery.

The notice is stored with the message that tells of the end, and its delivery is made before that message is
marked as sent. A crash in between makes it once more, which changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.jobs.models import JobOutboxItem
    from shared.messaging.outbox import OutboxRepository
    from shared.webhooks.deliveries import DeliveryRepository
    from shared.webhooks.store import WebhookStore


@dataclass(frozen=True, slots=True)
class CallbackRepository:
    """Store of one tenant's job messages that makes the deliveries of those that tell of an end.

    Attributes:
        jobs: The stored jobs.
        deliveries: The tenant's deliveries.
        webhooks: The tenant's webhooks.
    """

    jobs: OutboxRepository[JobOutboxItem]
    deliveries: DeliveryRepository
    webhooks: WebhookStore

    async def pending(self, limit: int) -> Sequence[JobOutboxItem]:
        """Return jobs whose message is due.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        return await self.jobs.pending(limit)

    async def mark_sent(self, entry: JobOutboxItem) -> None:
        """Make the delivery of a message's notice, if it has one; then note that the message was sent.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        message = entry.pending_message
        if message is not None and message.notice is not None:
            await self.deliveries.announce(message.notice, self.webhooks)
        await self.jobs.mark_sent(entry)
