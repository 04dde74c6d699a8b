"""`MessageLink` on azure-servicebus. Imported when first used."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusReceiveMode

from shared.errors import DependencyUnavailableError
from shared.messaging.listener import LockedDelivery, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from datetime import datetime

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

    from shared.messaging.listener import DeliveryEnd

OPEN_SECONDS = 30.0
"""Opening takes the SDK half a second, and an identity's first token some."""

_CALL_SECONDS = 10.0
_MOST_DESCRIPTION = 1_000


@dataclass(frozen=True, slots=True)
class SdkDelivery:
    """A message of the SDK's as the queue edge reads it.

    Attributes:
        message: The message.
    """

    message: ServiceBusReceivedMessage

    @property
    def message_id(self) -> str | None:
        """The message's id."""
        return self.message.message_id

    @property
    def session_id(self) -> str | None:
        """The session that it came in."""
        return self.message.session_id

    @property
    def delivery_count(self) -> int | None:
        """How many deliveries there were with this one; on the wire those before it are counted."""
        return (self.message.delivery_count or 0) + 1

    @property
    def dead_letter_reason(self) -> str | None:
        """Why the broker gave it up."""
        return self.message.dead_letter_reason

    @property
    def application_properties(self) -> Mapping[str, Any]:
        """What the sender put beside the body."""
        return cast("Mapping[str, Any]", self.message.application_properties or {})

    @property
    def locked_until(self) -> datetime | None:
        """When its lock ends."""
        return self.message.locked_until_utc

    def get_body(self) -> bytes:
        """Return the body; what is no data, and so no text, is empty."""
        body = self.message.body
        if isinstance(body, bytes):
            return body
        parts = list(body) if not isinstance(body, dict | str | int | float) and body is not None else []
        return b"".join(part for part in parts if isinstance(part, bytes))


class SdkLink:
    """An open receiver of the SDK's."""

    def __init__(self, receiver: ServiceBusReceiver) -> None:
        self._receiver = receiver

    async def receive(self, most: int, seconds: float) -> Sequence[SdkDelivery]:
        """Wait for messages and return them, or none after some seconds.

        Raises:
            DependencyUnavailableError: The link is broken.
        """
        with _broken_links():
            async with asyncio.timeout(seconds + _CALL_SECONDS):
                received = await self._receiver.receive_messages(most, seconds)
        return [SdkDelivery(message) for message in received]

    async def settle(self, delivery: LockedDelivery, end: DeliveryEnd) -> None:
        """Tell the broker what becomes of a message.

        Raises:
            DependencyUnavailableError: The link is broken, or the lock is lost.
        """
        message = _sdk(delivery)
        with _broken_links():
            async with asyncio.timeout(_CALL_SECONDS):
                match end.outcome:
                    case Outcome.COMPLETE:
                        await self._receiver.complete_message(message)
                    case Outcome.ABANDON:
                        await self._receiver.abandon_message(message)
                    case Outcome.DEAD_LETTER:
                        description = end.description[:_MOST_DESCRIPTION]
                        await self._receiver.dead_letter_message(
                            message, reason=end.reason, error_description=description
                        )

    async def renew(self, delivery: LockedDelivery) -> datetime:
        """Renew a message's lock; return when it ends.

        Raises:
            DependencyUnavailableError: The link is broken, or the lock is lost.
        """
        with _broken_links():
            async with asyncio.timeout(_CALL_SECONDS):
                return await self._receiver.renew_message_lock(_sdk(delivery))


@asynccontextmanager
async def open_link(client: ServiceBusClient, queue: str) -> AsyncIterator[SdkLink]:
    """Open a link to a queue without sessions, and close it after the block.

    Raises:
        DependencyUnavailableError: The broker does not answer, or does not know the queue.
    """
    receiver = client.get_queue_receiver(queue, receive_mode=ServiceBusReceiveMode.PEEK_LOCK)
    try:
        with _broken_links():
            async with asyncio.timeout(OPEN_SECONDS):
                await receiver.__aenter__()
        yield SdkLink(receiver)
    finally:
        with suppress(AzureError, OSError, TimeoutError):  # how the link was used matters, not how it ends
            async with asyncio.timeout(_CALL_SECONDS):
                await receiver.close()


def _sdk(delivery: LockedDelivery) -> ServiceBusReceivedMessage:
    return cast("SdkDelivery", delivery).message


@contextmanager
def _broken_links() -> Iterator[None]:
    try:
        yield
    except (AzureError, OSError, TimeoutError) as error:
        raise DependencyUnavailableError("Service Bus", f"failed with {type(error).__name__}") from error
