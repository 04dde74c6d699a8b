"""Sending: what the app asks of a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shared.tenancy.context import TenantContext


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message.

    Attributes:
        message_id: The body's `id`.
        body: JSON in UTF-8.
        session_id: The session, for queues that require one.
    """

    message_id: str
    body: bytes
    session_id: str | None = None


class MessageSender(Protocol):
    """Sends messages; what returns without an error is stored by the broker."""

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        """Send one message; sent twice, it may arrive twice.

        Raises:
            DependencyUnavailableError: The broker does not take it now.
            DependencyTimeoutError: The broker did not answer in time.
        """
        ...
