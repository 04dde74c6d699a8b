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

LONGER_THAN_A_SESSIONS_LOCK = 3.0
"""Of the queue `brief-sessions`, which lasts two seconds and is renewed after one."""


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


async def test_sessions_are_worked_on_in_their_order_and_keep_their_locks(endpoint: Endpoint) -> None:
    begun: list[str] = []

    async def process(message: dict[str, Any]) -> dict[str, Any]:
        begun.append(message["id"])
        if message["id"] == "a0":
            await asyncio.sleep(LONGER_THAN_A_SESSIONS_LOCK)
        return {}

    handler = AsyncServiceBusHandler(
        process,
        "brief-sessions",
        "sessions",
        in_sessions=2,
        out_sessions=True,
        connection_string=endpoint.connection_string(),
    )
    async with Sdk(endpoint, is_async=True) as sdk:
        sender = await sdk.sender("brief-sessions")
        for message_id in ("a0", "b0", "a1", "b1", "c0"):
            body = {"tenant_id": "acme", "id": message_id}
            await sender.send_messages(
                ServiceBusMessage(json.dumps(body), message_id=message_id, session_id=message_id[0])
            )
        listening = asyncio.create_task(handler.listen())
        results = await sdk.receiver("sessions", session_id="acme")
        told: list[str] = []
        while len(told) < 5:
            for result in await results.receive_messages(5, 20):
                told.append(json.loads(str(result))["id"])
                await results.complete_message(result)
        await handler.stop()
        await listening

    assert sorted(begun) == sorted(told) == ["a0", "a1", "b0", "b1", "c0"]
    assert begun.index("a0") < begun.index("a1")
    assert begun.index("b0") < begun.index("b1") < begun.index("a1")  # beside the long one
    assert endpoint.depth("brief-sessions")["active"] == 0
