"""Messages that are refused for good, kept with their reason: nothing is lost, and one store knows them."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING

from shared.cosmos.partition import Partition, StoredItem
from shared.tenancy.context import TENANT_ID_PATTERN
from shared.tenancy.owned_data import UNATTRIBUTED

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

_TENANT_ID = re.compile(TENANT_ID_PATTERN)
_LONGEST_BODY_BYTES = 300_000
"""More than Service Bus Standard takes, and few enough that an item holds them however they are escaped."""

_LONGEST_DETAIL_BYTES = 10_000
"""A body can hold so many mistakes that naming them all takes more than an item."""


class QuarantinedMessage(StoredItem):
    """One refused message.

    Attributes:
        body: What the queue had, as text.
        is_cut: Whether only the body's beginning is kept.
        named: Which tenant the message names, whether or not there is such a tenant: a purge goes by it.
    """

    queue: str
    message_id: str
    reason: str
    detail: str
    body: str
    is_cut: bool
    named: str | None = None
    quarantined_at: datetime


class Quarantine:
    """The quarantine container: a tenant's own, and the platform's for what names no known tenant."""

    def __init__(self, container: Container, clock: Clock) -> None:
        self._container = container
        self._clock = clock

    async def put(self, tenant: TenantContext | None, refused: Refused) -> QuarantinedMessage:
        """Keep a message; the same one again is the same entry.

        Raises:
            DependencyUnavailableError: The store does not take it; the message must stay in its queue.
        """
        if tenant is None:
            partition = Partition.of_platform(self._container, UNATTRIBUTED)
        else:
            partition = Partition.of(tenant, self._container)
        body = _cut(refused.body, _LONGEST_BODY_BYTES)
        return await partition.upsert(
            QuarantinedMessage(
                id=refused.entry_id(),
                queue=refused.queue,
                message_id=refused.message_id,
                reason=refused.reason,
                detail=_cut(refused.detail, _LONGEST_DETAIL_BYTES),
                body=body,
                is_cut=body != refused.body,
                named=refused.named_tenant(),
                quarantined_at=self._clock.now(),
            )
        )


class Refused:
    """A message as it was taken from its queue, and why it was refused."""

    __slots__ = ("body", "detail", "message_id", "queue", "reason")

    def __init__(self, queue: str, message_id: str, body: bytes, error: Exception) -> None:
        self.queue = queue
        self.message_id = message_id
        self.body = body.decode("utf-8", errors="replace")
        self.reason = type(error).__name__
        self.detail = str(error)

    def named_tenant(self) -> str | None:
        """Read which tenant the message names, if that can be read at all."""
        try:
            message = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        named = message.get("tenant_id") if isinstance(message, dict) else None
        return named if isinstance(named, str) and _TENANT_ID.fullmatch(named) else None

    def entry_id(self) -> str:
        """Derive the entry's id, so that a redelivery makes no second entry."""
        digest = hashlib.sha256(f"{self.queue}\n{self.message_id}\n{self.body}".encode()).hexdigest()
        return f"{self.queue}:{digest[:32]}"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")
