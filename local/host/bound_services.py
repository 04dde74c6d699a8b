"""The services that bindings read and write: a protocol, and its implementation on the Azure SDKs."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from typing import TYPE_CHECKING, Any, Protocol

from local.host.invocation import Json

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
    from azure.storage.blob.aio import BlobServiceClient

    from local.host.bindings import BlobBinding, ServiceBusOutput
    from local.host.invocation import Value
    from local.host.settings import Connection, Settings


class BoundServices(Protocol):
    """Services behind input and output bindings."""

    async def read_blob(self, binding: BlobBinding, path: str) -> Value:
        """Return a blob's content, or None where there is no such blob."""
        ...

    async def write_blob(self, binding: BlobBinding, path: str, value: Value) -> None:
        """Replace a blob."""
        ...

    async def send(self, binding: ServiceBusOutput, value: Value) -> None:
        """Send one message, or one for each element of a JSON array."""
        ...


class AzureClients:
    """SDK clients by connection name, opened when first needed and shared by triggers and bindings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servicebus: dict[str, ServiceBusClient] = {}
        self._blobs: dict[str, BlobServiceClient] = {}
        self._senders: dict[tuple[str, str], tuple[ServiceBusSender, asyncio.Lock]] = {}
        self._credential: Any = None

    def servicebus(self, name: str) -> ServiceBusClient:
        """Return the client of a Service Bus connection.

        Raises:
            SettingError: No setting names the connection.
        """
        if name not in self._servicebus:
            from azure.servicebus.aio import ServiceBusClient  # noqa: PLC0415 -- 0.2 s that many apps need not pay

            connection = self._settings.servicebus(name)
            if connection.connection_string is not None:
                client = ServiceBusClient.from_connection_string(
                    connection.connection_string, ssl_context=unused_tls_context(connection.connection_string)
                )
            else:
                client = ServiceBusClient(_address(connection), self._identity())
            self._servicebus[name] = client
        return self._servicebus[name]

    def blobs(self, name: str) -> BlobServiceClient:
        """Return the client of a storage connection.

        Raises:
            SettingError: No setting names the connection.
        """
        if name not in self._blobs:
            from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415 -- 0.3 s, same

            connection = self._settings.blobs(name)
            if connection.connection_string is not None:
                client = BlobServiceClient.from_connection_string(connection.connection_string)
            else:
                client = BlobServiceClient(_address(connection), self._identity())
            self._blobs[name] = client
        return self._blobs[name]

    async def read_blob(self, binding: BlobBinding, path: str) -> Value:
        """Return a blob's content, or None where there is no such blob."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 -- with the client

        container, _, name = path.partition("/")
        client = self.blobs(binding.connection).get_blob_client(container, name)
        try:
            download = await client.download_blob()
            content = await download.readall()
        except ResourceNotFoundError:
            return None
        return content.decode("utf-8", "replace") if binding.text else content

    async def write_blob(self, binding: BlobBinding, path: str, value: Value) -> None:
        """Replace a blob; its container is made if it is not there."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 -- with the client

        container, _, name = path.partition("/")
        service = self.blobs(binding.connection)
        content = _blob_content(value)
        try:
            await service.get_blob_client(container, name).upload_blob(content, overwrite=True)
        except ResourceNotFoundError:
            await service.get_container_client(container).create_container()
            await service.get_blob_client(container, name).upload_blob(content, overwrite=True)

    async def send(self, binding: ServiceBusOutput, value: Value) -> None:
        """Send one message, or one for each element of a JSON array."""
        key = (binding.connection, binding.entity)
        if key not in self._senders:
            client = self.servicebus(binding.connection)
            # A topic's sender is opened like a queue's: both are an address.
            self._senders[key] = (client.get_queue_sender(binding.entity), asyncio.Lock())
        sender, lock = self._senders[key]
        async with lock:  # a sender is one AMQP link; it is not made for several tasks at once
            for message in _messages(value):
                await sender.send_messages(message)

    async def close(self) -> None:
        """Close all that was opened."""
        for sender, _ in self._senders.values():
            await sender.close()
        for servicebus in self._servicebus.values():
            await servicebus.close()
        for blobs in self._blobs.values():
            await blobs.close()
        if self._credential is not None:
            await self._credential.close()

    def _identity(self) -> Any:  # noqa: ANN401 -- the SDKs take different credential protocols; this one is all of them
        if self._credential is None:
            from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 -- 0.3 s, only without a secret

            self._credential = DefaultAzureCredential()
        return self._credential


def unused_tls_context(connection_string: str) -> ssl.SSLContext | None:
    """Return a context that trusts nobody for the emulator, which speaks no TLS; None elsewhere.

    The SDK makes one for each link, TLS or not, and to read all authorities takes 25 ms each time: with 64
    links that wait for a session, 2 s of CPU at the start and in every minute.
    """
    emulator = re.search(r"(?i:;UseDevelopmentEmulator)=true(;|$)", connection_string)
    return None if emulator is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _address(connection: Connection) -> str:
    if connection.address is None:
        raise ValueError("a connection has a connection string or an address")
    return connection.address


def _blob_content(value: Value) -> bytes | str:
    match value:
        case str() | bytes():
            return value
        case Json():
            return value.text
        case int() | float():
            return str(value)
        case _:
            raise TypeError(f"cannot write a {type(value).__name__} to a blob")


def _messages(value: Value) -> list[ServiceBusMessage]:
    from azure.servicebus import ServiceBusMessage  # noqa: PLC0415 -- with the client

    match value:
        case str():
            return [ServiceBusMessage(value, content_type="text/plain")]
        case bytes():
            return [ServiceBusMessage(value, content_type="application/octet-stream")]
        case Json():
            content = json.loads(value.text)
            elements = content if isinstance(content, list) else [content]
            return [
                ServiceBusMessage(element, content_type="text/plain")
                if isinstance(element, str)
                else ServiceBusMessage(json.dumps(element), content_type="application/json")
                for element in elements
            ]
        case int() | float():
            return [ServiceBusMessage(str(value), content_type="application/json")]
        case _:
            raise TypeError(f"cannot send a {type(value).__name__} as a message")
