"""Lock ids that any instance can check and read without a look-up.

An id is `token_id:rate_id`, as the token client's document has it. The first part says what was locked, the
second proves that a ledger of this deployment said so to this tenant and application.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.tokens.errors import LockNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = struct.Struct(">B12sHQQB")
_VERSION, _POOLED_VERSION = 2, 3
"""A release that knows no pools takes no lock of one: it would settle it in the tenant's counter."""

_MAC_BYTES = 16
_LONGEST = 1024
_PURPOSE = b"tenantry/ledger/lock-id/1"
_SHARES_APP_SCOPE, _UNCOUNTED = 1, 2


@dataclass(frozen=True, slots=True)
class LockClaim:
    """Content of a lock id.

    Attributes:
        group: The random id of the locks that were admitted together.
        index: Its place among them, from 0.
        second: The store's second that it is charged to.
        shares_app_scope: It is charged to the counter of all applications without a share of their own.
        uncounted: It was given while the store was down, and is charged to nothing.
        pooled: It came out of the pool of embeddings.
    """

    group: str
    index: int
    tokens: int
    second: int
    model: str
    shares_app_scope: bool = False
    uncounted: bool = False
    pooled: bool = False


def new_group() -> str:
    """Return a random id for a group of locks: 24 hexadecimal digits."""
    return secrets.token_hex(12)


class LockIds:
    """Signer and reader of lock ids.

    Args:
        secrets: Secrets that all instances share; the first signs, each of them is accepted.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("lock ids need a secret")
        self._keys = [hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256) for secret in secrets]

    def issue(self, tenant_id: str, app_id: str, claim: LockClaim) -> str:
        """Return the id of a lock that was admitted."""
        flags = _SHARES_APP_SCOPE * claim.shares_app_scope | _UNCOUNTED * claim.uncounted
        version = _POOLED_VERSION if claim.pooled else _VERSION
        head = _HEAD.pack(version, bytes.fromhex(claim.group), claim.index, claim.tokens, claim.second, flags)
        token_id = _encode(head + claim.model.encode())
        return f"{token_id}:{_mac(self._keys[0], tenant_id, app_id, token_id)}"

    def read(self, tenant_id: str, app_id: str, lock_id: str) -> LockClaim:
        """Return the claim of a lock id.

        Raises:
            LockNotFoundError: It is no id that a ledger gave to this tenant and application.
        """
        token_id, _, mac = lock_id.partition(":")
        if len(lock_id) > _LONGEST or not lock_id.isascii():
            raise LockNotFoundError
        if not any(hmac.compare_digest(mac, _mac(key, tenant_id, app_id, token_id)) for key in self._keys):
            raise LockNotFoundError
        try:
            content = base64.urlsafe_b64decode(token_id + "=" * (-len(token_id) % 4))
            version, group, index, tokens, second, flags = _HEAD.unpack_from(content)
        except (binascii.Error, struct.error) as error:  # signed by a version with another form
            raise LockNotFoundError from error
        if version not in {_VERSION, _POOLED_VERSION}:
            raise LockNotFoundError
        return LockClaim(
            group.hex(),
            index,
            tokens,
            second,
            content[_HEAD.size :].decode(),
            shares_app_scope=bool(flags & _SHARES_APP_SCOPE),
            uncounted=bool(flags & _UNCOUNTED),
            pooled=version == _POOLED_VERSION,
        )


def _mac(key: bytes, tenant_id: str, app_id: str, token_id: str) -> str:
    # None of the three can hold a line feed, so that no two triples make the same message.
    message = f"{tenant_id}\n{app_id}\n{token_id}".encode()
    return _encode(hmac.digest(key, message, hashlib.sha256)[:_MAC_BYTES])


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
