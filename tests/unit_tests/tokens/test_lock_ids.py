"""Lock ids as other instances and releases read them: the format is a promise, written out here once more."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from itertools import product

import pytest

from shared.tokens.errors import LockNotFoundError
from shared.tokens.lock_ids import LockClaim, LockIds

SECRET = "a secret of this test"  # noqa: S105  # signs its lock ids
GROUP = "00112233445566778899aabb"
CLAIM = LockClaim(GROUP, 3, 700, 1_800_000_000, "gpt-4o")


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(content: bytes, secret: str = SECRET) -> str:
    """Sign a content as an instance does."""
    token_id = encode(content)
    key = hmac.digest(secret.encode(), b"tenantry/ledger/lock-id/1", hashlib.sha256)
    mac = hmac.digest(key, f"acme\nbot\n{token_id}".encode(), hashlib.sha256)[:16]
    return f"{token_id}:{encode(mac)}"


def content(version: int, flags: int = 0) -> bytes:
    return struct.pack(">B12sHQQB", version, bytes.fromhex(GROUP), 3, 700, 1_800_000_000, flags) + b"gpt-4o"


def test_an_id_is_read_as_it_was_written_by_any_instance() -> None:
    ids = LockIds([SECRET])
    assert ids.issue("acme", "bot", CLAIM) == signed(content(2))
    assert ids.read("acme", "bot", signed(content(2))) == CLAIM


@pytest.mark.parametrize(("shares", "uncounted"), [*product((False, True), repeat=2)])
def test_what_a_lock_is_charged_to_is_in_its_id(*, shares: bool, uncounted: bool) -> None:
    found = LockIds([SECRET]).read("acme", "bot", signed(content(2, shares + 2 * uncounted)))
    assert (found.shares_app_scope, found.uncounted) == (shares, uncounted)


def test_a_signed_id_that_is_no_base64_is_unknown() -> None:
    key = hmac.digest(SECRET.encode(), b"tenantry/ledger/lock-id/1", hashlib.sha256)
    mac = encode(hmac.digest(key, b"acme\nbot\nAAAAA", hashlib.sha256)[:16])

    with pytest.raises(LockNotFoundError):
        LockIds([SECRET]).read("acme", "bot", f"AAAAA:{mac}")


@pytest.mark.parametrize("version", [0, 1, 4, 255])
def test_a_signed_id_of_another_version_is_unknown(version: int) -> None:
    with pytest.raises(LockNotFoundError):
        LockIds([SECRET]).read("acme", "bot", signed(content(version)))


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_signed_id_that_is_too_short_is_unknown(length: int) -> None:
    with pytest.raises(LockNotFoundError):
        LockIds([SECRET]).read("acme", "bot", signed(content(2)[:length]))


def test_an_id_signed_with_another_secret_is_unknown() -> None:
    with pytest.raises(LockNotFoundError):
        LockIds([SECRET]).read("acme", "bot", signed(content(2), "another secret"))
