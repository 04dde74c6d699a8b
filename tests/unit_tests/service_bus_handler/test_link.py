"""Deliveries of the SDK as the queue edge reads them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from azure.servicebus.amqp import AmqpMessageBodyType

from shared.messaging.servicebus_link import SdkDeadLetter, SdkDelivery

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([b"{", b"}"], b"{}"),
        (b"{}", b"{}"),
        (None, b""),
        ("text", b"text"),
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


@pytest.mark.parametrize(
    ("kind", "body", "is_unbound", "told"),
    [
        ("DATA", [b"{", b"}"], False, b"{}"),
        ("VALUE", "text", False, b"text"),
        ("VALUE", b"bytes", True, b'"bytes"'),
        ("VALUE", None, True, b"null"),
        ("VALUE", {b"tenant_id": b"acme", "n": [1, None]}, True, b'{"tenant_id": "acme", "n": [1, null]}'),
        ("VALUE", uuid.UUID(int=7), True, b'"00000000-0000-0000-0000-000000000007"'),
        ("VALUE", datetime(2026, 1, 31, tzinfo=UTC), True, b'"2026-01-31 00:00:00+00:00"'),
        ("SEQUENCE", iter([[b"a"], ["b", 7]]), True, b'[["a"], ["b", 7]]'),
    ],
)
def test_a_dead_letter_that_no_function_is_given_is_told_from_others_and_written_as_json(
    kind: str, body: object, *, is_unbound: bool, told: bytes
) -> None:
    message = SimpleNamespace(body=body, body_type=AmqpMessageBodyType[kind])
    letter = SdkDeadLetter(cast("ServiceBusReceivedMessage", message), None)

    assert (letter.is_unbound, letter.get_body()) == (is_unbound, told)
