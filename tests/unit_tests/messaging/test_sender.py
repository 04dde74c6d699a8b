"""Sending over Service Bus: one link per queue, a new one after a failure, everything closed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, cast

import pytest
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
)

from shared.errors import DependencyUnavailableError, PayloadTooLargeError
from shared.messaging.sender import OutgoingMessage
from shared.messaging.servicebus import SdkSender, classify, open_client
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Transient
from tests.support.fakes import FakeClock, tenant_context

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusMessage

CONNECTION = "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"


class FakeLink:
    """A sender of the SDK's, as far as ours uses one."""

    def __init__(self, client: FakeClient, queue: str) -> None:
        self.client = client
        self.queue = queue
        self.closed = False

    async def __aenter__(self) -> Self:
        if self.client.openings:
            raise self.client.openings.pop(0)
        return self

    async def send_messages(self, message: ServiceBusMessage) -> None:
        self.client.sending.set()
        await self.client.holds_sends.wait()
        if self.client.failures:
            raise self.client.failures.pop(0)
        self.client.sent.append((self.queue, message))

    async def close(self) -> None:
        self.closed = True
        if self.client.closings:
            raise self.client.closings.pop(0)


class FakeClient:
    """The SDK's client, as far as ours uses one."""

    def __init__(self) -> None:
        self.links: list[FakeLink] = []
        self.sent: list[tuple[str, ServiceBusMessage]] = []
        self.failures: list[Exception] = []
        self.openings: list[Exception] = []
        self.closings: list[Exception] = []
        self.closed = False
        self.sending = asyncio.Event()
        self.holds_sends = asyncio.Event()
        self.holds_sends.set()

    def get_queue_sender(self, queue: str) -> FakeLink:
        self.links.append(FakeLink(self, queue))
        return self.links[-1]

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def sender(client: FakeClient) -> SdkSender:
    dependency = Dependency("Service Bus", classify, clock=FakeClock())
    return SdkSender(cast("ServiceBusClient", client), dependency)


MESSAGE = OutgoingMessage("m1", b'{"id": "m1"}', "acme#0")


async def test_a_message_carries_its_id_session_and_tenant(sender: SdkSender, client: FakeClient) -> None:
    await sender.send(tenant_context("acme"), "q", MESSAGE)

    [(queue, sent)] = client.sent
    assert (queue, sent.message_id, sent.session_id) == ("q", "m1", "acme#0")
    assert sent.application_properties == {"tenant_id": "acme"}
    assert b"".join(cast("list[bytes]", sent.body)) == b'{"id": "m1"}'


async def test_a_message_for_later_says_when_it_may_be_delivered(
    sender: SdkSender, client: FakeClient
) -> None:
    later = datetime(2026, 2, 1, 8, tzinfo=UTC)
    await sender.send(tenant_context("acme"), "q", replace(MESSAGE, not_before=later))
    await sender.send(tenant_context("acme"), "q", MESSAGE)

    assert [sent.scheduled_enqueue_time_utc for _, sent in client.sent] == [later, None]


async def test_one_link_per_queue_stays_open(sender: SdkSender, client: FakeClient) -> None:
    for queue in ("a", "a", "b"):
        await sender.send(tenant_context("acme"), queue, MESSAGE)

    assert [link.queue for link in client.links] == ["a", "b"]


async def test_a_failed_link_is_closed_and_a_new_one_sends(sender: SdkSender, client: FakeClient) -> None:
    client.failures = [ServiceBusConnectionError(message="gone")]

    await sender.send(tenant_context("acme"), "a", MESSAGE)

    assert [link.closed for link in client.links] == [True, False]
    assert len(client.sent) == 1


async def test_a_broker_that_is_down_is_asked_three_times_at_most(
    sender: SdkSender, client: FakeClient
) -> None:
    client.failures = [ServiceBusError("down")] * 10

    with pytest.raises(DependencyUnavailableError, match="Service Bus is not available"):
        await sender.send(tenant_context("acme"), "a", MESSAGE)
    assert len(client.failures) == 7


async def test_a_message_that_is_too_large_is_said_so_at_once(sender: SdkSender, client: FakeClient) -> None:
    client.failures = [MessageSizeExceededError(message="256 KB")] * 2

    with pytest.raises(PayloadTooLargeError):
        await sender.send(tenant_context("acme"), "a", MESSAGE)
    assert len(client.failures) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        MessagingEntityNotFoundError(message="no such queue"),
        ServiceBusAuthorizationError(message="not yours"),
        ServiceBusQuotaExceededError(message="full"),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
async def test_what_the_broker_refuses_is_a_503_by_name_and_not_tried_again(
    sender: SdkSender, client: FakeClient, refusal: ServiceBusError
) -> None:
    client.failures = [refusal] * 2

    with pytest.raises(DependencyUnavailableError, match=f"refused with {type(refusal).__name__}"):
        await sender.send(tenant_context("acme"), "a", MESSAGE)
    assert len(client.failures) == 1


async def test_a_link_that_does_not_open_is_closed_and_a_new_one_sends(
    sender: SdkSender, client: FakeClient
) -> None:
    client.openings = [ServiceBusConnectionError(message="gone")]

    await sender.send(tenant_context("acme"), "a", MESSAGE)

    assert [link.closed for link in client.links] == [True, False]


async def test_a_link_that_does_not_close_hides_no_failure(sender: SdkSender, client: FakeClient) -> None:
    client.failures = [MessageSizeExceededError(message="256 KB")]
    client.closings = [ServiceBusConnectionError(message="gone")]

    with pytest.raises(PayloadTooLargeError):
        await sender.send(tenant_context("acme"), "a", MESSAGE)


async def test_a_cancelled_send_leaves_its_link_to_nobody(sender: SdkSender, client: FakeClient) -> None:
    client.holds_sends = asyncio.Event()
    sending = asyncio.create_task(sender.send(tenant_context("acme"), "a", MESSAGE))
    await client.sending.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    client.holds_sends.set()

    await sender.send(tenant_context("acme"), "a", MESSAGE)

    assert [link.closed for link in client.links] == [True, False]


async def test_checking_opens_the_link(sender: SdkSender, client: FakeClient) -> None:
    await sender.check("a")
    await sender.send(tenant_context("acme"), "a", MESSAGE)

    assert len(client.links) == 1


async def test_closing_closes_every_link_and_the_connection(sender: SdkSender, client: FakeClient) -> None:
    await sender.check("a")
    await sender.check("b")

    await sender.close()

    assert all(link.closed for link in client.links)
    assert client.closed


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServiceBusError("x"), Transient()),
        (ConnectionResetError(), Transient()),
        (MessageSizeExceededError(message="x"), None),
        (MessagingEntityNotFoundError(message="x"), None),
        (ValueError(), None),
    ],
)
def test_what_may_be_tried_again(error: Exception, expected: Transient | None) -> None:
    assert classify(error) == expected


async def test_a_client_is_opened_by_connection_string_or_by_identity() -> None:
    class Identity:
        async def close(self) -> None: ...

    by_string = open_client(CONNECTION, None, None)
    by_identity = open_client(
        None, "example.servicebus.windows.net", cast("AsyncTokenCredential", Identity())
    )
    with pytest.raises(ValueError, match="connection string"):
        open_client(None, "example.servicebus.windows.net", None)

    for client in (by_string, by_identity):
        assert isinstance(client, ServiceBusClient)
        await client.close()


async def test_the_client_tries_nothing_again_by_itself() -> None:
    client = open_client(CONNECTION, None, None)

    assert client._config.retry_total == 0  # noqa: SLF001  # the SDK shows it nowhere else
    await client.close()
