"""AMQP frames as bytes: cutting a stream into them, and writing one anew."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from local.servicebus.wire import codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FRAME: Final = 65_536
PREFIX: Final = struct.Struct(">IBBH")
PROTOCOL_HEADER_SIZE: Final = 8
BEGIN, ATTACH, TRANSFER, DISPOSITION = 0x11, 0x12, 0x14, 0x15
DETACH, END, CLOSE = 0x16, 0x17, 0x18
_DATA_OFFSET: Final = 2
_WORD: Final = 4
_LIST_AT: Final = 3
"""Where a performative's list begins: after the marks of a described type and a small ulong."""


class Frame(NamedTuple):
    """One frame: the bytes from `begin` to `end` of what it was cut from."""

    begin: int
    end: int
    channel: int
    body: bytes

    @property
    def performative(self) -> int | None:
        """The code of the performative; None for a heartbeat or one that is written in another form."""
        body = self.body
        return body[2] if len(body) > _LIST_AT and body[:2] == b"\x00\x53" else None


class BrokenFrameError(ValueError):
    """The bytes at `at` begin no frame."""

    def __init__(self, at: int) -> None:
        super().__init__(f"no frame begins at byte {at}")
        self.at = at


def cut_frames(data: bytes, at: int = 0) -> Iterator[Frame]:
    """Give the whole frames that stand one after the other from `at` on.

    Raises:
        BrokenFrameError: A frame's own sizes make no sense, or it is larger than was agreed.
    """
    while len(data) - at >= PREFIX.size:
        size, offset, _, channel = PREFIX.unpack_from(data, at)
        if not PREFIX.size <= size <= MAX_FRAME or offset < _DATA_OFFSET or _WORD * offset > size:
            raise BrokenFrameError(at)
        if len(data) - at < size:
            return
        yield Frame(at, at + size, channel, data[at + _WORD * offset : at + size])
        at += size


def write_frame(channel: int, body: bytes) -> bytes:
    """Write a frame."""
    return PREFIX.pack(PREFIX.size + len(body), _DATA_OFFSET, 0, channel) + body


def write_performative(
    channel: int, performative: int, fields: Iterable[bytes], payload: bytes = b""
) -> bytes:
    """Write a frame that carries a performative of encoded fields."""
    return write_frame(channel, codec.encode_described(performative, codec.encode_list(fields)) + payload)


def read_fields(body: bytes) -> list[bytes]:
    """Give the fields of a performative, or of another described list, still encoded.

    Raises:
        MalformedError: It is no list of values.
    """
    at, _, count = codec.compound_body(body, _LIST_AT)
    fields: list[bytes] = []
    for _ in range(count):
        following = codec.skip(body, at)
        fields.append(body[at:following])
        at = following
    return fields


def read_values(body: bytes, count: int) -> list[Any]:
    """Give the first `count` fields of a performative as values; those that are not there are None.

    Raises:
        MalformedError: It is no list of values.
    """
    at, _, present = codec.compound_body(body, _LIST_AT)
    values: list[Any] = []
    for _ in range(min(present, count)):
        value, at = codec.decode(body, at)
        values.append(value)
    return values + [None] * (count - len(values))


def payload_of(body: bytes) -> bytes:
    """Give what follows the performative of a frame."""
    return body[codec.skip(body, _LIST_AT) :]
