"""An OpenID Connect provider with real keys: it signs tokens, and publishes what they are verified with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.support.fakes import EPOCH

if TYPE_CHECKING:
    import asyncio

    from shared.clock import Clock
    from shared.errors import DependencyTimeoutError, DependencyUnavailableError

ISSUER = "https://login.example/tenant/v2.0"
AUDIENCE = "api://tenantry"
JWKS_URL = "https://login.example/keys"

type PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a key, the same one for the same number: making one takes a while."""
    return _rsa_key(number, bits)


def ec_key(curve: str = "P-256") -> ec.EllipticCurvePrivateKey:
    """Return the key on a curve."""
    return _ec_key(curve)


@cache
def _rsa_key(number: int, bits: int) -> rsa.RSAPrivateKey:  # part of the cache's key
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def _ec_key(curve: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key({"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}[curve]())


def public_jwk(kid: str, key: PrivateKey, **members: object) -> dict[str, Any]:
    """Write the public half of a key as a member of a key set."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        written = RSAAlgorithm.to_jwk(public, as_dict=True)
    else:
        written = ECAlgorithm.to_jwk(public, as_dict=True)
    return {**written, "kid": kid, "use": "sig"} | members


def public_pem(key: PrivateKey) -> bytes:
    """Write the public half as anybody can get it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def encoded(part: object) -> str:
    """Write one part of a token."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class IdentityProvider:
    """Signs with its key `current` unless it is told otherwise.

    Attributes:
        published: The members of its key set.
        asked: The addresses that were fetched.
        failure: What its documents fail with.
        documents: What it answers in place of its own documents, by address.
        gate: What holds its answers up.
    """

    issuer: str = ISSUER
    jwks_url: str = JWKS_URL
    clock: Clock | None = None
    published: list[Any] = field(default_factory=lambda: [public_jwk("current", rsa_key())])
    asked: list[str] = field(default_factory=list)
    failure: DependencyUnavailableError | DependencyTimeoutError | None = None
    documents: dict[str, bytes] = field(default_factory=dict)
    gate: asyncio.Event | None = None

    def claims(self, **changed: object) -> dict[str, Any]:
        """Say what a user of acme's is given; a claim that is None is left out."""
        now = int((self.clock.now() if self.clock else EPOCH).timestamp())
        usual: dict[str, object] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "tid": "acme",
            "roles": ["user"],
        }
        return {name: value for name, value in (usual | changed).items() if value is not None}

    def token(
        self,
        *,
        key: PrivateKey | None = None,
        alg: str = "RS256",
        headers: dict[str, Any] | None = None,
        **changed: object,
    ) -> str:
        """Sign a token."""
        sent = {"kid": "current"} | (headers or {})
        named = {name: value for name, value in sent.items() if value is not None}
        return jwt.encode(self.claims(**changed), key or rsa_key(), algorithm=alg, headers=named)

    def unsigned(self, **header: object) -> str:
        """Make a token that nobody signed."""
        return f"{encoded({'alg': 'none', 'kid': 'current'} | header)}.{encoded(self.claims())}."

    def signed_by_secret(self, secret: bytes, **header: object) -> str:
        """Sign with a shared secret, as who knows only the public key could."""
        head = {"alg": "HS256", "typ": "JWT", "kid": "current"} | header
        body = f"{encoded(head)}.{encoded(self.claims())}"
        return f"{body}.{encoded(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"

    def document(self, url: str) -> bytes:
        """Return what is published at an address."""
        if url in self.documents:
            return self.documents[url]
        if url == self.issuer + "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.issuer, "jwks_uri": self.jwks_url}).encode()
        return json.dumps({"keys": self.published}).encode()

    async def fetch(self, url: str) -> bytes:
        """Return a document, as the app asks for it."""
        self.asked.append(url)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return self.document(url)
