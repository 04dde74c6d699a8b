"""The Service Bus handler over the real SDK, by itself: no Functions host is there."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue

from compat.service_bus import AsyncServiceBusHandler
from tests.integration_tests.local_servicebus.conftest import Sdk

if TYPE_CHECKING:
    from tests.integration_tests.local_servicebus.endpoint import Endpoint

WORK_SECONDS = 5.0
"""More than a lock of the queue `short` lasts, which is renewed two seconds before its end."""


async def test_long_work_keeps_its_lock_is_answered_once_and_what_fails_is_dead_lettered(
    endpoint: Endpoint,
) -> None:
    begun: list[str] = []

    async def process(message: dict[str, Any]) -> dict[str, Any]:
        begun.append(message["id"])
        if message["id"] == "poison":
            raise ValueError(message["text"])
        await asyncio.sleep(WORK_SECONDS)
        return {"said": message["text"]}

    handler = AsyncServiceBusHandler(
        process,
        "short",
        "plain",
        max_retries=2,
        retry_delay=0.1,
        connection_string=endpoint.connection_string(),
    )
    async with Sdk(endpoint, is_async=True) as sdk:
        sender = await sdk.sender("short")
        for message_id in ("poison", "long"):
            body = {"tenant_id": "acme", "id": message_id, "text": "hello"}
            await sender.send_messages(ServiceBusMessage(json.dumps(body), message_id=message_id))
        listening = asyncio.create_task(handler.listen())
        results = await sdk.receiver("plain")
        [result] = await results.receive_messages(1, 20)
        await results.complete_message(result)
        dead = await sdk.receiver("short", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        [letter] = await dead.receive_messages(1, 20)
        await dead.complete_message(letter)
        await handler.stop()
        await listening

        assert json.loads(str(result)) == {"tenant_id": "acme", "id": "long", "said": "hello"}
        assert result.message_id == "acme:long"
        assert sorted(begun) == ["long", "poison", "poison"]
        assert letter.message_id == "poison"
        assert letter.dead_letter_reason == "DeliveriesExhaustedError"
        assert "ValueError" in (letter.dead_letter_error_description or "")
        assert endpoint.depth("short")["active"] == 0
