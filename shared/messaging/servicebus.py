"""`MessageSender` on azure-servicebus, behind the one retry layer. Imported when first used."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
)

from shared.errors import DependencyUnavailableError, PayloadTooLargeError
from shared.resilience.policy import Policy, Transient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusSender

    from shared.messaging.sender import OutgoingMessage
    from shared.resilience.dependency import Dependency
    from shared.tenancy.context import TenantContext

_REFUSALS = (
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusQuotaExceededError,
)
"""What the broker answers the same at once again; only the deployment, or time, changes it."""

POLICY = Policy(attempt_seconds=10, total_seconds=25, backoff_seconds=0.2)
"""Opening a link takes the SDK half a second, so an attempt gets more time than one of the store's."""


def open_client(
    connection_string: str | None, namespace: str | None, credential: AsyncTokenCredential | None
) -> ServiceBusClient:
    """Open a client whose own retries are off.

    Raises:
        ValueError: Neither a connection string nor a namespace with a credential is given.
    """
    if connection_string is not None:
        return ServiceBusClient.from_connection_string(connection_string, retry_total=0)
    if namespace is None or credential is None:
        raise ValueError("a namespace and a credential, or a connection string")
    return ServiceBusClient(namespace, credential, retry_total=0)


def classify(error: BaseException) -> Transient | None:
    """Tell which failures of Service Bus another attempt may cure."""
    if isinstance(error, _REFUSALS):
        return None
    return Transient() if isinstance(error, ServiceBusError | ConnectionError | OSError) else None


class SdkSender:
    """Senders of one namespace: one link per queue, kept open, opened anew after a failure."""

    def __init__(self, client: ServiceBusClient, dependency: Dependency) -> None:
        self._client = client
        self._dependency = dependency
        self._senders: dict[str, ServiceBusSender] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        """Send one message.

        Raises:
            PayloadTooLargeError: The queue takes no message of this size.
            DependencyUnavailableError: The broker does not take it now.
            DependencyTimeoutError: The broker did not answer in time.
        """
        outgoing = ServiceBusMessage(
            message.body,
            message_id=message.message_id,
            session_id=message.session_id,
            scheduled_enqueue_time_utc=message.not_before,
            content_type="application/json",
            application_properties={"tenant_id": tenant.tenant_id},
        )
        await self._call(lambda: self._send(queue, outgoing))

    async def check(self, queue: str) -> None:
        """Open the queue's link, which proves that the broker answers.

        Raises:
            DependencyUnavailableError: It does not, or does not know the queue.
            DependencyTimeoutError: It did not answer in time.
        """
        await self._call(lambda: self._ensure_open(queue))

    async def close(self) -> None:
        """Close the links, then the connection."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            for sender in self._senders.values():
                stack.push_async_callback(sender.close)
        self._senders.clear()

    async def _call(self, attempt: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._dependency.call(attempt)
        except MessageSizeExceededError as error:
            raise PayloadTooLargeError("The message is larger than the queue takes") from error
        except ServiceBusError as error:
            reason = f"refused with {type(error).__name__}"
            raise DependencyUnavailableError(self._dependency.name, reason) from error

    async def _send(self, queue: str, message: ServiceBusMessage) -> None:
        # The SDK's sender is not made for sends side by side; one link sends in turn.
        async with self._locks.setdefault(queue, asyncio.Lock()):
            sender = await self._open(queue)
            try:
                await sender.send_messages(message)
            except (ServiceBusError, OSError, asyncio.CancelledError):
                await self._drop(queue)
                raise

    async def _ensure_open(self, queue: str) -> None:
        async with self._locks.setdefault(queue, asyncio.Lock()):
            await self._open(queue)

    async def _open(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            sender = self._client.get_queue_sender(queue)
            async with AsyncExitStack() as opening:
                opening.push_async_callback(sender.close)
                await sender.__aenter__()
                opening.pop_all()
            self._senders[queue] = sender
        return self._senders[queue]

    async def _drop(self, queue: str) -> None:
        """Forget a link that failed; a new one is opened for the next message."""
        sender = self._senders.pop(queue, None)
        if sender is not None:
            with suppress(ServiceBusError, OSError):  # how the message failed matters, not how its link ends
                await sender.close()
