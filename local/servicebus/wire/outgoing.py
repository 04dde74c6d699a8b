"""Outgoing frames, put into the peer's terms after Proton has written them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.servicebus.wire import codec
from local.servicebus.wire.frames import (
    BEGIN,
    CLOSE,
    DETACH,
    DISPOSITION,
    END,
    PROTOCOL_HEADER_SIZE,
    Frame,
    cut_frames,
    read_fields,
    read_values,
    write_performative,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.servicebus.wire.delivery_ids import DeliveryIds

_ERROR: Final = 0x1D
_ERROR_FIELDS: Final = 3
_ERROR_AT: Final = {DETACH: 2, END: 0, CLOSE: 0}
_REWRITTEN: Final = tuple(bytes((0x00, 0x53, code)) for code in (BEGIN, DETACH, END, CLOSE))


class OutgoingFrames:
    """Says to the peer what Proton says: under the peer's numbers, and with every field of an error.

    Azure writes all three fields of an error, null or not (`DescribedList.EncodeValue` in
    https://github.com/Azure/azure-amqp/blob/master/src/Framing/DescribedList.cs); azure-servicebus reads the
    third of a close without looking whether it is there (`_incoming_close` in its `_connection_async.py`).
    """

    def __init__(self, ids: Mapping[int, DeliveryIds]) -> None:
        self._ids = ids
        self._remote_channels: dict[int, int] = {}
        self.begun = False
        """Whether the peer has been told anything of AMQP yet."""

    def translate(self, data: bytes) -> bytes:
        """Give what to send in place of whole frames of Proton's."""
        at = 0
        if data and not self.begun:
            at, self.begun = PROTOCOL_HEADER_SIZE, True
        if not any(ids.differ for ids in self._ids.values()) and not any(mark in data for mark in _REWRITTEN):
            return data
        pieces = [data[:at]]
        pieces += [self._translate(frame) or data[frame.begin : frame.end] for frame in cut_frames(data, at)]
        return b"".join(pieces)

    def _translate(self, frame: Frame) -> bytes | None:
        performative = frame.performative
        if performative in _ERROR_AT:
            return _with_whole_error(frame, performative, _ERROR_AT[performative])
        if performative == BEGIN:
            [self._remote_channels[frame.channel]] = read_values(frame.body, 1)
        elif performative == DISPOSITION:
            return self._disposition(frame)
        return None

    def _disposition(self, frame: Frame) -> bytes | None:
        ids = self._ids.get(self._remote_channels.get(frame.channel, frame.channel))
        is_receivers, first, last, is_settled = read_values(frame.body, 4)
        if ids is None or not ids.differ or not is_receivers:
            return None
        rest = read_fields(frame.body)[3:]
        return b"".join(
            write_performative(
                frame.channel,
                DISPOSITION,
                (codec.TRUE, codec.encode_uint(low), codec.encode_uint(high), *rest),
            )
            for low, high in ids.stated(first, first if last is None else last, settled=is_settled is True)
        )


def write_close(condition: str, description: str) -> bytes:
    """Write the frame that ends a connection with an error."""
    error = (codec.encode_symbol(condition), codec.encode_string(description), codec.NULL)
    return write_performative(0, CLOSE, [codec.encode_described(_ERROR, codec.encode_list(error))])


def _with_whole_error(frame: Frame, performative: int, at: int) -> bytes | None:
    fields = read_fields(frame.body)
    if len(fields) <= at or fields[at] == codec.NULL:
        return None
    error = read_fields(fields[at])
    if len(error) >= _ERROR_FIELDS:
        return None
    error += [codec.NULL] * (_ERROR_FIELDS - len(error))
    fields[at] = codec.encode_described(_ERROR, codec.encode_list(error))
    return write_performative(frame.channel, performative, fields)
