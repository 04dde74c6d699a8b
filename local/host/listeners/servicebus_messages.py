"""A Service Bus message as Azure's host passes it: the body, and its properties as trigger metadata."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from local.host.invocation import Json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from enum import Enum

    from local.host.invocation import Value

_NO_EXPIRY = "9999-12-31T23:59:59.9999999Z"


class ReceivedMessage(Protocol):
    """A message that the SDK received, as far as the host reads it."""

    @property
    def body(self) -> Any: ...  # noqa: ANN401, D102 -- the SDK's: chunks of bytes, or an AMQP value
    @property
    def body_type(self) -> Enum: ...  # noqa: D102 -- the SDK's: DATA, VALUE or SEQUENCE
    @property
    def application_properties(self) -> Mapping[str | bytes, Any] | None: ...  # noqa: D102 -- the SDK's
    @property
    def content_type(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def correlation_id(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def dead_letter_source(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def delivery_count(self) -> int | None: ...  # noqa: D102 -- the SDK's
    @property
    def enqueued_time_utc(self) -> datetime | None: ...  # noqa: D102 -- the SDK's
    @property
    def expires_at_utc(self) -> datetime | None: ...  # noqa: D102 -- the SDK's
    @property
    def lock_token(self) -> object | None: ...  # noqa: D102 -- the SDK's
    @property
    def locked_until_utc(self) -> datetime | None: ...  # noqa: D102 -- the SDK's
    @property
    def message_id(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def partition_key(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def reply_to(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def reply_to_session_id(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def sequence_number(self) -> int | None: ...  # noqa: D102 -- the SDK's
    @property
    def session_id(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def subject(self) -> str | None: ...  # noqa: D102 -- the SDK's
    @property
    def to(self) -> str | None: ...  # noqa: D102 -- the SDK's


class UnboundBodyError(Exception):
    """The body is one that Azure's host hands to no function: the message fails, delivery after delivery."""


def body_of(message: ReceivedMessage) -> bytes:
    """Return a message's body: data, or a value that is a text, as Azure's host binds them.

    https://github.com/Azure/azure-sdk-for-net, `MessageToStringConverter.cs`: it raises
    `NotSupportedException` for any other value, and for sequences.

    Raises:
        UnboundBodyError: It is something else.
    """
    body = message.body
    match message.body_type.name:
        case "DATA":
            return body if isinstance(body, bytes) else b"".join(body or ())
        case "VALUE" if isinstance(body, str):
            return body.encode()
        case "VALUE":
            raise UnboundBodyError(f"A message with a value type of {type(body).__name__} cannot be bound")
        case _:
            raise UnboundBodyError("A sequence body message cannot be bound")


def single(message: ReceivedMessage, *, binary: bool) -> tuple[Value, dict[str, Value]]:
    """Return what a function for one message is given: its body and its metadata."""
    body = body_of(message)
    metadata = {
        name: _value(content) for name, content in _properties(message).items() if content is not None
    }
    return (body if binary else body.decode("utf-8", "replace")), metadata


def batch(messages: Sequence[ReceivedMessage], *, binary: bool) -> tuple[Value, dict[str, Value]]:
    """Return what a function for many messages is given: bodies, and an array of each property."""
    bodies = [body_of(message) for message in messages]
    properties = [_properties(message) for message in messages]
    metadata: dict[str, Value] = {
        f"{name}Array": Json(json.dumps([each[name] for each in properties])) for name in properties[0]
    }
    return (bodies if binary else [body.decode("utf-8", "replace") for body in bodies]), metadata


def by_hand(text: str, *, many: bool, now: datetime) -> tuple[Value, dict[str, Value]]:
    """Return what a function is given when somebody runs it on a text instead of a message."""
    properties = {
        "ApplicationProperties": {},
        "UserProperties": {},
        "DeliveryCount": 1,
        "EnqueuedTimeUtc": _time(now),
        "ExpiresAtUtc": _NO_EXPIRY,
        "SequenceNumber": 0,
    }
    if many:
        return [text], {f"{name}Array": Json(json.dumps([content])) for name, content in properties.items()}
    return text, {name: _value(content) for name, content in properties.items()}


def expression_data(value: Value, metadata: Mapping[str, Value]) -> dict[str, Any]:
    """Return what binding expressions may name: the metadata, and the properties of a JSON body."""
    data: dict[str, Any] = {
        name: json.loads(item.text) if isinstance(item, Json) else item for name, item in metadata.items()
    }
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):  # a text that only looks like JSON has no properties
            data.update(json.loads(value))
    return data


def _properties(message: ReceivedMessage) -> dict[str, Any]:
    user_properties = {
        _text(name): _plain(value) for name, value in (message.application_properties or {}).items()
    }
    enqueued = _time(message.enqueued_time_utc)
    expires = _expires(message)
    properties = {
        "ApplicationProperties": user_properties,
        "UserProperties": user_properties,
        "ContentType": message.content_type,
        "CorrelationId": message.correlation_id,
        "DeadLetterSource": message.dead_letter_source,
        # On the wire it counts the deliveries before this one; Azure's host counts this one too.
        "DeliveryCount": (message.delivery_count or 0) + 1,
        "EnqueuedTime": enqueued,
        "EnqueuedTimeUtc": enqueued,
        "ExpiresAt": expires,
        "ExpiresAtUtc": expires,
        "Label": message.subject,
        "LockToken": str(message.lock_token) if message.lock_token else None,
        "MessageId": message.message_id,
        "PartitionKey": message.partition_key,
        "ReplyTo": message.reply_to,
        "ReplyToSessionId": message.reply_to_session_id,
        "SequenceNumber": message.sequence_number,
        "SessionId": message.session_id,
        "Subject": message.subject,
        "To": message.to,
    }
    # AMQP has ids that are no texts: Azure's host passes a UUID's digits too.
    return {name: _plain(value) for name, value in properties.items()}


def _expires(message: ReceivedMessage) -> str:
    try:
        return _time(message.expires_at_utc) or _NO_EXPIRY
    except OverflowError:  # the SDK adds a time to live that leads beyond the year 9999
        return _NO_EXPIRY


def _value(content: object) -> Value:
    return content if isinstance(content, str) else Json(json.dumps(content))


def _time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    # .NET has years up to 9999 only, and so has Python: a message that never expires ends there.
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _plain(value: object) -> object:  # noqa: PLR0911 -- one return for each kind of value
    """Return an AMQP value as JSON can hold it."""
    match value:
        case None | str() | bool() | int() | float():
            return value
        case bytes():
            return value.decode("utf-8", "replace")
        case datetime():
            return _time(value)
        case timedelta():
            return str(value)
        case dict():
            return {
                _text(name) if isinstance(name, bytes) else str(name): _plain(item)
                for name, item in value.items()
            }
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)
