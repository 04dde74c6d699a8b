"""Secrets of webhooks: made, encrypted, and what deliveries are signed with."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from shared.tenancy.context import TenantId

_SECRET_PREFIX = "whsec_"  # noqa: S105  # the beginning of each secret, none itself
_SECRET_BYTES = 32
_KEY_BYTES = 32
_NONCE_BYTES = 12
_PURPOSE = b"tenantry webhook secrets v1"


def generate_secret() -> str:
    """Return a new signing secret."""
    return _SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def sign_body(secret: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a body at a time: HMAC-SHA256 of `timestamp.body` in hexadecimal digits."""
    signed = f"{timestamp}.".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def write_signature(signing: Sequence[str], timestamp: int, body: bytes) -> str:
    """Return the header: the time, and a signature by each of the secrets in force."""
    return ",".join([f"t={timestamp}", *(f"v1={sign_body(secret, timestamp, body)}" for secret in signing)])


@dataclass(frozen=True, slots=True)
class SecretBox:
    """Encrypts secrets for the store by AES-256-GCM, each bound to its tenant and webhook.

    The key is derived (HKDF, RFC 5869) from the text of a setting, so that any text which is long and random
    enough may be one.

    Attributes:
        key: The setting WEBHOOK_KEY.
        previous: The setting WEBHOOK_KEY_PREVIOUS: what it encrypted is still read.
    """

    key: SecretStr | None
    previous: SecretStr | None

    def seal(self, secret: str, tenant_id: TenantId, webhook_id: str) -> str:
        """Encrypt a webhook's secret.

        Raises:
            ConfigurationError: There is no key.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers()[0].encrypt(nonce, secret.encode(), _bind(tenant_id, webhook_id))
        return urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, tenant_id: TenantId, webhook_id: str) -> str:
        """Decrypt a webhook's secret.

        Raises:
            ConfigurationError: No key that there is has encrypted it.
        """
        content = urlsafe_b64decode(sealed)
        nonce, encrypted = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
        for cipher in self._ciphers():
            try:
                return cipher.decrypt(nonce, encrypted, _bind(tenant_id, webhook_id)).decode()
            except InvalidTag:
                continue
        raise ConfigurationError(["WEBHOOK_KEY or WEBHOOK_KEY_PREVIOUS"])

    def _ciphers(self) -> list[AESGCM]:
        if self.key is None:
            raise ConfigurationError(["WEBHOOK_KEY"])
        return [_derive(key.get_secret_value()) for key in (self.key, self.previous) if key is not None]


def _derive(text: str) -> AESGCM:
    derivation = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE)
    return AESGCM(derivation.derive(text.encode()))


def _bind(tenant_id: TenantId, webhook_id: str) -> bytes:
    return f"{tenant_id}/{webhook_id}".encode()
