"""Resource ids, etags and the dates of the wire, which the service makes up about a resource."""

from __future__ import annotations

import base64
import binascii
import struct
import time
from functools import lru_cache
from typing import Final

from local.cosmos.values import LARGEST_NUMBER

_CONTAINER_FLAG: Final = 0x80000000
_CONTAINER_BYTES: Final = 8
_CONTAINER: Final = struct.Struct(">II")
_SEQ: Final = struct.Struct("<Q")


def _encode(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).replace(b"/", b"-").decode()


def database_rid(number: int) -> str:
    """Give the resource id of a database."""
    return _encode(number.to_bytes(4, "big"))


def container_rid(database: int, number: int) -> str:
    """Give the resource id of a container."""
    return _encode(_container_bytes(database, number))


def item_rid(database: int, container: int, seq: int) -> str:
    """Give the resource id of an item."""
    return _encode(_container_bytes(database, container) + _SEQ.pack(seq))


def item_number(rid: str) -> int | None:
    """Take an item's number out of its resource id."""
    try:
        raw = base64.b64decode(rid, altchars=b"+-", validate=True)
    except (binascii.Error, ValueError):
        return None
    seq = int.from_bytes(raw[_CONTAINER_BYTES:], "little")
    return seq if len(raw) == 2 * _CONTAINER_BYTES and seq <= LARGEST_NUMBER else None


@lru_cache(maxsize=64)
def _container_bytes(database: int, number: int) -> bytes:
    return _CONTAINER.pack(database, number | _CONTAINER_FLAG)


def etag(owner: int, number: int, ts: int) -> str:
    """Give the etag of a write in the container `owner` by its number; no two writes share one."""
    return f'"{number & 0xFFFFFFFF:08x}-{number >> 32 & 0xFFFF:04x}-{_etag_end(owner, ts)}"'


@lru_cache(maxsize=64)
def _etag_end(owner: int, ts: int) -> str:
    return f"{owner & 0xFFFF:04x}-0000-{ts & 0xFFFFFFFF:08x}0000"


def http_date(seconds: float) -> str:
    """Write a time as RFC 1123."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
