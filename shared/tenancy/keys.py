"""API keys: made, parsed and compared without ever being stored.

A key reads `tk.{tenant_id}.{key_id}.{secret}{checksum}`. The checksum lets junk be refused without a
look-up; tenant and key id make the look-up one point read. A secret of 32 random bytes needs no slow hash:
what makes passwords need one is that they can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.tenancy.context import parse_tenant_id
from shared.validation import text_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.tenancy.context import TenantId

KEY_ID_PATTERN = text_pattern(r"^[a-z0-9]{12}$", "12 small letters and digits")

_SECRET_BYTES = 32
_CHECKSUM_LENGTH = 8
_KEY = re.compile(
    r"tk\.(?P<tenant>[A-Za-z0-9][A-Za-z0-9_-]{1,62})\.(?P<id>[a-z0-9]{12})\."
    rf"(?P<secret>[A-Za-z0-9_-]{{43}})(?P<checksum>[0-9a-f]{{{_CHECKSUM_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A well-formed key; whether it is valid only its stored hash can tell."""

    tenant_id: TenantId
    key_id: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        """Render the key as its holder sends it."""
        body = f"tk.{self.tenant_id}.{self.key_id}.{self.secret}"
        return body + _checksum(body)

    def hash(self) -> str:
        """Return what is stored in the key's place: hex SHA-256 over the whole key."""
        return digest_of(str(self)).hex()


type Compare = Callable[[bytes, bytes], bool]


class AdminKeys:
    """The administrator's keys in force; two of them while they are rotated. Only their digests are kept."""

    def __init__(self, keys: Sequence[str], compare: Compare = hmac.compare_digest) -> None:
        self._digests = [digest_of(key) for key in keys]
        self._compare = compare

    def include(self, digest: bytes) -> bool:
        """Compare with each of them, in the same time whichever it is."""
        matches = [self._compare(digest, known) for known in self._digests]
        return any(matches)


def digest_of(presented: str) -> bytes:
    """Hash whatever was presented, so that comparing tells nothing of it, not even its length."""
    return hashlib.sha256(presented.encode()).digest()


def generate_key(tenant_id: TenantId) -> ApiKey:
    """Make a new key for a tenant from 256 bits of the system's randomness."""
    return ApiKey(tenant_id, secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES))


def parse_key(text: str) -> ApiKey | None:
    """Parse a presented key, or return None where its form or checksum is wrong."""
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    body = text[:-_CHECKSUM_LENGTH]
    if not hmac.compare_digest(_checksum(body), match["checksum"]):
        return None
    return ApiKey(parse_tenant_id(match["tenant"]), match["id"], match["secret"])


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):0{_CHECKSUM_LENGTH}x}"
