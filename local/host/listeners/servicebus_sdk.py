"""The Service Bus receivers of the Azure SDK behind the listener's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceiveMode
from azure.servicebus.exceptions import OperationTimeoutError

from local.host.bindings import Queue
from local.host.listeners.servicebus import NoSessionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

    from local.host.bindings import ServiceBusTrigger
    from local.host.listeners.servicebus_messages import ReceivedMessage

_ACCEPT_SECONDS = 60.0


class SdkReceiver:
    """One receiver of the SDK, opened when it is entered."""

    def __init__(self, client: ServiceBusClient, trigger: ServiceBusTrigger, prefetch_count: int) -> None:
        options: dict[str, Any] = {
            "receive_mode": ServiceBusReceiveMode.PEEK_LOCK,
            "prefetch_count": prefetch_count,
        }
        if trigger.sessions:
            options |= {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": _ACCEPT_SECONDS}
        source = trigger.source
        self._has_session = trigger.sessions
        self._receiver: ServiceBusReceiver = (
            client.get_queue_receiver(source.name, **options)
            if isinstance(source, Queue)
            else client.get_subscription_receiver(source.topic, source.name, **options)
        )

    async def __aenter__(self) -> Self:
        """Open the link."""
        try:
            await self._receiver.__aenter__()
        except OperationTimeoutError as error:
            await self._receiver.close()
            raise NoSessionError from error
        except BaseException:
            await self._receiver.close()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the link."""
        await self._receiver.close()

    async def receive(self, most: int, seconds: float) -> Sequence[ReceivedMessage]:
        """Wait for messages and return them, or none after `seconds`."""
        return await self._receiver.receive_messages(max_message_count=most, max_wait_time=seconds)

    async def complete(self, message: ReceivedMessage) -> None:
        """Remove a message."""
        await self._receiver.complete_message(_sdk(message))

    async def abandon(self, message: ReceivedMessage) -> None:
        """Give a message back."""
        await self._receiver.abandon_message(_sdk(message))

    async def renew(self, message: ReceivedMessage) -> datetime:
        """Renew the lock of a message, or that of the session, and return until when."""
        if self._has_session:
            return await self._receiver.session.renew_lock()
        return await self._receiver.renew_message_lock(_sdk(message))

    def locked_until(self, message: ReceivedMessage) -> datetime | None:
        """Return when the lock that covers a message ends."""
        return self._receiver.session.locked_until_utc if self._has_session else message.locked_until_utc


def _sdk(message: ReceivedMessage) -> ServiceBusReceivedMessage:
    return cast("ServiceBusReceivedMessage", message)
