"""Effective partition keys: the hashes that place keys, bit for bit as the SDKs compute them."""

from __future__ import annotations

import struct
from typing import Final

import mmh3

from local.cosmos.values import Undefined

type Component = str | float | bool | Undefined | None

_BELOW_FF: Final = (1 << 126) - 1
_LONGEST_V1: Final = 100
_SIGN: Final = 1 << 63
_MASK: Final = (1 << 64) - 1


def hashed_form(component: Component, string_end: bytes = b"\xff") -> bytes:
    """Write a component as it is hashed; 0xFF is in no UTF-8, so no two lists of components share a form."""
    match component:
        case Undefined.UNDEFINED:
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
            return b"\x05" + struct.pack("<d", component + 0.0)  # -0.0 and 0.0 are one key


def effective_key(component: Component) -> bytes:
    """Hash one component by version 2."""
    low, high = mmh3.hash64(hashed_form(component), signed=False)
    # The two top bits are cleared, so that "FF" stays above every key.
    return ((high << 64 | low) & _BELOW_FF).to_bytes(16, "big")


def effective_key_v1(component: Component) -> bytes:
    """Hash a whole key by version 1: its hash as a number, then the key itself, both in ordered form."""
    short = component[:_LONGEST_V1] if isinstance(component, str) else component
    return _ordered_form(float(mmh3.hash(hashed_form(short, b"\x00"), signed=False))) + _ordered_form(short)


def even_bounds(version: int, parts: int) -> list[bytes]:
    """Give the keys that cut the hashes of a version into so many equal parts."""
    if version == 1:
        return [_ordered_form(float((1 << 32) * part // parts)) for part in range(1, parts)]
    return [((_BELOW_FF + 1) * part // parts - 1).to_bytes(16, "big") for part in range(1, parts)]


def _ordered_form(component: Component) -> bytes:
    match component:
        case None:
            return b""  # as the SDK has it
        case str():
            text = component.encode()
            shifted = bytes((byte + 1) & 0xFF for byte in text[: _LONGEST_V1 + 1])
            return b"\x08" + shifted + (b"\x00" if len(text) <= _LONGEST_V1 else b"")
        case float() | int() if not isinstance(component, bool):
            return b"\x05" + _ordered_number(component)
        case _:
            return hashed_form(component)


def _ordered_number(number: float) -> bytes:
    """Write a double in chunks: eight bits, then seven at a time, each but the last marked by a one."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", number + 0.0))
    payload = bits ^ _SIGN if bits < _SIGN else -bits & _MASK
    out = [payload >> 56]
    payload = payload << 8 & _MASK
    chunks: list[int] = []
    while payload:
        chunks.append(payload >> 56 | 1)
        payload = payload << 7 & _MASK
    if not chunks:
        return bytes((*out, 0))
    return bytes((*out, *chunks[:-1], chunks[-1] & 0xFE))
