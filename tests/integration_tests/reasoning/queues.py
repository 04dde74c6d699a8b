"""The queues and the quarantine of a running platform, through the official SDKs."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.cosmos import CosmosClient
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.supervisor.addresses import COSMOS_KEY, servicebus_connection_string
from tests.integration_tests.platform import wait_for
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.servicebus import ServiceBusReceiver

    from tests.integration_tests.platform import Platform

IN_QUEUE, OUT_QUEUE = "reasoner-in", "reasoner-out"


@dataclass
class Queues:
    """What somebody with the platform's connection strings can do."""

    client: ServiceBusClient
    cosmos: CosmosClient

    def send(self, body: dict[str, object] | bytes, message_id: str, *sessions: str) -> None:
        """Put a message on the in queue, once into each of the sessions."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        with self.client.get_queue_sender(IN_QUEUE) as sender:
            for session in sessions:
                sender.send_messages(ServiceBusMessage(content, session_id=session, message_id=message_id))

    def session(self, name: str) -> ServiceBusReceiver:
        """Open a session of the in queue; nobody else gets its messages meanwhile."""
        return self.client.get_queue_receiver(IN_QUEUE, session_id=name, max_wait_time=20)

    def results(self, job_id: str, *, until: str) -> list[dict[str, Any]]:
        """Take everything off the out queue up to the result of a later job; return what is about one job."""
        found: list[dict[str, Any]] = []
        with self.client.get_queue_receiver(OUT_QUEUE, max_wait_time=30) as receiver:
            for message in receiver:
                told = json.loads(str(message))
                receiver.complete_message(message)
                if told["id"] == job_id:
                    found.append(told)
                if told["id"] == until:
                    return found
        raise AssertionError(f"no result of {until} arrived")

    def quarantined(self, key: str, message_id: str) -> dict[str, Any]:
        """Wait for a message in the quarantine and return its entry."""
        container = self.cosmos.get_database_client("tenantry").get_container_client("quarantine")

        def ask() -> list[dict[str, Any]]:
            return list(
                container.query_items(
                    "SELECT c.reason, c.detail, c.body, c.queue, c.tenant_id FROM c WHERE c.message_id = @id",
                    parameters=[{"name": "@id", "value": message_id}],
                    partition_key=key,
                )
            )

        [entry] = wait_for(ask, bool)
        return entry


@contextmanager
def queues_of(platform: Platform) -> Iterator[Queues]:
    """Connect to a platform's broker and store."""
    port = int(platform.addresses["servicebus"].rpartition(":")[2])
    with (
        ServiceBusClient.from_connection_string(
            servicebus_connection_string(port), ssl_context=NO_TLS
        ) as client,
        CosmosClient(platform.addresses["cosmos"], COSMOS_KEY) as cosmos,
    ):
        yield Queues(client, cosmos)
