"""Continuation tokens of queries: where to go on, bound to the query that they belong to."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import orjson

from local.cosmos.errors import CosmosError, bad_request
from local.cosmos.sql.query import Resume
from local.cosmos.values import LARGEST_NUMBER, UNDEFINED, Json, Value

_VERSION: Final = 1
MAX_TOKEN: Final = 7 * 1024
"""HTTP clients refuse header lines of more than 8 KB."""


def fingerprint(*parts: object) -> str:
    """Summarise what a token is bound to."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def encode(resume: Resume, bound_to: str) -> str:
    """Write a token.

    Raises:
        CosmosError: 400 where the values that results are ordered by are too long for one.
    """
    keys = None if resume.keys is None else [[] if key is UNDEFINED else [key] for key in resume.keys]
    epk, seq = resume.position
    parts = [_VERSION, bound_to, epk.hex(), seq, resume.within, resume.given, resume.skipped, keys]
    token = base64.urlsafe_b64encode(orjson.dumps(parts)).decode()
    if len(token) > MAX_TOKEN:
        raise bad_request(
            "The values that the query orders or groups by are too long for a continuation token."
        )
    return token


def decode(token: str, bound_to: str) -> Resume:
    """Read a token.

    Raises:
        CosmosError: 400 where it is none, or belongs to another query.
    """
    try:
        parts: Json = orjson.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, orjson.JSONDecodeError, ValueError):
        raise _invalid() from None
    match parts:
        case [int(version), str(bound), str(epk), int(seq), int(within), int(given), int(skipped), keys] if (
            version == _VERSION
            and bound == bound_to
            and all(0 <= number <= LARGEST_NUMBER for number in (seq, within, given, skipped))
        ):
            return Resume((_bytes(epk), seq), within, given, skipped, _keys(keys))
        case _:
            raise _invalid()


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _invalid() from None


def _keys(keys: Json) -> tuple[Value, ...] | None:
    if not isinstance(keys, list):
        return None
    return tuple(key[0] if isinstance(key, list) and key else UNDEFINED for key in keys)


def _invalid() -> CosmosError:
    return bad_request("Invalid Continuation Token: it is malformed or belongs to another query.")
