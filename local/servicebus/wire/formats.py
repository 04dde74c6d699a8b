"""Reads each transfer's `message-format` off the wire, because Proton does not give it to Python.

It is what tells a batch from a message whose body happens to look like one.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final

from local.servicebus.wire import codec
from local.servicebus.wire.codec import MalformedError

_PREFIX: Final = struct.Struct(">IBBH")
_AMQP_HEADER_SIZE: Final = 8
_ATTACH, _TRANSFER = 0x12, 0x14
_NAME, _HANDLE_OF_ATTACH, _ROLE = 0, 1, 2
_HANDLE, _FORMAT, _MORE = 0, 3, 5
_FIELDS: Final = 6


class TransferFormats:
    """Watches the frames of one connection; gives the formats of each link's deliveries in their order."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header_seen = False
        self._broken = False
        self._names: dict[tuple[int, int], str] = {}
        self._partial: set[tuple[int, int]] = set()
        self._formats: dict[str, deque[int]] = {}

    def feed(self, data: bytes) -> None:
        """Take received bytes, from the AMQP header on."""
        if self._broken:
            return
        self._buffer += data
        if not self._header_seen:
            if len(self._buffer) < _AMQP_HEADER_SIZE:
                return
            del self._buffer[:_AMQP_HEADER_SIZE]
            self._header_seen = True
        at = 0
        while len(self._buffer) - at >= _PREFIX.size:
            size, offset, _, channel = _PREFIX.unpack_from(self._buffer, at)
            if size < _PREFIX.size or offset < 2 or 4 * offset > size:  # noqa: PLR2004 - the least data offset
                self._broken = True  # Proton finds the same and closes the connection
                return
            if len(self._buffer) - at < size:
                break
            self._frame(channel, self._buffer[at + 4 * offset : at + size])
            at += size
        del self._buffer[:at]

    def take(self, link_name: str) -> int:
        """Give the format of the link's next delivery; 0, the plain one, if it was not stated."""
        formats = self._formats.get(link_name)
        return formats.popleft() if formats else 0

    def _frame(self, channel: int, body: bytearray) -> None:
        if body[:2] != b"\x00\x53" or len(body) < 4 or body[2] not in (_ATTACH, _TRANSFER):  # noqa: PLR2004 - ulong
            return
        try:
            if body[2] == _TRANSFER:
                self._transfer(channel, _first_fields(bytes(body[:128])))
            else:
                fields, _ = codec.decode(bytes(body), 3)
                if fields[_ROLE] is False:  # the client is the sender
                    self._names[channel, fields[_HANDLE_OF_ATTACH]] = fields[_NAME]
                    self._formats[fields[_NAME]] = deque()
        except (MalformedError, IndexError):
            self._broken = True

    def _transfer(self, channel: int, fields: list[object]) -> None:
        handle = fields[_HANDLE]
        if not isinstance(handle, int):
            raise MalformedError("a transfer without a handle")
        key = (channel, handle)
        if key not in self._partial:
            name = self._names.get(key)
            stated = fields[_FORMAT]
            if name is not None:
                self._formats[name].append(stated if isinstance(stated, int) else 0)
        if fields[_MORE]:
            self._partial.add(key)
        else:
            self._partial.discard(key)


def _first_fields(body: bytes) -> list[object]:
    code = body[3]
    if code == 0xC0:  # noqa: PLR2004 - list8
        at, count = 6, body[5]
    elif code == 0xD0:  # noqa: PLR2004 - list32
        at, count = 12, int.from_bytes(body[8:12])
    else:
        raise MalformedError("a transfer that is not a list")
    fields: list[object] = []
    for _ in range(min(count, _FIELDS)):
        value, at = codec.decode(body, at)
        fields.append(value)
    return fields + [None] * (_FIELDS - len(fields))
