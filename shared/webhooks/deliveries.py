"""Deliveries in Cosmos: made once for each job that ends, tried until they are taken or given up."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.cosmos.container import ItemChangedError, ItemNotFoundError, Patch, PatchOperation
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition
from shared.logging.logger import get_logger
from shared.webhooks.models import DeliveryItem, DeliveryStatus
from shared.webhooks.store import find_by_url

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.errors import JsonValue
    from shared.tenancy.context import TenantContext
    from shared.webhooks.models import CompletionNotice
    from shared.webhooks.store import WebhookStore

BACKOFF_SECONDS = (30, 120, 600, 1_800, 7_200, 21_600, 43_200)
"""The wait after each attempt that fails: 8 attempts over 21 hours."""

MOST_ATTEMPTS = len(BACKOFF_SECONDS) + 1

LONGEST_RETRY_AFTER = 3_600.0
"""The longest wait that a receiver's Retry-After may ask for, in seconds."""

_PREFIX = "delivery:"
_SPREAD = 0.1
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """Outcome of one attempt.

    Attributes:
        status_code: The HTTP status of the answer; None where there was none.
        problem: The failure; None where the receiver has taken the notice.
        is_final: Whether no other attempt may help.
        retry_after: Seconds that the receiver asked for.
    """

    status_code: int | None = None
    problem: str | None = None
    is_final: bool = False
    retry_after: float | None = None


class DeliveryRepository:
    """The deliveries of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._own = Partition.of(tenant, container)
        self._clock = clock

    async def announce(self, notice: CompletionNotice, webhooks: WebhookStore) -> None:
        """Make the delivery of a notice, once however often it is announced.

        A URL that is on the tenant's list no more, or whose webhook leaves this event out, is told nothing.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        listed = await webhooks.read()
        webhook_id = find_by_url(listed, notice.url)
        if webhook_id is None or notice.event not in listed.hooks[webhook_id].events:
            facts = {"job_id": notice.job_id, "event": notice.event}
            _logger.info("No webhook is told of a job's end", extra=facts)
            return
        now = self._clock.now()
        delivery_id = hashlib.sha256(f"{notice.job_id}\0{notice.event}".encode()).hexdigest()[:32]
        item = DeliveryItem(
            id=f"{_PREFIX}{delivery_id}",
            webhook_id=webhook_id,
            notice=notice,
            place=f"{now.isoformat()}|{delivery_id}",
            due_at=now.timestamp(),
            created_at=now,
            updated_at=now,
        )
        await self._own.create_or_read(item)

    async def page(self, webhook_id: str, before: str | None, limit: int) -> list[DeliveryItem]:
        """Return deliveries to one webhook, the newest first, before a place."""
        page = KeysetPage(
            limit,
            before,
            by="place",
            descending=True,
            where="c.webhook_id = @webhook",
            parameters={"@webhook": webhook_id},
        )
        return await self._own.read_page(DeliveryItem, page)

    async def due(self, webhook_id: str, limit: int) -> list[DeliveryItem]:
        """Return deliveries to one webhook that may be tried now, the oldest first."""
        page = KeysetPage(
            limit,
            by="place",
            where="c.webhook_id = @webhook AND c.is_pending = true AND c.due_at <= @now",
            parameters={"@webhook": webhook_id, "@now": self._clock.now().timestamp()},
        )
        return await self._own.read_page(DeliveryItem, page)

    async def claim(self, delivery: DeliveryItem) -> DeliveryItem | None:
        """Count an attempt before it is made; None where somebody else makes it.

        The next one is set to its time at once: a crash during this one is an attempt that failed.
        """
        waited = BACKOFF_SECONDS[min(delivery.attempts, len(BACKOFF_SECONDS) - 1)]
        seed = f"{delivery.id}{delivery.attempts}".encode()
        wait = waited * (1 + _SPREAD * zlib.crc32(seed) / 2**32)
        due_at = self._clock.now().timestamp() + wait
        return await self._patch(delivery, {"attempts": delivery.attempts + 1, "due_at": due_at})

    async def record(self, delivery: DeliveryItem, outcome: AttemptOutcome) -> None:
        """Note the outcome of an attempt: taken, to be tried again, or given up."""
        is_taken = outcome.problem is None
        changes: dict[str, JsonValue] = {"status_code": outcome.status_code, "problem": outcome.problem}
        if is_taken or outcome.is_final or delivery.attempts >= MOST_ATTEMPTS:
            status = DeliveryStatus.DELIVERED if is_taken else DeliveryStatus.FAILED
            changes |= {"is_pending": False, "status": status}
        else:
            wait = min(outcome.retry_after or 0.0, LONGEST_RETRY_AFTER)
            changes["due_at"] = max(delivery.due_at, self._clock.now().timestamp() + wait)
        await self._patch(delivery, changes)

    async def _patch(self, delivery: DeliveryItem, changes: dict[str, JsonValue]) -> DeliveryItem | None:
        dated = changes | {"updated_at": self._clock.now().isoformat()}
        steps = tuple(PatchOperation("set", f"/{name}", value) for name, value in dated.items())
        try:
            return await self._own.patch(DeliveryItem, delivery.id, Patch(steps, etag=delivery.etag))
        except (ItemChangedError, ItemNotFoundError):
            return None


def public_id(delivery: DeliveryItem) -> str:
    """Return the id by which receivers and administrators know a delivery."""
    return delivery.id.removeprefix(_PREFIX)
