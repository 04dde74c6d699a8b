"""The Azure SDKs behind the host's protocols: what is passed to them, without a connection."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.servicebus.exceptions import OperationTimeoutError

from local.host.bindings import BlobBinding, Queue, ServiceBusOutput, ServiceBusTrigger, Subscription
from local.host.bound_services import AzureClients, unused_tls_context
from local.host.invocation import Json
from local.host.listeners.blob import BlobVersion
from local.host.listeners.blob_sdk import SdkBlobSource
from local.host.listeners.servicebus import NoSessionError
from local.host.listeners.servicebus_sdk import SdkReceiver
from local.host.settings import SettingError, Settings
from tests.unit_tests.local_host.fakes import START, FakeMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_BUS = "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
_VERSION = BlobVersion("c", "a", "1")


class _Link:
    """A receiver as the SDK has one."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.done: list[object] = []
        self.session = SimpleNamespace(locked_until_utc=START, renew_lock=self._renew)

    async def __aenter__(self) -> None:
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        self.done.append("closed")

    async def receive_messages(self, max_message_count: int, max_wait_time: float) -> list[object]:
        self.done.append((max_message_count, max_wait_time))
        return []

    async def complete_message(self, message: object) -> None:
        self.done.append(("complete", message))

    async def abandon_message(self, message: object) -> None:
        self.done.append(("abandon", message))

    async def renew_message_lock(self, _message: object) -> datetime:
        self.done.append("renewed a message")
        return START

    async def _renew(self) -> datetime:
        self.done.append("renewed a session")
        return START


class _BusClient:
    """A client that opens links."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self.asked: list[tuple[object, ...]] = []

    def get_queue_receiver(self, *names: str, **options: object) -> _Link:
        self.asked.append((*names, "session_id" in options))
        return self._link

    get_subscription_receiver = get_queue_receiver


async def test_a_receiver_of_a_queue_passes_on() -> None:
    link, message = _Link(), FakeMessage(locked_until_utc=START)
    client: Any = _BusClient(link)
    async with SdkReceiver(client, ServiceBusTrigger("m", Queue("q"), ""), 0) as receiver:
        assert await receiver.receive(3, 1.5) == []
        await receiver.complete(message)
        await receiver.abandon(message)
        assert await receiver.renew(message) == receiver.locked_until(message) == START
    assert client.asked == [("q", False)]
    assert link.done == [(3, 1.5), ("complete", message), ("abandon", message), "renewed a message", "closed"]


async def test_a_receiver_of_a_subscriptions_sessions_renews_the_session() -> None:
    link = _Link()
    client: Any = _BusClient(link)
    trigger = ServiceBusTrigger("m", Subscription("t", "s"), "", sessions=True)
    async with SdkReceiver(client, trigger, 0) as receiver:
        assert receiver.locked_until(FakeMessage()) == START
        await receiver.renew(FakeMessage())
    assert client.asked == [("t", "s", True)]
    assert link.done == ["renewed a session", "closed"]


async def test_no_free_session_is_told_apart_from_trouble() -> None:
    trigger = ServiceBusTrigger("m", Queue("q"), "", sessions=True)
    for error, expected in ((OperationTimeoutError(), NoSessionError), (ConnectionError(), ConnectionError)):
        link = _Link(error)
        client: Any = _BusClient(link)
        with pytest.raises(expected):
            await SdkReceiver(client, trigger, 0).__aenter__()
        assert link.done == ["closed"]


class _Account:
    """A storage account as the SDK has one; it is all of its clients."""

    url = "http://blobs/c/a"

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.uploaded: list[object] = []
        self.made: list[str] = []

    def get_container_client(self, container: str) -> _Account:
        self._container = container
        return self

    def get_blob_client(self, *_names: str) -> _Account:
        return self

    async def list_blobs(self, name_starts_with: str | None) -> AsyncIterator[object]:
        if self._error is not None:
            raise self._error
        assert name_starts_with in (None, "p/")
        yield SimpleNamespace(name="a", etag='"1"')

    async def download_blob(self, **conditions: object) -> _Account:
        if self._error is not None:
            raise self._error
        assert conditions.get("etag", "1") == "1"
        return self

    async def readall(self) -> bytes:
        return b"content"

    @property
    def properties(self) -> SimpleNamespace:
        return SimpleNamespace(
            content_settings=SimpleNamespace(content_type="text/plain", content_encoding=None),
            blob_type=SimpleNamespace(value="BlockBlob"),
            etag="1",
            last_modified=datetime(2026, 1, 1, tzinfo=UTC),
            creation_time=datetime(2026, 1, 1, tzinfo=UTC),
            metadata={"k": "v"},
        )

    async def get_blob_properties(self) -> SimpleNamespace:
        if self._error is not None:
            raise self._error
        return SimpleNamespace(etag='"1"')

    async def upload_blob(self, content: object, *, overwrite: bool) -> None:
        assert overwrite
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self.uploaded.append(content)

    async def create_container(self) -> None:
        self.made.append(self._container)

    async def close(self) -> None:
        self.uploaded.append("closed")


async def test_a_container_is_listed_and_a_version_read() -> None:
    account: Any = _Account()
    source = SdkBlobSource(account)
    assert [version async for version in source.list_blobs("c", "p/")] == [_VERSION]
    content = await source.read(_VERSION)
    assert content is not None
    assert content.content == b"content"
    assert '"ContentLength": 7' in content.properties_json
    assert content.metadata_json == '{"k": "v"}'
    assert await source.current("c", "a") == _VERSION


async def test_what_is_not_there_is_nothing() -> None:
    account: Any = _Account(ResourceNotFoundError())
    source = SdkBlobSource(account)
    assert [version async for version in source.list_blobs("c", "")] == []
    assert await source.current("c", "a") is None
    for error in (ResourceNotFoundError(), ResourceModifiedError()):
        changed: Any = _Account(error)
        assert await SdkBlobSource(changed).read(_VERSION) is None


class _Clients(AzureClients):
    """Clients that lead to an account in memory."""

    def __init__(self, account: _Account) -> None:
        super().__init__(Settings({}))
        self.account = account

    def blobs(self, name: str) -> Any:  # noqa: ANN401, ARG002 -- it stands in for the SDK's
        return self.account


async def test_blob_bindings_read_and_write() -> None:
    clients = _Clients(_Account())
    assert await clients.read_blob(BlobBinding("b", "", ""), "c/a") == b"content"
    assert await clients.read_blob(BlobBinding("b", "", "", text=True), "c/a") == "content"
    missing = _Clients(_Account(ResourceNotFoundError()))
    assert await missing.read_blob(BlobBinding("b", "", ""), "c/a") is None
    for value in ("text", b"raw", Json("{}"), 7):
        await missing.write_blob(BlobBinding("b", "", ""), "c/a", value)
    assert missing.account.made == ["c"]
    assert missing.account.uploaded == ["text", b"raw", "{}", "7"]
    with pytest.raises(TypeError):
        await missing.write_blob(BlobBinding("b", "", ""), "c/a", ["no"])


class _Sender:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str | None]] = []
        self.closed = False

    async def send_messages(self, message: Any) -> None:  # noqa: ANN401 -- the SDK's message
        self.sent.append((b"".join(message.body).decode(), message.content_type))

    async def close(self) -> None:
        self.closed = True


async def test_a_servicebus_output_sends_one_message_or_one_for_each_element() -> None:
    sender = _Sender()

    class Client:
        def get_queue_sender(self, entity: str) -> _Sender:
            assert entity == "q"
            return sender

        async def close(self) -> None: ...

    class Clients(AzureClients):
        def servicebus(self, name: str) -> Any:  # noqa: ANN401, ARG002 -- it stands in for the SDK's
            return Client()

    clients = Clients(Settings({}))
    output = ServiceBusOutput("o", "q", "")
    for value in ("text", b"raw", 7, Json('{"a": 1}'), Json('["x", 2]')):
        await clients.send(output, value)
    assert sender.sent == [
        ("text", "text/plain"),
        ("raw", "application/octet-stream"),
        ("7", "application/json"),
        ('{"a": 1}', "application/json"),
        ("x", "text/plain"),
        ("2", "application/json"),
    ]
    with pytest.raises(TypeError):
        await clients.send(output, ["no"])
    await clients.close()
    assert sender.closed


@pytest.mark.parametrize(
    ("connection_string", "trusts_nobody"),
    [
        (_BUS, True),
        (_BUS.rstrip(";"), True),
        (_BUS.replace("UseDevelopmentEmulator", "usedevelopmentemulator"), True),
        (_BUS.replace("true", "false"), False),
        (_BUS.replace("true", "True"), False),  # the SDK speaks TLS then
        (_BUS.replace("UseDevelopmentEmulator=true;", ""), False),
        ("Endpoint=sb://x;SharedAccessKeyName=NoUseDevelopmentEmulator=true;SharedAccessKey=k", False),
    ],
)
def test_only_links_without_tls_share_a_context_that_trusts_nobody(
    connection_string: str,
    trusts_nobody: bool,  # noqa: FBT001  # a case
) -> None:
    context = unused_tls_context(connection_string)
    assert (context is not None) == trusts_nobody
    if context is not None:
        assert context.cert_store_stats()["x509_ca"] == 0
        assert context.check_hostname


async def test_clients_are_opened_once_by_their_connection() -> None:
    clients = AzureClients(
        Settings(
            {
                "BUS": _BUS,
                "BUS2__fullyQualifiedNamespace": "n.servicebus.windows.net",
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                "S__blobServiceUri": "https://x.blob.core.windows.net",
            }
        )
    )
    assert clients.servicebus("BUS") is clients.servicebus("BUS")
    assert clients.servicebus("BUS2").fully_qualified_namespace == "n.servicebus.windows.net"
    assert clients.blobs("").account_name == "devstoreaccount1"
    assert clients.blobs("S").account_name == "x"
    with pytest.raises(SettingError):
        clients.blobs("NONE")
    await clients.close()
