"""A message that came too early, from the queue to the quarantine, and back to its result."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.supervisor.addresses import servicebus_connection_string
from tests.integration_tests.platform import wait_for
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from tests.integration_tests.platform import Platform

pytestmark = pytest.mark.timeout(120)


def test_a_message_whose_tenant_comes_later_is_replayed_and_succeeds(platform: Platform) -> None:
    tenant_id = f"late-{uuid.uuid4().hex[:12]}"
    body = {"tenant_id": tenant_id, "id": "j1", "text": "The printer prints every page twice."}
    port = int(platform.addresses["servicebus"].rpartition(":")[2])
    with (
        ServiceBusClient.from_connection_string(
            servicebus_connection_string(port), ssl_context=NO_TLS
        ) as client,
        client.get_queue_sender("reasoner-in") as sender,
    ):
        sender.send_messages(ServiceBusMessage(json.dumps(body), session_id=tenant_id, message_id="m1"))
    [letter] = wait_for(
        lambda: [
            one
            for one in platform.admin.must("GET", "/api/v1/dead-letters?reason=TenantNotFoundError")["items"]
            if one["tenant_id"] == tenant_id
        ],
        lambda found: len(found) == 1,
    )

    path = f"/api/v1/dead-letters/{letter['id']}"
    refused = platform.admin.send("POST", f"{path}/replay", {})
    new = {"tenant_id": tenant_id, "name": "late", "tier": "standard"}
    platform.admin.must("POST", "/api/v1/tenants", new)
    replayed = platform.admin.must("POST", f"{path}/replay", {})
    boss = platform.caller(tenant_id)
    job = wait_for(
        lambda: boss.send("GET", "/api/v1/reasoning/jobs/j1"), lambda answer: "succeeded" in answer.text
    )

    assert refused.status_code == 409
    assert replayed == {"id": letter["id"], "queue": "reasoner-in", "job_id": "j1"}
    assert job.json()["result"]
    assert platform.admin.send("DELETE", path).status_code == 404
