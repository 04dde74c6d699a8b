"""MurmurHash3, x64 128 and x86 32: the hashes that place partition keys, in the service and in every SDK."""

from __future__ import annotations

from typing import Final

_MASK: Final = 0xFFFFFFFFFFFFFFFF
_MASK_32: Final = 0xFFFFFFFF
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


def murmur3_32(data: bytes) -> int:
    """Hash `data` with seed 0 to 32 bits."""
    hashed = 0
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        hashed ^= _scramble_32(int.from_bytes(data[at : at + 4], "little"))
        hashed = (_rotl_32(hashed, 13) * 5 + 0xE6546B64) & _MASK_32
    if len(data) > whole:
        hashed ^= _scramble_32(int.from_bytes(data[whole:], "little"))
    hashed ^= len(data)
    hashed = (hashed ^ hashed >> 16) * 0x85EBCA6B & _MASK_32
    hashed = (hashed ^ hashed >> 13) * 0xC2B2AE35 & _MASK_32
    return hashed ^ hashed >> 16


def _rotl_32(value: int, shift: int) -> int:
    return (value << shift | value >> (32 - shift)) & _MASK_32


def _scramble_32(block: int) -> int:
    return _rotl_32(block * 0xCC9E2D51 & _MASK_32, 15) * 0x1B873593 & _MASK_32
