"""What authenticating one request costs, in microseconds of CPU, beside what others do for each request.

Run with `pytest tests/benchmarks/bench_authentication.py -s`. Figures are printed, not asserted; asserted is
that what is measured does what it is measured for.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING

import jwt

from shared.errors import AuthenticationError
from shared.settings import OidcSettings
from shared.tenancy.authentication import Authenticator, KeyVerifier
from shared.tenancy.credential_cache import CredentialCache
from shared.tenancy.jwks import SigningKeys
from shared.tenancy.keys import AdminKeys, ApiKey
from shared.tenancy.oidc import UserTokens
from tests.support.fakes import FakeClock
from tests.support.identity_provider import AUDIENCE, ISSUER, JWKS_URL, IdentityProvider
from tests.unit_tests.tenancy.tenants import FakeAudit, FakeTenants, new_key

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
CALLS = 20_000
SECRET = b"a secret of 256 bits, as long as it has to be"


def cpu_us(run: Callable[[int], None], calls: int) -> float:
    """Take the best of some rounds: a neighbour on the machine can only slow a round down."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        run(calls)
        best = min(best, time.process_time() - began)
    return best / calls * 1e6


def authenticating(authenticator: Authenticator, header: str, *, valid: bool) -> Callable[[int], None]:
    """Authenticate over and over on one loop, as a worker does."""

    async def loop(calls: int) -> None:
        refused = 0
        for _ in range(calls):
            try:
                await authenticator.authenticate(header)
            except AuthenticationError:
                refused += 1
        assert refused == (0 if valid else calls)

    return lambda calls: asyncio.run(loop(calls))


def world() -> tuple[Authenticator, FakeTenants, ApiKey, IdentityProvider]:
    clock, tenants, key = FakeClock(), FakeTenants(), new_key()
    tenants.add(key)
    provider = IdentityProvider(clock=clock)
    settings = OidcSettings.model_validate(
        {"OIDC_ISSUER": ISSUER, "OIDC_AUDIENCE": AUDIENCE, "OIDC_JWKS_URL": JWKS_URL}
    )
    credentials = CredentialCache(tenants, clock, 20)
    keys = SigningKeys(ISSUER, JWKS_URL, provider, clock, allow_http=False)
    users = UserTokens(settings, keys, credentials, clock)
    admins = AdminKeys(["an-administrators-key", "the-next-one"])
    return (
        Authenticator(credentials, FakeAudit(), admins, KeyVerifier(credentials, clock), users),
        tenants,
        key,
        provider,
    )


def test_a_request_is_authenticated_for_less_than_the_usual_ways_cost() -> None:
    authenticator, tenants, key, provider = world()
    wrong = ApiKey(key.tenant_id, key.key_id, new_key().secret)
    usual = jwt.encode({"sub": "alice", "exp": 4_000_000_000}, SECRET, "HS256")

    def decode(calls: int) -> None:
        for _ in range(calls):
            assert jwt.decode(usual, SECRET, ["HS256"])["sub"] == "alice"

    def slow_hash(calls: int) -> None:
        for _ in range(calls):
            hashlib.scrypt(str(key).encode(), salt=b"salt", n=2**14, r=8, p=1)

    peer = cpu_us(decode, CALLS)
    mistaken = authenticating(authenticator, f"Bearer {wrong}", valid=False)
    rows = [
        ("PyJWT: decode an HS256 token (the peer)", peer),
        ("a warm key", cpu_us(authenticating(authenticator, f"Bearer {key}", valid=True), CALLS)),
        (
            "a warm key, wrong secret",
            cpu_us(mistaken, CALLS),
        ),
        ("junk", cpu_us(authenticating(authenticator, "Bearer junk", valid=False), CALLS)),
        (
            "a user's token, RS256",
            cpu_us(authenticating(authenticator, f"Bearer {provider.token()}", valid=True), CALLS // 10),
        ),
        ("hashlib: scrypt of a key, n=16384", cpu_us(slow_hash, 10)),
    ]

    print(f"\n{'':<42} {'us CPU':>10} {'to the peer':>12}")
    for name, cost in rows:
        print(f"{name:<42} {cost:>10.1f} {cost / peer:>12.2f}")
    assert tenants.lookups == 2  # the key, and the tenant of the token: all else was warm
