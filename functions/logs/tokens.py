"""Tokens of what lines can be looked up by: short digests, by which the store finds chunks."""

from __future__ import annotations

import base64
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.logs.lines import LogLine

REQUEST = "request_id"
EVENT = "event"
FACTS = ("conversation_id", "bot_id", "model", "status")
"""Fields of a line's own by which it can be looked up, too."""

ANYTHING = "*"
"""Token of a chunk that has more than are kept: it may have anything."""

MOST_TOKENS = 60_000
"""The most that are kept of a chunk: 500 kB, of the 2 MB that an item may have."""

_CHARACTERS = 5
_LONGEST = 256


def token_of(kind: str, value: str) -> str:
    """Return the token of a value: 30 bits, so that one of a thousand million others has the same."""
    digest = blake2b(f"{kind}:{value}".encode(), digest_size=6).digest()
    return base64.urlsafe_b64encode(digest).decode()[:_CHARACTERS]


def values_of(line: LogLine) -> Iterator[tuple[str, str]]:
    """Go through what a line can be looked up by, as kind and value."""
    named = ((REQUEST, line.request_id), (EVENT, line.event), *((kind, line.fact(kind)) for kind in FACTS))
    for kind, value in named:
        if value is not None and len(value) <= _LONGEST:
            yield kind, value
