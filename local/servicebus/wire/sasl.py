"""The SASL layer before AMQP: ANONYMOUS and MSSBCBS, both of which leave the proof to claims-based security.

Proton knows no MSSBCBS, so the layer is done here and Proton sees the connection from its AMQP header on.
"""

from __future__ import annotations

import struct
from typing import Final

from local.servicebus.wire import codec
from local.servicebus.wire.codec import Described, MalformedError

MECHANISMS: Final = ("ANONYMOUS", "MSSBCBS")

_SASL_HEADER: Final = b"AMQP\x03\x01\x00\x00"
_HEADER_SIZE: Final = len(_SASL_HEADER)
_FRAME_PREFIX: Final = struct.Struct(">IBBH")
_SASL_FRAME: Final = 1
_MOST_FRAME: Final = 4096
_MECHANISMS, _INIT, _OUTCOME = 0x40, 0x41, 0x44
_OK, _AUTH_FAILED = 0, 1


class SaslError(Exception):
    """The client does not speak SASL, or none of the mechanisms; `answer` is sent before it is cut off."""

    def __init__(self, message: str, answer: bytes = b"") -> None:
        super().__init__(message)
        self.answer = answer


class SaslServer:
    """The server's side of one negotiation, fed with bytes as they come."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._header_done = False
        self.done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take received bytes; give what to answer, and once `done` what belongs to the layer above.

        Raises:
            SaslError: The client cannot be let in.
        """
        self._received += data
        answer = b""
        if not self._header_done:
            if len(self._received) < _HEADER_SIZE:
                return b"", b""
            self._check_header(bytes(self._received[:_HEADER_SIZE]))
            del self._received[:_HEADER_SIZE]
            self._header_done = True
            answer = _SASL_HEADER + _frame(_MECHANISMS, codec.encode_strings(MECHANISMS, codec.SYMBOL))
        body = self._take_frame()
        if body is None:
            return answer, b""
        mechanism = _mechanism(body)
        if mechanism not in MECHANISMS:
            refusal = answer + _frame(_OUTCOME, codec.encode_ubyte(_AUTH_FAILED))
            raise SaslError(
                f"SASL mechanism {mechanism} is not supported, only {', '.join(MECHANISMS)} are", refusal
            )
        self.done = True
        return answer + _frame(_OUTCOME, codec.encode_ubyte(_OK)), bytes(self._received)

    def _check_header(self, header: bytes) -> None:
        if header == _SASL_HEADER:
            return
        if header[:2] == b"\x16\x03":
            raise SaslError(
                "a client tried TLS, which is not spoken here: "
                "add UseDevelopmentEmulator=true to its connection string"
            )
        raise SaslError("a client did not begin with the header of AMQP's SASL layer", _SASL_HEADER)

    def _take_frame(self) -> bytes | None:
        if len(self._received) < _FRAME_PREFIX.size:
            return None
        size, offset, kind, _ = _FRAME_PREFIX.unpack_from(self._received)
        begin = 4 * offset
        if kind != _SASL_FRAME or not _FRAME_PREFIX.size <= begin <= size <= _MOST_FRAME:
            raise SaslError("a client sent a malformed SASL frame")
        if len(self._received) < size:
            return None
        body = bytes(self._received[begin:size])
        del self._received[:size]
        return body


def _mechanism(body: bytes) -> str:
    try:
        value, _ = codec.decode(body)
    except MalformedError as error:
        raise SaslError("a client sent a malformed SASL frame") from error
    if isinstance(value, Described) and value.descriptor in (_INIT, "amqp:sasl-init:list"):
        fields = value.value
        if isinstance(fields, list) and fields and isinstance(fields[0], str):
            return str(fields[0])
    raise SaslError("a client sent something else than the choice of a SASL mechanism")


def _frame(performative: int, *fields: bytes) -> bytes:
    body = codec.encode_described(performative, codec.encode_list(fields))
    return _FRAME_PREFIX.pack(_FRAME_PREFIX.size + len(body), 2, _SASL_FRAME, 0) + body
