"""MurmurHash3 x64 128: the hash that places partition keys, in the service and in every SDK."""

from __future__ import annotations

from typing import Final

_MASK: Final = 0xFFFFFFFFFFFFFFFF
_HALF: Final = 8
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F


def _rotl(value: int, shift: int) -> int:
    return ((value << shift) | (value >> (64 - shift))) & _MASK


def _scramble_low(block: int) -> int:
    return _rotl(block * _C1 & _MASK, 31) * _C2 & _MASK


def _scramble_high(block: int) -> int:
    return _rotl(block * _C2 & _MASK, 33) * _C1 & _MASK


def _finalize(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & _MASK
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ (value >> 33)


def murmur3_128(data: bytes) -> tuple[int, int]:
    """Hash `data` with seed 0 to its low and high 64 bits."""
    low = high = 0
    whole = len(data) & ~15
    for at in range(0, whole, 16):
        low ^= _scramble_low(int.from_bytes(data[at : at + 8], "little"))
        low = ((_rotl(low, 27) + high) * 5 + 0x52DCE729) & _MASK
        high ^= _scramble_high(int.from_bytes(data[at + 8 : at + 16], "little"))
        high = ((_rotl(high, 31) + low) * 5 + 0x38495AB5) & _MASK
    tail = data[whole:]
    if len(tail) > _HALF:
        high ^= _scramble_high(int.from_bytes(tail[8:], "little"))
    if tail:
        low ^= _scramble_low(int.from_bytes(tail[:8], "little"))
    low ^= len(data)
    high ^= len(data)
    low = (low + high) & _MASK
    high = (high + low) & _MASK
    low, high = _finalize(low), _finalize(high)
    low = (low + high) & _MASK
    return low, (high + low) & _MASK
