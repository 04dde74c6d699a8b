"""Outbox: sends what is stored to be sent, at once, or by the sweeper after a crash.

A message is stored by the write that it announces, sent after it, and marked as sent after that. A crash in
between sends it once more, with the same id and body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.messaging.sender import MessageSender, OutgoingMessage
    from shared.tenancy.context import TenantContext

_AT_ONCE = 100
_logger = get_logger(__name__)


class OutboxRepository[Entry](Protocol):
    """Store of one tenant's messages, each within an entry of its own kind."""

    async def pending(self, limit: int) -> Sequence[Entry]:
        """Return entries whose message is due, and that nobody else is about to send.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        ...

    async def mark_sent(self, entry: Entry) -> None:
        """Note that an entry's message is with the broker.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        ...


class Outbox[Entry]:
    """The messages of one tenant that are stored to be sent.

    Args:
        tenant: The tenant.
        repository: The stored entries.
        address: Returns an entry's queue and message, or None where it has nothing to send.
        sender: The way to the broker.
    """

    def __init__(
        self,
        tenant: TenantContext,
        repository: OutboxRepository[Entry],
        address: Callable[[Entry], tuple[str, OutgoingMessage] | None],
        sender: MessageSender,
    ) -> None:
        self._tenant = tenant
        self._repository = repository
        self._address = address
        self._sender = sender

    async def send(self, entry: Entry) -> bool:
        """Send an entry's message, and note that; tell whether there was one.

        Raises:
            DependencyUnavailableError: The broker or the store is down; the message stays pending.
            DependencyTimeoutError: One of them did not answer in time; the message stays pending.
        """
        addressed = self._address(entry)
        if addressed is None:
            return False
        queue, message = addressed
        await self._sender.send(self._tenant, queue, message)
        await self._repository.mark_sent(entry)
        return True

    async def sweep(self) -> int:
        """Send what is pending; tell how many messages. One that fails does not keep the others.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        sent = 0
        for entry in await self._repository.pending(_AT_ONCE):
            try:
                sent += await self.send(entry)
            except APIError as error:
                _logger.warning("A pending message could not be sent", extra={"error": type(error).__name__})
        return sent
