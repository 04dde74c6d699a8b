"""Deliveries of the SDK as the queue edge reads them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from shared.messaging.servicebus_link import SdkDelivery

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([b"{", b"}"], b"{}"),
        (b"{}", b"{}"),
        (None, b""),
        ("text", b""),
        (7, b""),
        ({"a": b"b"}, b""),
        ([[b"a"], "b"], b""),
        (uuid.UUID(int=7), b""),
        (datetime(2026, 1, 31, tzinfo=UTC), b""),
    ],
)
def test_a_body_of_any_amqp_type_can_be_read(body: object, told: bytes) -> None:
    message = cast("ServiceBusReceivedMessage", SimpleNamespace(body=body))

    assert SdkDelivery(message, None).get_body() == told
