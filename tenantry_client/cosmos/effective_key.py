"""Effective partition keys: the hashes by which the service places partition keys on physical partitions.

The forms are those that the service's SDKs share. Version 2 hashes each component by MurmurHash3, 128 bits;
version 1 hashes the whole key by 32 bits and appends the key itself.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_MASK32: Final = (1 << 32) - 1
_MASK64: Final = (1 << 64) - 1
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F
_BELOW_FF: Final = 0x3F
_LONGEST_V1: Final = 100
_SIGN: Final = 1 << 63

type Component = str | float | bool | Undefined | None


class Undefined:
    """Value of a key that an item does not have; `[{}]` on the wire."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Undefined)

    def __hash__(self) -> int:
        return 0


def hash_key(components: Sequence[Component], *, version: int, hierarchical: bool) -> str:
    """Return the effective key in hexadecimal, of a whole key or of a hierarchical key's prefix."""
    if hierarchical:
        return "".join(_hash_v2(_hashed_form(component)) for component in components)
    if version == 1:
        return _hash_v1(components[0])
    return _hash_v2(b"".join(_hashed_form(component) for component in components))


def _hashed_form(component: Component, string_end: bytes = b"\xff") -> bytes:
    match component:
        case Undefined():
            return b"\x00"
        case None:
            return b"\x01"
        case False:
            return b"\x02"
        case True:
            return b"\x03"
        case str():
            return b"\x08" + component.encode() + string_end
        case _:
            return b"\x05" + struct.pack("<d", float(component))


def _hash_v2(data: bytes) -> str:
    low, high = murmur3_128(data)
    whole = bytearray((high << 64 | low).to_bytes(16, "big"))
    whole[0] &= _BELOW_FF
    return whole.hex().upper()


def _hash_v1(component: Component) -> str:
    short = component[:_LONGEST_V1] if isinstance(component, str) else component
    hashed = float(murmur3_32(_hashed_form(short, b"\x00")))
    return (_ordered_form(hashed) + _ordered_form(short)).hex().upper()


def _ordered_form(component: Component) -> bytes:
    match component:
        case None:
            return b""  # as the SDKs have it
        case str():
            text = component.encode()
            shifted = bytes((byte + 1) & 0xFF for byte in text[: _LONGEST_V1 + 1])
            return b"\x08" + shifted + (b"\x00" if len(text) <= _LONGEST_V1 else b"")
        case bool() | Undefined():
            return _hashed_form(component)
        case _:
            return b"\x05" + _ordered_number(float(component))


def _ordered_number(number: float) -> bytes:
    """Write a double in chunks: eight bits, then seven at a time, each but the last marked by a one."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", number))
    payload = bits ^ _SIGN if bits < _SIGN else -bits & _MASK64
    out = [payload >> 56]
    payload = payload << 8 & _MASK64
    chunks: list[int] = []
    while payload:
        chunks.append(payload >> 56 | 1)
        payload = payload << 7 & _MASK64
    if not chunks:
        return bytes((*out, 0))
    return bytes((*out, *chunks[:-1], chunks[-1] & 0xFE))


def _rotate64(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & _MASK64


def _finish64(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & _MASK64
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & _MASK64
    return value ^ value >> 33


def murmur3_128(data: bytes) -> tuple[int, int]:
    """Hash by MurmurHash3 x64, 128 bits, seed 0; the low half first."""
    low = high = 0
    whole = len(data) - len(data) % 16
    for at in range(0, whole, 16):
        first, second = struct.unpack_from("<QQ", data, at)
        low ^= _rotate64(first * _C1 & _MASK64, 31) * _C2 & _MASK64
        low = ((_rotate64(low, 27) + high) * 5 + 0x52DCE729) & _MASK64
        high ^= _rotate64(second * _C2 & _MASK64, 33) * _C1 & _MASK64
        high = ((_rotate64(high, 31) + low) * 5 + 0x38495AB5) & _MASK64
    rest = data[whole:]
    first, second = int.from_bytes(rest[:8], "little"), int.from_bytes(rest[8:], "little")
    low ^= _rotate64(first * _C1 & _MASK64, 31) * _C2 & _MASK64
    high ^= _rotate64(second * _C2 & _MASK64, 33) * _C1 & _MASK64
    low ^= len(data)
    high ^= len(data)
    low = (low + high) & _MASK64
    high = (high + low) & _MASK64
    low, high = _finish64(low), _finish64(high)
    low = (low + high) & _MASK64
    return low, (high + low) & _MASK64


def _mix32(block: int) -> int:
    block = block * 0xCC9E2D51 & _MASK32
    block = (block << 15 | block >> 17) & _MASK32
    return block * 0x1B873593 & _MASK32


def murmur3_32(data: bytes) -> int:
    """Hash by MurmurHash3 x86, 32 bits, seed 0."""
    hashed = 0
    whole = len(data) - len(data) % 4
    for (block,) in struct.iter_unpack("<I", data[:whole]):
        hashed ^= _mix32(block)
        hashed = (hashed << 13 | hashed >> 19) & _MASK32
        hashed = (hashed * 5 + 0xE6546B64) & _MASK32
    hashed ^= _mix32(int.from_bytes(data[whole:], "little"))
    hashed ^= len(data)
    hashed ^= hashed >> 16
    hashed = hashed * 0x85EBCA6B & _MASK32
    hashed ^= hashed >> 13
    hashed = hashed * 0xC2B2AE35 & _MASK32
    return hashed ^ hashed >> 16
