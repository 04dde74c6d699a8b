"""Sender of messages: the protocol that each broker's client is behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from shared.tenancy.context import TenantContext


MAX_BODY_BYTES = 200_000
"""The largest body that is sent: Service Bus Standard takes 256 KB with all properties."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message.

    Attributes:
        message_id: The broker's id of it: the tenant's and the body's `id`.
        body: JSON in UTF-8.
        session_id: The session, for queues that require one.
        not_before: The time before which the broker does not deliver it; None for at once.
    """

    message_id: str
    body: bytes
    session_id: str | None = None
    not_before: datetime | None = None


class MessageSender(Protocol):
    """Sends messages; what returns without an error is stored by the broker."""

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        """Send one message; sent twice, it may arrive twice.

        Raises:
            PayloadTooLargeError: The queue takes no message of this size.
            DependencyUnavailableError: The broker does not take it now.
            DependencyTimeoutError: The broker did not answer in time.
        """
        ...
