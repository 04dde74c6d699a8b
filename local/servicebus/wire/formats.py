"""Incoming frames, read and renumbered before Proton sees them.

Proton does not give a transfer's `message-format` to Python, which is what tells a batch from a message whose
body happens to look like one: it is read here. And deliveries are numbered in a way that
Proton takes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from local.servicebus.wire import codec, frames
from local.servicebus.wire.codec import MalformedError
from local.servicebus.wire.delivery_ids import DeliveryIds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.servicebus.wire.frames import Frame

_NAME, _HANDLE_OF_ATTACH, _ROLE = 0, 1, 2
_HANDLE, _ID, _FORMAT, _MORE = 0, 1, 3, 5
_FIELDS: Final = 6


class TransferFormats:
    """The frames of one connection; gives the formats of each link's deliveries in their order."""

    def __init__(self) -> None:
        self._buffer = b""
        self._header_seen = False
        self._broken = False
        self._names: dict[tuple[int, int], str] = {}
        self._partial: set[tuple[int, int]] = set()
        self._formats: dict[str, deque[int]] = {}
        self._ids: dict[int, DeliveryIds] = {}

    @property
    def ids(self) -> Mapping[int, DeliveryIds]:
        """The numbers of the deliveries of each session, by the peer's channel."""
        return self._ids

    def feed(self, data: bytes) -> bytes:
        """Take received bytes, from the AMQP header on; give what Proton is to see of them.

        A frame that is not complete is held back until it is. After one that makes no sense everything is
        passed on as it comes, and Proton closes the connection.
        """
        if self._broken:
            return data
        data = self._buffer + data
        at = 0
        if not self._header_seen:
            if len(data) < frames.PROTOCOL_HEADER_SIZE:
                self._buffer = data
                return b""
            at, self._header_seen = frames.PROTOCOL_HEADER_SIZE, True
        pieces: list[bytes] = []
        passed = 0
        try:
            for frame in frames.cut_frames(data, at):
                shown = self._show(frame)
                if shown is not None:
                    pieces += (data[passed : frame.begin], shown)
                    passed = frame.end
                at = frame.end
        except (frames.BrokenFrameError, MalformedError, IndexError):
            self._broken, self._buffer = True, b""
            return b"".join((*pieces, data[passed:]))
        self._buffer = data[at:]
        return b"".join((*pieces, data[passed:at]))

    def take(self, link_name: str) -> int:
        """Give the format of the link's next delivery; 0, the plain one, if it was not stated."""
        formats = self._formats.get(link_name)
        return formats.popleft() if formats else 0

    def _show(self, frame: Frame) -> bytes | None:
        """Note a frame; give what is to stand in its place, None for itself."""
        match frame.performative:
            case frames.TRANSFER:
                return self._transfer(frame)
            case frames.ATTACH:
                self._attach(frame)
            case frames.BEGIN:
                self._ids[frame.channel] = DeliveryIds()
                self._partial = {key for key in self._partial if key[0] != frame.channel}
            case frames.DISPOSITION:
                return self._disposition(frame)
        return None

    def _attach(self, frame: Frame) -> None:
        fields, _ = codec.decode(frame.body, 3)
        if fields[_ROLE] is False:  # the client is the sender
            key = (frame.channel, fields[_HANDLE_OF_ATTACH])
            self._names[key] = fields[_NAME]
            self._partial.discard(key)
            self._formats[fields[_NAME]] = deque()

    def _transfer(self, frame: Frame) -> bytes | None:
        fields = frames.read_values(frame.body, _FIELDS)
        handle, stated = fields[_HANDLE], fields[_ID]
        if not isinstance(handle, int):
            raise MalformedError("a transfer without a handle")
        key = (frame.channel, handle)
        ids = self._ids.setdefault(frame.channel, DeliveryIds())
        if key in self._partial:
            counted = ids.current(handle)
        else:
            counted = ids.begin(handle, stated if isinstance(stated, int) else None)
            name = self._names.get(key)
            if name is not None:
                self._formats[name].append(fields[_FORMAT] if isinstance(fields[_FORMAT], int) else 0)
        if fields[_MORE]:
            self._partial.add(key)
        else:
            self._partial.discard(key)
        return None if stated in (None, counted) else _with_id(frame, counted)

    def _disposition(self, frame: Frame) -> bytes | None:
        """Leave out what a sender says of deliveries whose numbers mean nothing to Proton.

        What came in is decided on, and forgotten, when it comes in: nothing depends on the sender's word.
        """
        ids = self._ids.get(frame.channel)
        is_senders = frames.read_values(frame.body, 1) == [False]
        return b"" if ids is not None and ids.differ and is_senders else None


def _with_id(frame: Frame, number: int) -> bytes:
    fields = frames.read_fields(frame.body)
    fields[_ID] = codec.encode_uint(number)
    payload = frames.payload_of(frame.body)
    return frames.write_performative(frame.channel, frames.TRANSFER, fields, payload)
