"""The sections of an AMQP message: taking apart what a sender sent, putting together what a receiver gets.

A stored message is `header section + message annotations section + the rest`, the annotations as a map with
32-bit sizes and the rest (properties, application properties, body, footer) byte for byte as it was sent.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local.servicebus.engine.model import Incoming, Snapshot
from local.servicebus.wire import codec
from local.servicebus.wire.codec import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_FORMAT: Final = 0x80013700
"""The `message-format` of a transfer whose data sections each hold one whole message."""

HEADER: Final = 0x70
DELIVERY_ANNOTATIONS: Final = 0x71
ANNOTATIONS: Final = 0x72
PROPERTIES: Final = 0x73
APPLICATION_PROPERTIES: Final = 0x74
DATA: Final = 0x75
VALUE: Final = 0x77
_SECTION_NAMES: Final = {
    "amqp:header:list": HEADER,
    "amqp:delivery-annotations:map": DELIVERY_ANNOTATIONS,
    "amqp:message-annotations:map": ANNOTATIONS,
    "amqp:properties:list": PROPERTIES,
    "amqp:application-properties:map": APPLICATION_PROPERTIES,
    "amqp:data:binary": DATA,
    "amqp:amqp-sequence:list": 0x76,
    "amqp:amqp-value:*": VALUE,
    "amqp:footer:map": 0x78,
}
_LAST_SECTION: Final = 0x78

_BROKER_ANNOTATIONS: Final = frozenset(
    {
        "x-opt-sequence-number",
        "x-opt-enqueue-sequence-number",
        "x-opt-enqueued-time",
        "x-opt-locked-until",
        "x-opt-message-state",
        "x-opt-deadletter-source",
    }
)
_SCHEDULED: Final = "x-opt-scheduled-enqueue-time"
_EMPTY_HEADER: Final = codec.encode_described(HEADER, b"\x45")
_MOST_UINT: Final = 0xFFFFFFFF
_UINT: Final = struct.Struct(">I")

_MESSAGE_ID, _GROUP_ID, _EXPIRY, _CREATION = 0, 10, 8, 9

_LONGEST_LIFE: Final = 922_337_203_685_477
"""The milliseconds of .NET's longest time span, beyond which Azure lets a message live for ever."""
_LAST_MILLISECOND: Final = 253_402_300_799_999
_NUMBER_KEY: Final = codec.encode_symbol("x-opt-sequence-number")
_ENQUEUE_NUMBER_PAIR: Final = codec.encode_symbol("x-opt-enqueue-sequence-number") + codec.encode_long(0)
_TIME_KEY: Final = codec.encode_symbol("x-opt-enqueued-time")
_STATE_KEY: Final = codec.encode_symbol("x-opt-message-state")
_LOCKED_KEY: Final = codec.encode_symbol("x-opt-locked-until")
_SOURCE_KEY: Final = codec.encode_symbol("x-opt-deadletter-source")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to `$cbs` or `$management`."""

    message_id: bytes
    """The encoded message id, to be sent back as correlation id."""
    reply_to: str | None
    properties: dict[str, Any]
    body: Any
    raw_body: bytes
    """The body's encoded value, for what has to be kept in its exact type."""


def sections(data: bytes) -> list[tuple[int, int, int]]:
    """List the sections of a message: descriptor, where the section begins, where its value begins.

    Raises:
        MalformedError: The bytes are not a message.
    """
    found = []
    at = 0
    end = len(data)
    while at < end:
        if data[at] != 0:
            raise MalformedError(f"a message section was expected at byte {at}")
        if data[at : at + 2] == b"\x00\x53" and at + 2 < end:
            code, value_at = data[at + 2], at + 3
        else:
            descriptor, value_at = codec.decode(data, at + 1)
            code = _section_code(descriptor)
        if not HEADER <= code <= _LAST_SECTION:
            raise MalformedError(f"unknown message section at byte {at}")
        found.append((code, at, value_at))
        at = codec.skip(data, value_at)
    return found


def split_batch(data: bytes) -> list[bytes]:
    """Give the messages inside a batch.

    Raises:
        MalformedError: The bytes are not a batch, or it is empty.
    """
    messages = []
    for code, _, value_at in sections(data):
        if code == DATA:
            inner, _ = codec.decode(data, value_at)
            if not isinstance(inner, bytes):
                raise MalformedError("a data section does not hold binary")
            messages.append(inner)
    if not messages:
        raise MalformedError("a batch without messages")
    return messages


def random_id() -> str:
    """Make a message id for a message that was sent without one."""
    return uuid.uuid4().hex


def parse_incoming(data: bytes, new_id: Callable[[], str] = random_id) -> Incoming:
    """Take a sent message apart into what the queue needs and what it stores.

    One without a message id gets one, as Service Bus does; the SDK for JavaScript cannot settle it otherwise.

    Raises:
        MalformedError: The bytes are not a message.
    """
    header: list[Any] = []
    raw_header = _EMPTY_HEADER
    annotations: dict[str, bytes] = {}
    properties: list[Any] = []
    rest_at = len(data)
    for code, at, value_at in sections(data):
        if code == HEADER:
            header = _list(data, value_at)
            raw_header = codec.encode_described(HEADER, data[value_at : codec.skip(data, value_at)])
        elif code == ANNOTATIONS:
            annotations = codec.raw_map(data, value_at)
        elif code >= PROPERTIES:
            rest_at = min(rest_at, at)
            if code == PROPERTIES:
                properties = _list(data, value_at)
            elif code == APPLICATION_PROPERTIES:
                codec.raw_map(data, value_at)  # what cannot be read is refused now, not when it is received
    pairs = [
        codec.encode_symbol(key) + value
        for key, value in annotations.items()
        if key not in _BROKER_ANNOTATIONS
    ]
    annotation_section = codec.encode_described(
        ANNOTATIONS, codec.encode_map_body(b"".join(pairs), 2 * len(pairs))
    )
    message_id = _text(_field(properties, _MESSAGE_ID))
    rest = data[rest_at:]
    if message_id is None:
        message_id = new_id()
        rest = _with_message_id(rest, message_id)
    scheduled, _ = codec.decode(annotations[_SCHEDULED]) if _SCHEDULED in annotations else (None, 0)
    return Incoming(
        content=raw_header + annotation_section + rest,
        size=len(data),
        message_id=message_id,
        session_id=_optional_text(_field(properties, _GROUP_ID)),
        time_to_live=_time_to_live(header, properties),
        scheduled_for=_point_in_time(scheduled),
    )


def compose(content: bytes, snapshot: Snapshot) -> bytes:
    """Put together what a receiver gets: the stored message with its place in the queue and its lock."""
    header_end = codec.skip(content, 3)
    rest_at = codec.skip(content, header_end + 3)
    durable, priority = _durable_and_priority(content, header_end)
    time_to_live = snapshot.time_to_live
    header = codec.encode_list(
        (
            durable,
            priority,
            codec.NULL
            if time_to_live is None or time_to_live > _MOST_UINT
            else codec.encode_uint(time_to_live),
            codec.NULL,
            codec.encode_uint(snapshot.delivery_count),
        )
    )
    pairs = [
        _NUMBER_KEY + codec.encode_long(snapshot.sequence_number),
        _ENQUEUE_NUMBER_PAIR,
        _TIME_KEY + codec.encode_timestamp(snapshot.enqueued_at),
        _STATE_KEY + codec.encode_int(snapshot.state),
    ]
    if snapshot.locked_until is not None:
        pairs.append(_LOCKED_KEY + codec.encode_timestamp(snapshot.locked_until))
    if snapshot.dead_letter_source is not None:
        pairs.append(_SOURCE_KEY + codec.encode_string(snapshot.dead_letter_source))
    # Type code and sizes of the stored map are fixed: 1 + 4 + 4 bytes after the descriptor's 3.
    (own_count,) = _UINT.unpack_from(content, header_end + 8)
    body = content[header_end + 12 : rest_at] + b"".join(pairs)
    annotations = codec.encode_map_body(body, own_count + 2 * len(pairs))
    rest = content[rest_at:]
    changes = _application_changes(snapshot)
    if changes:
        rest = _with_application_properties(rest, changes)
    return b"".join(
        (
            codec.encode_described(HEADER, header),
            codec.encode_described(ANNOTATIONS, annotations),
            rest,
        )
    )


def parse_request(data: bytes) -> Request:
    """Read a request to `$cbs` or `$management`.

    Raises:
        MalformedError: The bytes are not a message with application properties.
    """
    message_id = codec.NULL
    reply_to: str | None = None
    application: dict[str, Any] = {}
    body: Any = None
    raw_body = codec.NULL
    for code, _, value_at in sections(data):
        if code == PROPERTIES:
            fields = _list(data, value_at)
            reply_to = _optional_text(_field(fields, 4))
            begin, _, count = codec.compound_body(data, value_at)
            if count > 0:
                message_id = data[begin : codec.skip(data, begin)]
        elif code == APPLICATION_PROPERTIES:
            value, _ = codec.decode(data, value_at)
            application = {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
        elif code == VALUE:
            body, end = codec.decode(data, value_at)
            raw_body = data[value_at:end]
        elif code == DATA:
            body, _ = codec.decode(data, value_at)
    return Request(message_id, reply_to, application, body, raw_body)


def encode_reply(correlation_id: bytes, properties: dict[str, bytes], body: bytes) -> bytes:
    """Put together the answer to a request; values and body are already encoded."""
    fields = [codec.NULL] * 5 + [correlation_id]
    pairs = {codec.encode_string(key): value for key, value in properties.items()}
    return b"".join(
        (
            codec.encode_described(PROPERTIES, codec.encode_list(fields)),
            codec.encode_described(APPLICATION_PROPERTIES, codec.encode_map(pairs)),
            codec.encode_described(VALUE, body),
        )
    )


def encode_changes(changes: dict[str, bytes]) -> bytes:
    """Pack changed application properties for storage."""
    return (
        codec.encode_map({codec.encode_string(key): value for key, value in changes.items()})
        if changes
        else b""
    )


def merge_changes(packed: bytes, changes: dict[str, bytes]) -> bytes:
    """Add changes of application properties to those that are packed already."""
    return encode_changes({**(codec.raw_map(packed) if packed else {}), **changes})


def _application_changes(snapshot: Snapshot) -> dict[str, bytes]:
    changes = codec.raw_map(snapshot.property_changes) if snapshot.property_changes else {}
    if snapshot.dead_letter_reason is not None:
        changes["DeadLetterReason"] = codec.encode_string(snapshot.dead_letter_reason)
    if snapshot.dead_letter_description is not None:
        changes["DeadLetterErrorDescription"] = codec.encode_string(snapshot.dead_letter_description)
    return changes


def _with_application_properties(rest: bytes, changes: dict[str, bytes]) -> bytes:
    before = after = 0
    current: dict[str, bytes] = {}
    for code, at, value_at in sections(rest):
        if code == PROPERTIES:
            before = after = codec.skip(rest, value_at)
        elif code == APPLICATION_PROPERTIES:
            before, after = at, codec.skip(rest, value_at)
            current = codec.raw_map(rest, value_at)
    merged = {codec.encode_string(key): value for key, value in {**current, **changes}.items()}
    section = codec.encode_described(APPLICATION_PROPERTIES, codec.encode_map(merged))
    return rest[:before] + section + rest[after:]


def _with_message_id(rest: bytes, message_id: str) -> bytes:
    fields: list[bytes] = []
    after = 0
    for code, _, value_at in sections(rest):
        if code == PROPERTIES:
            at, _, count = codec.compound_body(rest, value_at)
            for _ in range(count):
                end = codec.skip(rest, at)
                fields.append(rest[at:end])
                at = end
            after = codec.skip(rest, value_at)
    listed = codec.encode_list([codec.encode_string(message_id), *fields[1:]])
    return codec.encode_described(PROPERTIES, listed) + rest[after:]


def _durable_and_priority(content: bytes, header_end: int) -> tuple[bytes, bytes]:
    begin, _, count = codec.compound_body(content[:header_end], 3)
    if count == 0:
        return codec.NULL, codec.NULL
    durable_end = codec.skip(content, begin)
    if count == 1:
        return content[begin:durable_end], codec.NULL
    return content[begin:durable_end], content[durable_end : codec.skip(content, durable_end)]


def _time_to_live(header: list[Any], properties: list[Any]) -> int | None:
    stated = _field(header, 2)
    expiry, creation = _field(properties, _EXPIRY), _field(properties, _CREATION)
    if stated in (None, _MOST_UINT) and isinstance(expiry, int) and isinstance(creation, int):
        # The header's field ends at 49 days: what lives longer says so in its properties.
        stated = max(0, expiry - creation)
    return stated if isinstance(stated, int) and stated <= _LONGEST_LIFE else None


def _point_in_time(value: Any) -> int | None:  # noqa: ANN401 - what was sent may be of any type
    if not isinstance(value, int):
        return None
    if value > _LAST_MILLISECOND:
        raise MalformedError("the time for which a message is scheduled is after the year 9999")
    return value


def _section_code(descriptor: Any) -> int:  # noqa: ANN401 - a descriptor is a number or a symbol
    if isinstance(descriptor, int):
        return descriptor
    return _SECTION_NAMES.get(descriptor, 0) if isinstance(descriptor, str) else 0


def _list(data: bytes, at: int) -> list[Any]:
    value, _ = codec.decode(data, at)
    if not isinstance(value, list):
        raise MalformedError("a list section does not hold a list")
    return value


def _field(fields: list[Any], index: int) -> Any:  # noqa: ANN401 - a field is of any AMQP type
    return fields[index] if len(fields) > index else None


def _text(value: Any) -> str | None:  # noqa: ANN401 - a message id is a string, a number, bytes or a UUID
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, int | uuid.UUID) else None


def _optional_text(value: Any) -> str | None:  # noqa: ANN401 - what was sent may be of any type
    if value is None or isinstance(value, str):
        return value
    raise MalformedError(f"a string was expected, not {type(value).__name__}")
