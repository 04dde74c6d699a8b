"""User tokens: signed by the provider's keys, for this app, in time, for a tenant in force; nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import DeadlineExceededError, DependencyTimeoutError, DependencyUnavailableError
from shared.resilience.deadlines import deadline, remaining_seconds
from shared.settings import OidcSettings
from shared.tenancy.authentication import Authenticator, KeyVerifier
from shared.tenancy.context import Role, TenantContext, parse_tenant_id
from shared.tenancy.credential_cache import CredentialCache
from shared.tenancy.errors import TenantSuspendedError
from shared.tenancy.jwks import SigningKeys
from shared.tenancy.keys import AdminKeys
from shared.tenancy.oidc import UserTokens
from shared.tenancy.store import TenantStatus, Tier
from tests.support.identity_provider import (
    AUDIENCE,
    ISSUER,
    JWKS_URL,
    IdentityProvider,
    ec_key,
    encoded,
    public_jwk,
    public_pem,
    rsa_key,
)
from tests.unit_tests.tenancy.tenants import FakeAudit, FakeTenants, new_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fakes import FakeClock

SHARED = b"a secret that the provider shares with somebody"
OUTAGE = DependencyUnavailableError("The identity provider")


@pytest.fixture
def provider(clock: FakeClock) -> IdentityProvider:
    return IdentityProvider(clock=clock)


@pytest.fixture
def tenants() -> FakeTenants:
    known = FakeTenants()
    known.add_tenant("acme")
    return known


class Users:
    """Verifies tokens of one provider for the tenants that are there."""

    def __init__(
        self, provider: IdentityProvider, tenants: FakeTenants, clock: FakeClock, **settings: object
    ) -> None:
        configured = OidcSettings.model_validate(
            {"OIDC_ISSUER": ISSUER, "OIDC_AUDIENCE": AUDIENCE, "OIDC_JWKS_URL": JWKS_URL} | settings
        )
        keys = SigningKeys(
            ISSUER, configured.oidc_jwks_url, provider, clock, allow_http=configured.oidc_allow_http
        )
        self.keys = keys
        self._tokens = UserTokens(configured, keys, CredentialCache(tenants, clock, 20), clock)
        self.tokens = self._tokens

    async def accept(self, token: str) -> TenantContext | None:
        return await self._tokens.verify(token)


@pytest.fixture
def users(provider: IdentityProvider, tenants: FakeTenants, clock: FakeClock) -> Users:
    return Users(provider, tenants, clock)


async def test_a_token_gives_its_tenant_role_and_subject(users: Users, provider: IdentityProvider) -> None:
    context = await users.accept(provider.token())

    acme = parse_tenant_id("acme")
    assert context == TenantContext(acme, Tier.STANDARD, Role.USER, "user:alice", user_id="alice")
    assert context.only_user == "alice"


async def test_a_tenants_administrator_is_not_narrowed_to_himself(
    users: Users, provider: IdentityProvider
) -> None:
    context = await users.accept(provider.token(roles=["user", "tenant_admin"]))

    assert context is not None
    assert (context.role, context.user_id, context.only_user) == (Role.TENANT_ADMIN, "alice", None)


@pytest.mark.parametrize(
    ("alg", "kid", "jwk"),
    [
        ("RS256", "r", public_jwk("r", rsa_key())),
        ("RS384", "r", public_jwk("r", rsa_key(), alg="RS384")),
        ("PS256", "r", public_jwk("r", rsa_key(), alg="PS256")),
        ("ES256", "e", public_jwk("e", ec_key())),
        ("ES384", "e", public_jwk("e", ec_key("P-384"), alg="ES384")),
    ],
)
async def test_each_allowed_algorithm_is_verified(
    users: Users, provider: IdentityProvider, alg: str, kid: str, jwk: dict[str, Any]
) -> None:
    provider.published = [jwk]
    key = rsa_key() if jwk["kty"] == "RSA" else ec_key(jwk["crv"])

    assert await users.accept(provider.token(alg=alg, key=key, headers={"kid": kid}))
    stranger = provider.token(headers={"kid": kid}, key=rsa_key(9))
    assert await users.accept(stranger) is None


FORGERIES: dict[str, Callable[[IdentityProvider], str]] = {
    "alg none": lambda p: p.unsigned(),
    "alg None in another case": lambda p: p.unsigned(alg="nOnE"),
    "no alg": lambda p: p.unsigned(alg=None),
    "alg none with the signature left on": lambda p: p.unsigned() + p.token().rsplit(".", 1)[1],
    "algorithm confusion: HS256 with the public key": lambda p: p.signed_by_secret(public_pem(rsa_key())),
    "algorithm confusion: HS256 with the public modulus": lambda p: p.signed_by_secret(
        public_jwk("current", rsa_key())["n"].encode()
    ),
    "HS256 with nothing": lambda p: p.signed_by_secret(b""),
    "another algorithm of the same key": lambda p: p.token(alg="RS512"),
    "another's key under the known kid": lambda p: p.token(key=rsa_key(1)),
    "a curve's key under the known kid": lambda p: p.token(key=ec_key(), alg="ES256"),
    "claims changed after signing": lambda p: _with_claims(p.token(), p.claims(tid="globex")),
    "a key of its own in the header": lambda p: p.token(
        key=rsa_key(1), headers={"jwk": public_jwk("current", rsa_key(1))}
    ),
    "a key set of its own by jku": lambda p: p.token(
        key=rsa_key(1), headers={"jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"}
    ),
    "a certificate of its own": lambda p: p.token(key=rsa_key(1), headers={"x5c": ["MIIB"]}),
    "an extension that must be understood": lambda p: p.token(headers={"crit": ["exp"], "exp": 1}),
    "a padded signature": lambda p: p.token() + "=",
    "a signature padded as base64 is": lambda p: p.token() + "==",
    "a padded signature of a curve's key": lambda p: p.token() + "====",
    "stray bits at the signature's end": lambda p: _with_stray_bits(p.token()),
    "a line break after the signature": lambda p: p.token() + "\n",
    "base64 in place of base64url": lambda p: p.token().replace("-", "+").replace("_", "/"),
    "no kid": lambda p: p.token(headers={"kid": None}),
    "a kid that is a path": lambda p: p.token(headers={"kid": "../../dev/null"}, key=rsa_key(1)),
    "a kid of any length": lambda p: p.token(headers={"kid": "k" * 10_000}),
    "a token of any length": lambda p: p.token(filler="x" * 20_000),
    "another issuer": lambda p: p.token(iss="https://login.example/other/v2.0"),
    "an issuer that begins alike": lambda p: p.token(iss=ISSUER + "/"),
    "another audience": lambda p: p.token(aud="api://another-app"),
    "audiences without ours": lambda p: p.token(aud=["api://a", "api://b"]),
    "an audience that begins alike": lambda p: p.token(aud=AUDIENCE + "-2"),
    "expired": lambda p: p.token(exp=_now(p) - 61),
    "not yet valid": lambda p: p.token(nbf=_now(p) + 61),
    "issued in the future": lambda p: p.token(iat=_now(p) + 61),
    "an end that is no time": lambda p: p.token(exp="tomorrow"),
    "an end that never comes": lambda p: p.token(exp=float("inf")),
    "an end that is nothing": lambda p: p.token(exp=float("nan")),
    "an end that is true": lambda p: p.token(exp=True),
    "an end beyond all numbers": lambda p: p.token(exp=10**400),
    "no exp": lambda p: p.token(exp=None),
    "no iat": lambda p: p.token(iat=None),
    "no iss": lambda p: p.token(iss=None),
    "no aud": lambda p: p.token(aud=None),
    "no sub": lambda p: p.token(sub=None),
    "no tenant": lambda p: p.token(tid=None),
    "no role": lambda p: p.token(roles=None),
    "a role that is not mapped": lambda p: p.token(roles=["admin", "owner"]),
    "roles that are no texts": lambda p: p.token(roles=[["user"], {"user": 1}, 1]),
    "a subject that is no id": lambda p: p.token(sub="a/b"),
    "an empty subject": lambda p: p.token(sub=""),
    "tenants in a list": lambda p: p.token(tid=["acme"]),
    "a tenant that does not exist": lambda p: p.token(tid="globex"),
    "the platform's own partition": lambda p: p.token(tid="global:tenants"),
    "a tenant in another spelling": lambda p: p.token(tid="ACME"),
    "claims that are a list": lambda p: _with_claims(p.token(), [1]),
    "no parts at all": lambda _: "..",
    "parts that are no base64": lambda _: "a.b.c!",
}


def _now(provider: IdentityProvider) -> int:
    return int(provider.claims()["iat"])


def _with_stray_bits(token: str) -> str:
    """Write the same signature in another way: 2048 bits leave four unused in its last character."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def _with_claims(token: str, claims: object) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{encoded(claims)}.{signature}"


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_or_foreign_token_is_refused(
    users: Users, provider: IdentityProvider, tenants: FakeTenants, name: str
) -> None:
    assert await users.accept(provider.token()) is not None
    before = tenants.lookups

    assert await users.accept(FORGERIES[name](provider)) is None

    may_ask = {"a tenant that does not exist", "a tenant in another spelling"}
    assert tenants.lookups == before + (name in may_ask)
    assert set(provider.asked) == {JWKS_URL}  # no token decides what is fetched


async def test_the_log_gets_the_reason_and_nothing_of_the_token(
    users: Users, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    token = provider.token(aud="api://another-app")

    with caplog.at_level(logging.INFO):
        await users.accept(token)

    (line,) = caplog.records
    assert line.__dict__["reason"] == "InvalidAudienceError"
    for part in (*token.split("."), "alice"):
        assert part not in str(line.__dict__)


async def test_what_is_within_the_leeway_is_accepted(users: Users, provider: IdentityProvider) -> None:
    now = _now(provider)

    assert await users.accept(provider.token(exp=now - 59))
    assert await users.accept(provider.token(nbf=now + 60, iat=now + 60))


async def test_what_providers_may_leave_out_or_add_is_accepted(
    users: Users, provider: IdentityProvider
) -> None:
    assert await users.accept(provider.token(nbf=None))
    assert await users.accept(provider.token(aud=["api://another-app", AUDIENCE]))
    assert await users.accept(provider.token(roles="user", groups=["a"], ver="2.0"))


async def test_a_token_ends_when_its_time_is_up(
    users: Users, provider: IdentityProvider, clock: FakeClock
) -> None:
    token = provider.token(exp=_now(provider) + 100)

    clock.advance(159)
    assert await users.accept(token)
    clock.advance(1)
    assert await users.accept(token) is None


async def test_a_suspended_tenants_users_are_refused_once_that_is_known(
    users: Users, provider: IdentityProvider, tenants: FakeTenants, clock: FakeClock
) -> None:
    token = provider.token()
    assert await users.accept(token)
    tenants.set_status("acme", TenantStatus.SUSPENDED)

    clock.advance(20)
    with pytest.raises(TenantSuspendedError, match="Tenant 'acme' is suspended"):
        await users.accept(token)
    forged = provider.token(key=rsa_key(1))
    assert await users.accept(forged) is None  # who has no right token is not told
    tenants.set_status("acme", TenantStatus.PURGING)
    tenants.tell("acme")
    assert await users.accept(token) is None
    tenants.set_status("acme", TenantStatus.ACTIVE)
    tenants.tell("acme")
    assert await users.accept(token)


async def test_claims_are_mapped_to_tenants_and_roles(
    provider: IdentityProvider, tenants: FakeTenants, clock: FakeClock
) -> None:
    users = Users(
        provider,
        tenants,
        clock,
        OIDC_TENANT_CLAIM="org",
        OIDC_TENANT_MAP="8f3c=acme, 9a=globex",
        OIDC_ROLE_CLAIM="groups",
        OIDC_ROLE_MAP="Tenantry.Admin=tenant_admin,Tenantry.User=user",
    )

    context = await users.accept(provider.token(org="8f3c", groups="Tenantry.Admin"))

    assert context is not None
    assert (context.tenant_id, context.role) == ("acme", Role.TENANT_ADMIN)
    assert await users.accept(provider.token(org="acme", groups="Tenantry.Admin")) is None
    assert await users.accept(provider.token(org="8f3c", groups="tenant_admin")) is None


class TestSigningKeys:
    async def test_warm_keys_are_asked_for_nothing(self, users: Users, provider: IdentityProvider) -> None:
        for _ in range(10):
            assert await users.accept(provider.token())

        assert provider.asked == [JWKS_URL]

    async def test_an_unknown_kid_asks_again_at_most_once_in_30_seconds(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        assert await users.accept(provider.token())
        for number in range(50):
            assert await users.accept(provider.token(headers={"kid": f"made-up-{number}"})) is None
        assert len(provider.asked) == 1  # 30 s are not over since the first
        clock.advance(29.9)
        assert await users.accept(provider.token(headers={"kid": "made-up"})) is None
        assert len(provider.asked) == 1

        clock.advance(0.1)
        for number in range(50):
            assert await users.accept(provider.token(headers={"kid": f"made-up-{number}"})) is None
        assert len(provider.asked) == 2

    async def test_a_new_key_is_found_and_a_withdrawn_one_is_refused(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        old = provider.token()
        assert await users.accept(old)
        provider.published = [public_jwk("next", rsa_key(1))]
        clock.advance(30)

        assert await users.accept(provider.token(key=rsa_key(1), headers={"kid": "next"}))
        assert await users.accept(old) is None

    async def test_a_withdrawn_key_is_refused_after_a_while_though_nobody_uses_another(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        clock.advance(0)
        assert await users.accept(provider.token())
        provider.published = []
        clock.advance(900)

        assert await users.accept(provider.token()) is None

    async def test_while_the_provider_is_down_known_keys_serve_for_an_hour_and_no_longer(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        assert await users.accept(provider.token())
        provider.failure = OUTAGE

        clock.advance(3_599)
        assert await users.accept(provider.token())
        clock.advance(1)
        with pytest.raises(DependencyUnavailableError):
            await users.accept(provider.token())

    @pytest.mark.parametrize("failure", [OUTAGE, DependencyTimeoutError("The identity provider", 5)])
    async def test_without_keys_a_provider_that_is_down_is_a_503_that_says_when_to_come_back(
        self,
        users: Users,
        provider: IdentityProvider,
        clock: FakeClock,
        failure: DependencyUnavailableError | DependencyTimeoutError,
    ) -> None:
        provider.failure = failure
        for _ in range(3):
            with pytest.raises(DependencyUnavailableError) as caught:
                await users.accept(provider.token())
        assert caught.value.retry_after == 5
        assert len(provider.asked) == 1  # it is left in peace meanwhile

        provider.failure = None
        clock.advance(5)
        assert await users.accept(provider.token())

    async def test_those_who_come_at_once_ask_once(self, users: Users, provider: IdentityProvider) -> None:
        provider.gate = asyncio.Event()
        asking = [asyncio.create_task(users.accept(provider.token())) for _ in range(20)]
        await asyncio.sleep(0)
        provider.gate.set()

        assert all(await asyncio.gather(*asking))
        assert len(provider.asked) == 1

    async def test_all_who_wait_for_a_provider_that_fails_have_one_question_and_one_answer(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        provider.gate, provider.failure = asyncio.Event(), OUTAGE
        waiting = [asyncio.create_task(users.accept(provider.token())) for _ in range(30)]
        ready = asyncio.create_task(users.keys.check())
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(provider.asked) == 1
        clock.advance(11)  # it took its time
        provider.gate.set()

        ended = await asyncio.gather(*waiting, ready, return_exceptions=True)
        assert all(isinstance(one, DependencyUnavailableError) for one in ended)
        assert len(provider.asked) == 1
        for seconds in (0, 4.9):  # the pause begins with the failure
            clock.advance(seconds)
            with pytest.raises(DependencyUnavailableError):
                await users.accept(provider.token())
            assert len(provider.asked) == 1
        clock.advance(0.1)
        with pytest.raises(DependencyUnavailableError):
            await users.accept(provider.token())
        assert len(provider.asked) == 2

    async def test_who_may_wait_for_less_time_than_the_provider_takes_waits_no_longer(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        provider.gate = asyncio.Event()
        patient = asyncio.create_task(users.accept(provider.token()))
        await asyncio.sleep(0)

        with deadline(0, clock), pytest.raises(DeadlineExceededError):
            await users.keys.check()

        provider.gate.set()
        assert await patient
        assert len(provider.asked) == 1

    async def test_while_one_asks_anew_nobody_with_a_known_key_waits(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        assert await users.accept(provider.token())
        clock.advance(900)
        provider.gate = asyncio.Event()
        asking = asyncio.create_task(users.accept(provider.token()))
        await asyncio.sleep(0)

        assert await users.accept(provider.token())
        assert not asking.done()
        asking.cancel()  # whoever hangs up takes nothing along
        await asyncio.wait([asking])
        provider.gate.set()
        assert await users.accept(provider.token())
        assert len(provider.asked) == 3

    async def test_readiness_asks_no_more_often_than_tokens_do(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        for _ in range(10):
            await users.keys.check()
        assert await users.accept(provider.token())
        assert provider.asked == [JWKS_URL]
        provider.failure = OUTAGE

        clock.advance(3_599)
        for _ in range(10):
            await users.keys.check()  # tokens are still verified
        assert len(provider.asked) == 2
        clock.advance(1)
        with pytest.raises(DependencyUnavailableError):
            await users.keys.check()

    async def test_an_unknown_kid_while_the_provider_is_down_is_no_refusal(
        self, users: Users, provider: IdentityProvider, clock: FakeClock
    ) -> None:
        assert await users.accept(provider.token())
        provider.failure = OUTAGE
        clock.advance(30)

        with pytest.raises(DependencyUnavailableError):
            await users.accept(provider.token(headers={"kid": "next"}))
        assert await users.accept(provider.token())

    @pytest.mark.parametrize(
        "published",
        [
            {"kty": "oct", "kid": "current", "k": encoded(SHARED), "alg": "HS256"},
            {"kty": "oct", "kid": "current", "k": encoded(SHARED)},
            public_jwk("current", rsa_key(), use="enc"),
            public_jwk("current", rsa_key(), key_ops=["encrypt"]),
            public_jwk("current", rsa_key(), alg="HS256"),
            public_jwk("current", rsa_key(2, 1024)),
            public_jwk("current", ec_key(), crv="P-384"),
            public_jwk("current", ec_key(), alg="ES384"),
            {name: value for name, value in public_jwk("current", rsa_key()).items() if name != "kid"},
            {
                "kty": "OKP",
                "kid": "current",
                "crv": "Ed25519",
                "x": encoded(bytes(32)),
            },
            {"kty": "RSA", "kid": "current", "n": "!" * 400, "e": "AQAB"},
            "current",
            None,
        ],
    )
    async def test_a_member_that_is_no_public_signing_key_is_left_out_and_the_rest_serves(
        self, users: Users, provider: IdentityProvider, published: object
    ) -> None:
        provider.published = [published, public_jwk("good", rsa_key(1))]

        assert await users.accept(provider.token(key=rsa_key(1), headers={"kid": "good"}))
        assert await users.accept(provider.token()) is None
        assert await users.accept(provider.signed_by_secret(SHARED)) is None

    @pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
    async def test_what_a_weak_key_signed_is_refused_though_the_provider_publishes_it(
        self, users: Users, provider: IdentityProvider
    ) -> None:
        provider.published = [public_jwk("weak", rsa_key(2, 1024)), public_jwk("current", rsa_key())]

        assert await users.accept(provider.token())
        assert await users.accept(provider.token(key=rsa_key(2, 1024), headers={"kid": "weak"})) is None

    async def test_the_private_half_of_a_careless_provider_is_not_read(
        self, users: Users, provider: IdentityProvider
    ) -> None:
        provider.published = [public_jwk("current", rsa_key(), d="x", p="y", q="z")]

        assert await users.accept(provider.token())

    async def test_of_two_keys_of_one_id_the_first_is_meant(
        self, users: Users, provider: IdentityProvider
    ) -> None:
        provider.published = [public_jwk("current", rsa_key()), public_jwk("current", rsa_key(1))]

        assert await users.accept(provider.token())
        assert await users.accept(provider.token(key=rsa_key(1))) is None

    @pytest.mark.parametrize(
        "document", [b"", b"[]", b'{"keys": 1}', b"<html>", b"\xff", b'{"keys": ' * 9_999]
    )
    async def test_what_is_no_key_set_is_an_outage(
        self, users: Users, provider: IdentityProvider, document: bytes
    ) -> None:
        provider.documents[JWKS_URL] = document

        with pytest.raises(DependencyUnavailableError):
            await users.accept(provider.token())


class TestDiscovery:
    URL = ISSUER + "/.well-known/openid-configuration"

    @pytest.fixture
    def users(self, provider: IdentityProvider, tenants: FakeTenants, clock: FakeClock) -> Users:
        return Users(provider, tenants, clock, OIDC_JWKS_URL=None)

    async def test_the_issuers_document_says_where_its_keys_are(
        self, users: Users, provider: IdentityProvider
    ) -> None:
        assert await users.accept(provider.token())
        assert provider.asked == [self.URL, JWKS_URL]

    async def test_discovery_and_keys_share_one_deadline(
        self, users: Users, provider: IdentityProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left: list[float | None] = []
        fetch = provider.fetch

        async def fetch_slowly(url: str) -> bytes:
            left.append(remaining_seconds())
            clock.advance(3)
            return await fetch(url)

        monkeypatch.setattr(provider, "fetch", fetch_slowly)
        assert await users.accept(provider.token())

        assert left == [5, 2]

    @pytest.mark.parametrize(
        "document",
        [
            {"issuer": "https://evil.example", "jwks_uri": JWKS_URL},
            {"issuer": ISSUER, "jwks_uri": "http://login.example/keys"},
            {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
            {"issuer": ISSUER},
            [],
        ],
    )
    async def test_a_document_that_cannot_be_trusted_is_an_outage(
        self, users: Users, provider: IdentityProvider, document: object
    ) -> None:
        provider.documents[self.URL] = json.dumps(document).encode()

        with pytest.raises(DependencyUnavailableError):
            await users.accept(provider.token())
        assert provider.asked == [self.URL]


async def test_keys_and_tokens_are_told_apart_by_their_form(
    users: Users, provider: IdentityProvider, tenants: FakeTenants, clock: FakeClock
) -> None:
    key = new_key()
    tenants.add(key, Role.TENANT_ADMIN)
    credentials = CredentialCache(tenants, clock, 20)
    keys = KeyVerifier(credentials, clock)
    authenticator = Authenticator(credentials, FakeAudit(), AdminKeys(["an-admin"]), keys, users.tokens)

    by_key = await authenticator.authenticate(f"Bearer {key}")
    by_token = await authenticator.authenticate(f"Bearer {provider.token()}")

    assert isinstance(by_key, TenantContext)
    assert isinstance(by_token, TenantContext)
    assert (by_key.user_id, by_key.only_user) == (None, None)
    assert (by_token.user_id, by_token.only_user) == ("alice", "alice")
