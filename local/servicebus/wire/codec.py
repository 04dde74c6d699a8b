"""The AMQP 1.0 type system: decoding to Python values, and encoding that says which AMQP type it means.

Encoders take Python values and give encoded bytes; compound encoders take values that are already encoded. So
no AMQP type is ever guessed from a Python one (an int could be a uint, an int or a long).
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NULL = b"\x40"
TRUE = b"\x41"
FALSE = b"\x42"

LONG = 0x81
TIMESTAMP = 0x83
STRING = 0xB1
SYMBOL = 0xB3

_SMALL = 0x100
_EMPTY_LIST = 0x45
_FIXED_WIDTH = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}
_ONE_BYTE_SIZE = frozenset({0xA, 0xC, 0xE})
_FOUR_BYTE_SIZE = frozenset({0xB, 0xD, 0xF})
_DESCRIBED = 0x00


class MalformedError(ValueError):
    """The bytes are not a valid AMQP encoding."""


class Symbol(str):
    """A string of the AMQP type symbol."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Described:
    """A value with the descriptor that gives its meaning."""

    descriptor: Any
    value: Any


# --- decoding ---------------------------------------------------------------------------------------------


def decode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """Decode the value that begins at `at`; give it and where the next one begins.

    Raises:
        MalformedError: There is no complete, valid value.
    """
    try:
        value, end = _decode(data, at)
    except MalformedError:
        raise
    except (
        IndexError,
        struct.error,
        UnicodeDecodeError,
        RecursionError,
        TypeError,
        ValueError,
        OverflowError,
    ) as e:
        raise MalformedError(f"no valid AMQP value at byte {at}: {e}") from e
    if end > len(data):
        raise MalformedError(f"the AMQP value at byte {at} is cut off")
    return value, end


def skip(data: bytes, at: int) -> int:
    """Give where the value that begins at `at` ends, without decoding it.

    Raises:
        MalformedError: There is no complete value.
    """
    try:
        end = _skip(data, at)
    except (IndexError, struct.error, RecursionError) as e:
        raise MalformedError(f"no AMQP value at byte {at}: {e}") from e
    if end > len(data):
        raise MalformedError(f"the AMQP value at byte {at} is cut off")
    return end


def raw_map(data: bytes, at: int = 0) -> dict[str, bytes]:
    """Split the map at `at` into its keys, decoded, and its values, still encoded.

    Raises:
        MalformedError: There is no map, or a key is not a string or symbol.
    """
    body, end, count = compound_body(data, at)
    pairs: dict[str, bytes] = {}
    for _ in range(count // 2):
        key, value_at = decode(data, body)
        if not isinstance(key, str):
            raise MalformedError(f"a map key is a {type(key).__name__}, not a string")
        body = skip(data, value_at)
        pairs[key] = data[value_at:body]
    if body != end:
        raise MalformedError("a map's size does not match its content")
    return pairs


def compound_body(data: bytes, at: int) -> tuple[int, int, int]:
    """Give begin, end and count of the elements of the list or map at `at`.

    Raises:
        MalformedError: What is there is neither.
    """
    try:
        code = data[at]
        if code == _EMPTY_LIST:
            return at + 1, at + 1, 0
        if code in (0xC0, 0xC1):
            begin, end, count = at + 3, at + 2 + data[at + 1], data[at + 2]
        elif code in (0xD0, 0xD1):
            size, count = _UINT_PAIR.unpack_from(data, at + 1)
            begin, end = at + 9, at + 5 + size
        else:
            raise MalformedError(f"expected a list or a map, not type code 0x{code:02x}")
    except (IndexError, struct.error) as e:
        raise MalformedError(f"no list or map at byte {at}") from e
    if end > len(data) or begin > end or count > end - begin:
        raise MalformedError("a list or map does not fit its size")
    return begin, end, count


_UINT = struct.Struct(">I")
_UINT_PAIR = struct.Struct(">II")


def _skip(data: bytes, at: int) -> int:
    code = data[at]
    while code == _DESCRIBED:
        at = _skip(data, at + 1)
        code = data[at]
    kind = code >> 4
    width = _FIXED_WIDTH.get(kind)
    if width is not None:
        return at + 1 + width
    if kind in _ONE_BYTE_SIZE:
        return at + 2 + data[at + 1]
    if kind in _FOUR_BYTE_SIZE:
        size: int = _UINT.unpack_from(data, at + 1)[0]
        return at + 5 + size
    raise IndexError(f"unknown type code 0x{code:02x}")


def _decode(data: bytes, at: int) -> tuple[Any, int]:
    code = data[at]
    reader = _READERS.get(code)
    if reader is None:
        raise MalformedError(f"unknown type code 0x{code:02x}")
    return reader(data, at + 1)


def _constant(value: Any) -> Callable[[bytes, int], tuple[Any, int]]:  # noqa: ANN401 - an AMQP value is of any type
    return lambda _, at: (value, at)


def _fixed(
    layout: str, convert: Callable[[Any], Any] | None = None
) -> Callable[[bytes, int], tuple[Any, int]]:
    parser = struct.Struct(layout)
    size = parser.size
    unpack = parser.unpack_from
    if convert is None:
        return lambda data, at: (unpack(data, at)[0], at + size)
    return lambda data, at: (convert(unpack(data, at)[0]), at + size)


def _sized(convert: Callable[[bytes], Any], prefix: struct.Struct) -> Callable[[bytes, int], tuple[Any, int]]:
    width = prefix.size

    def read(data: bytes, at: int) -> tuple[Any, int]:
        begin = at + width
        end = begin + prefix.unpack_from(data, at)[0]
        if end > len(data):
            raise MalformedError(f"a value at byte {at} is cut off")
        return convert(data[begin:end]), end

    return read


def _decode_described(data: bytes, at: int) -> tuple[Described, int]:
    descriptor, at = _decode(data, at)
    value, at = _decode(data, at)
    return Described(descriptor, value), at


def _decode_list(data: bytes, at: int) -> tuple[list[Any], int]:
    body, end, count = compound_body(data, at - 1)
    values = []
    for _ in range(count):
        value, body = _decode(data, body)
        values.append(value)
    return values, end


def _decode_map(data: bytes, at: int) -> tuple[dict[Any, Any], int]:
    flat, end = _decode_list(data, at)
    return dict(zip(flat[::2], flat[1::2], strict=True)), end


def _array_reader(header: struct.Struct) -> Callable[[bytes, int], tuple[list[Any], int]]:
    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        size, count = header.unpack_from(data, at)
        end = at + header.size // 2 + size
        body = at + header.size
        if end > len(data):
            raise MalformedError(f"an array at byte {at} is cut off")
        descriptor = None
        code = data[body]
        if code == _DESCRIBED:
            descriptor, body = _decode(data, body + 1)
            code = data[body]
        reader = _READERS.get(code)
        if reader is None or (count > end - body and _FIXED_WIDTH.get(code >> 4) != 0):
            raise MalformedError(f"an array of type code 0x{code:02x} cannot be read")
        if count > _MOST_ELEMENTS:
            raise MalformedError(f"an array has more than {_MOST_ELEMENTS} elements")
        body += 1
        values = []
        for _ in range(count):
            value, body = reader(data, body)
            values.append(value if descriptor is None else Described(descriptor, value))
        return values, end

    return read


_MOST_ELEMENTS = 100_000
_BYTE_SIZE = struct.Struct(">B")
_READERS: dict[int, Callable[[bytes, int], tuple[Any, int]]] = {
    0x00: _decode_described,
    0x40: _constant(None),
    0x41: _constant(value=True),
    0x42: _constant(value=False),
    0x43: _constant(0),
    0x44: _constant(0),
    0x45: _decode_list,
    0x50: _fixed(">B"),
    0x51: _fixed(">b"),
    0x52: _fixed(">B"),
    0x53: _fixed(">B"),
    0x54: _fixed(">b"),
    0x55: _fixed(">b"),
    0x56: _fixed(">?"),
    0x60: _fixed(">H"),
    0x61: _fixed(">h"),
    0x70: _fixed(">I"),
    0x71: _fixed(">i"),
    0x72: _fixed(">f"),
    0x73: _fixed(">I", chr),
    0x74: _fixed(">4s"),
    0x80: _fixed(">Q"),
    0x81: _fixed(">q"),
    0x82: _fixed(">d"),
    0x83: _fixed(">q"),
    0x84: _fixed(">8s"),
    0x94: _fixed(">16s"),
    0x98: _fixed(">16s", lambda raw: uuid.UUID(bytes=raw)),
    0xA0: _sized(bytes, _BYTE_SIZE),
    0xA1: _sized(lambda raw: raw.decode(), _BYTE_SIZE),
    0xA3: _sized(lambda raw: Symbol(raw.decode("ascii")), _BYTE_SIZE),
    0xB0: _sized(bytes, _UINT),
    0xB1: _sized(lambda raw: raw.decode(), _UINT),
    0xB3: _sized(lambda raw: Symbol(raw.decode("ascii")), _UINT),
    0xC0: _decode_list,
    0xC1: _decode_map,
    0xD0: _decode_list,
    0xD1: _decode_map,
    0xE0: _array_reader(struct.Struct(">BB")),
    0xF0: _array_reader(_UINT_PAIR),
}


# --- encoding ---------------------------------------------------------------------------------------------


def encode_bool(value: bool) -> bytes:  # noqa: FBT001 - the value that is encoded
    """Encode a boolean."""
    return TRUE if value else FALSE


def encode_ubyte(value: int) -> bytes:
    """Encode an unsigned byte."""
    return bytes((0x50, value))


def encode_uint(value: int) -> bytes:
    """Encode an unsigned 32-bit integer."""
    if value == 0:
        return b"\x43"
    return bytes((0x52, value)) if value < _SMALL else b"\x70" + _UINT.pack(value)


def encode_int(value: int) -> bytes:
    """Encode a signed 32-bit integer."""
    return struct.pack(">Bi", 0x71, value)


def encode_long(value: int) -> bytes:
    """Encode a signed 64-bit integer."""
    return struct.pack(">Bq", LONG, value)


def encode_timestamp(milliseconds: int) -> bytes:
    """Encode a point in time, in milliseconds since 1970."""
    return struct.pack(">Bq", TIMESTAMP, milliseconds)


def encode_uuid(value: uuid.UUID) -> bytes:
    """Encode a UUID."""
    return b"\x98" + value.bytes


def encode_binary(value: bytes) -> bytes:
    """Encode bytes."""
    size = len(value)
    return (bytes((0xA0, size)) if size < _SMALL else b"\xb0" + _UINT.pack(size)) + value


def encode_string(value: str) -> bytes:
    """Encode a string."""
    raw = value.encode()
    size = len(raw)
    return (bytes((0xA1, size)) if size < _SMALL else b"\xb1" + _UINT.pack(size)) + raw


def encode_symbol(value: str) -> bytes:
    """Encode a symbol."""
    raw = value.encode("ascii")
    size = len(raw)
    return (bytes((0xA3, size)) if size < _SMALL else b"\xb3" + _UINT.pack(size)) + raw


def encode_list(items: Iterable[bytes]) -> bytes:
    """Encode a list of encoded values."""
    encoded = list(items)
    if not encoded:
        return b"\x45"
    body = b"".join(encoded)
    if len(body) + 1 < _SMALL and len(encoded) < _SMALL:
        return bytes((0xC0, len(body) + 1, len(encoded))) + body
    return b"\xd0" + _UINT_PAIR.pack(len(body) + 4, len(encoded)) + body


def encode_map(pairs: Mapping[bytes, bytes]) -> bytes:
    """Encode a map of encoded keys to encoded values."""
    return encode_map_body(b"".join(key + value for key, value in pairs.items()), 2 * len(pairs))


def encode_map_body(body: bytes, count: int) -> bytes:
    """Encode a map of `count` encoded keys and values that stand one after the other in `body`."""
    return b"\xd1" + _UINT_PAIR.pack(len(body) + 4, count) + body


def encode_array(code: int, payloads: Iterable[bytes]) -> bytes:
    """Encode an array of elements of one type; each payload is an element without its type code."""
    elements = list(payloads)
    body = bytes((code,)) + b"".join(elements)
    return b"\xf0" + _UINT_PAIR.pack(len(body) + 4, len(elements)) + body


def encode_longs(values: Iterable[int], code: int = LONG) -> bytes:
    """Encode an array of longs, or of timestamps."""
    return encode_array(code, (struct.pack(">q", value) for value in values))


def encode_strings(values: Iterable[str], code: int = STRING) -> bytes:
    """Encode an array of strings, or of symbols."""
    raws = (value.encode() for value in values)
    return encode_array(code, (_UINT.pack(len(raw)) + raw for raw in raws))


def encode_described(descriptor: int, value: bytes) -> bytes:
    """Put a descriptor from the AMQP specification (below 256) before an encoded value."""
    return bytes((0x00, 0x53, descriptor)) + value
