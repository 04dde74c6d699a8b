"""Items as they are sent: as JSON that azure-cosmos would send, and refused where it would refuse them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

_ALLOWED_ID: Final = re.compile(r"[^/\\#?\t\r\n]*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]+")
_PASSED_ON: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_WITH_ANY_KEYS: Final = (
    _PASSED_ON | orjson.OPT_NON_STR_KEYS
)  # looks at each key, which takes several times as long


def encode_body(body: object) -> bytes:
    """Write a body as JSON.

    The fast encoder writes NaN and the infinities as null, which the service would store: a body with such a
    number goes the slow way, and the service refuses it. So do integers of more than 64 bits, which are sent.
    """
    try:
        encoded = orjson.dumps(body, option=_PASSED_ON)
    except TypeError:
        try:
            encoded = orjson.dumps(body, option=_WITH_ANY_KEYS)
        except TypeError:
            return _encode_slowly(body)
    if encoded.find(b"null") >= 0 and _has_no_number(body):
        return _encode_slowly(body)
    return encoded


def check_item(item: Mapping[str, Any]) -> None:
    """Refuse an item whose id cannot be part of a path.

    Raises:
        ValueError: The id has characters that no path can have, or ends with a space.
        TypeError: The id is no text.
    """
    item_id = item.get("id")
    if not item_id:
        return
    if not isinstance(item_id, str):
        raise TypeError("Id type must be a string.")
    if _ALLOWED_ID.fullmatch(item_id) is None:
        raise ValueError("Id contains illegal chars.")
    if item_id[-1] == " ":
        raise ValueError("Id ends with a space or newline.")


def encode_id(item_id: str) -> str:
    """Write an id as a segment of a path."""
    return item_id if _PLAIN.fullmatch(item_id) else quote(item_id, safe="")


def _encode_slowly(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _has_no_number(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(_has_no_number(one) for one in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(_has_no_number(one) for one in value)
    return False
