"""Signing keys of the identity provider (JWKS): fetched when needed, kept a while, one algorithm per key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import jwt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from shared.logging.logger import get_logger
from shared.resilience.deadlines import deadline
from shared.resilience.policy import Policy
from shared.resilience.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.clock import Clock

PROVIDER = "The identity provider"

FRESH_SECONDS = 900.0
"""Time for which the keys are used without asking."""

MAX_SECONDS = 3600.0
"""Time for which they are used at most while the provider is down; then a withdrawn key is refused, too."""

INTERVAL_SECONDS = 30.0
"""Least time between two questions to the provider, whatever tokens come."""

OUTAGE_SECONDS = 5.0
"""Least time after a question that failed, counted from its failure."""

ASK_SECONDS = 5.0
"""Time limit of one question, discovery included, for all who wait for its answer."""

POLICY = Policy(attempts=3, attempt_seconds=2.0, total_seconds=ASK_SECONDS, backoff_seconds=0.1)
MAX_BYTES = 256 * 1024
"""More than any key set or discovery document has."""

_DISCOVERY = "/.well-known/openid-configuration"
_MOST_KEYS = 100
_SHORTEST_RETRY_AFTER = 1.0
_logger = get_logger(__name__)


class DocumentSource(Protocol):
    """The provider's documents."""

    async def fetch(self, url: str) -> bytes:
        """Return a document.

        Raises:
            DependencyUnavailableError: The provider does not give it.
            DependencyTimeoutError: It takes too long.
        """
        ...


class _PublicKey(BaseModel):
    """A member of a key set, as far as it matters: what is not named here, private parts too, is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kid: str = Field(min_length=1, max_length=200)
    use: Literal["sig"] = "sig"
    key_ops: list[str] = ["verify"]


class _RsaKey(_PublicKey):
    kty: Literal["RSA"]
    alg: Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] = "RS256"
    n: str = Field(min_length=340, max_length=2_800)
    """2048 to 16384 bits in base64url."""
    e: str = Field(max_length=16)


class _EcKey(_PublicKey):
    kty: Literal["EC"]
    alg: Literal["ES256", "ES384", "ES512"] | None = None
    crv: Literal["P-256", "P-384", "P-521"]
    x: str = Field(max_length=100)
    y: str = Field(max_length=100)


_ALGORITHM_OF_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_KEY: TypeAdapter[_RsaKey | _EcKey] = TypeAdapter(
    Annotated[_RsaKey | _EcKey, Field(discriminator="kty")],
)


class _KeySet(BaseModel):
    keys: list[object]


class _Discovery(BaseModel):
    issuer: str
    jwks_uri: str


@dataclass(frozen=True, slots=True)
class _Fetched:
    """The provider's keys by their ids, as of the time at which they were asked for."""

    keys: Mapping[str, jwt.PyJWK]
    since: float


class SigningKeys:
    """The keys in force of one issuer.

    Args:
        issuer: The `iss` of its tokens.
        jwks_url: The address of the keys; None to have the issuer's discovery document say it.
        documents: Fetches documents.
        clock: Its monotonic side measures ages.
        allow_http: Whether a discovered address may be http.
    """

    def __init__(
        self,
        issuer: str,
        jwks_url: str | None,
        documents: DocumentSource,
        clock: Clock,
        *,
        allow_http: bool,
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._documents = documents
        self._clock = clock
        self._monotonic = clock.monotonic
        self._allow_http = allow_http
        self._fetched = _Fetched({}, float("-inf"))
        self._ask_again_at = float("-inf")
        self._outage: DependencyUnavailableError | DependencyTimeoutError | None = None
        self._questions: SingleFlight[str, None] = SingleFlight(PROVIDER)

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key of this id, or None where the provider has none.

        An id that is not known asks the provider again, at most once in 30 s.

        Raises:
            DependencyUnavailableError: The provider is down, and what is known of it too old or not enough.
            DependencyTimeoutError: It takes too long, likewise.
        """
        key = self._find_known(kid, FRESH_SECONDS)
        if key is not None:
            return key
        if self._questions.is_asking(PROVIDER) and (key := self._find_known(kid, MAX_SECONDS)) is not None:
            return key  # somebody asks already; this one need not wait
        await self._refresh()
        key = self._find_known(kid, MAX_SECONDS)
        if key is None and self._outage is not None:
            raise self._unavailable() from self._outage
        return key

    async def check(self) -> None:
        """Prove that tokens can be verified, without asking the provider more often than they do.

        Raises:
            DependencyUnavailableError: They cannot: the provider is down, and what is known of it too old.
            DeadlineExceededError: The provider did not answer within the caller's own time.
        """
        if self._age() >= FRESH_SECONDS:
            await self._refresh()
        if self._age() >= MAX_SECONDS:
            raise self._unavailable() from self._outage

    def _age(self) -> float:
        return self._monotonic() - self._fetched.since

    def _find_known(self, kid: str, age: float) -> jwt.PyJWK | None:
        if self._age() >= age:
            return None
        return self._fetched.keys.get(kid)

    def _unavailable(self) -> DependencyUnavailableError:
        wait = max(self._ask_again_at - self._monotonic(), _SHORTEST_RETRY_AFTER)
        return DependencyUnavailableError(PROVIDER, retry_after=min(wait, OUTAGE_SECONDS))

    async def _refresh(self) -> None:
        """Ask the provider unless that was lately; all who come meanwhile share one question and its time."""
        if not self._questions.is_asking(PROVIDER) and self._monotonic() < self._ask_again_at:
            return
        await self._questions.ask(PROVIDER, self._ask, lambda _: None)

    async def _ask(self) -> None:
        asked_at = self._monotonic()
        try:
            with deadline(ASK_SECONDS, self._clock):
                url = self._jwks_url or await self._discover_url()
                keys = _read_keys(await self._documents.fetch(url))
        except (DependencyUnavailableError, DependencyTimeoutError) as error:
            self._outage, self._ask_again_at = error, self._monotonic() + OUTAGE_SECONDS
            _logger.warning("The signing keys were not fetched", extra={"error": error.message})
            return
        self._outage, self._ask_again_at = None, self._monotonic() + INTERVAL_SECONDS
        self._fetched = _Fetched(keys, asked_at)

    async def _discover_url(self) -> str:
        document = await self._documents.fetch(self._issuer.rstrip("/") + _DISCOVERY)
        try:
            found = _Discovery.model_validate_json(document)
        except ValidationError as error:
            raise DependencyUnavailableError(PROVIDER, "has no usable discovery document") from error
        if found.issuer != self._issuer:
            raise DependencyUnavailableError(PROVIDER, "is another than its discovery document says")
        if not (found.jwks_uri.startswith("https://") or self._allow_http):
            raise DependencyUnavailableError(PROVIDER, "names an address without https for its keys")
        return found.jwks_uri


def _read_keys(document: bytes) -> dict[str, jwt.PyJWK]:
    """Read the public keys for signatures; others (secret ones, other uses, other curves) are left out."""
    try:
        members = _KeySet.model_validate_json(document).keys
    except ValidationError as error:
        raise DependencyUnavailableError(PROVIDER, "has no usable key set") from error
    keys: dict[str, jwt.PyJWK] = {}
    for member in members[:_MOST_KEYS]:
        try:
            key = _KEY.validate_python(member)
            keys.setdefault(key.kid, _build_key(key))
        except (ValidationError, jwt.PyJWTError) as error:
            _logger.info("A key of the set is left out", extra={"reason": type(error).__name__})
    return keys


def _build_key(key: _RsaKey | _EcKey) -> jwt.PyJWK:
    if "verify" not in key.key_ops:
        raise jwt.InvalidKeyError("it is not for verifying")
    if isinstance(key, _RsaKey):
        return jwt.PyJWK({"kty": "RSA", "n": key.n, "e": key.e}, key.alg)
    algorithm = _ALGORITHM_OF_CURVE[key.crv]
    if key.alg not in {None, algorithm}:
        raise jwt.InvalidKeyError("its algorithm is not its curve's")
    return jwt.PyJWK({"kty": "EC", "crv": key.crv, "x": key.x, "y": key.y}, algorithm)
