"""User tokens of an OpenID Connect provider, such as Entra ID: verified into a tenant's user.

Imported when the deployment configures a provider: PyJWT and its cryptography load with it.
See docs/adr/0012-user-tokens.md.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.logging.logger import get_logger
from shared.tenancy.context import USER_ID_PATTERN, Role, TenantContext, parse_tenant_id, user_principal
from shared.tenancy.errors import TenantSuspendedError
from shared.tenancy.store import TenantStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.clock import Clock
    from shared.settings import OidcSettings
    from shared.tenancy.context import TenantId
    from shared.tenancy.credential_cache import CredentialCache
    from shared.tenancy.jwks import SigningKeys

_MAX_CHARACTERS = 16 * 1024
_MAX_KID = 200
_logger = get_logger(__name__)


class _Refused(Exception):  # noqa: N818  # it is no error: a token was not accepted
    """Reason for which a token is not accepted; the log is told, the caller is not."""


class _Claims(BaseModel):
    """The registered claims that decide; PyJWT has checked `iss` and `aud`."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    sub: str = Field(pattern=USER_ID_PATTERN)
    exp: float = Field(allow_inf_nan=False)
    iat: float = Field(allow_inf_nan=False)
    nbf: float | None = Field(None, allow_inf_nan=False)


class UserTokens:
    """Verifies user tokens.

    Args:
        settings: The issuer, and the meaning of its claims.
        keys: The issuer's signing keys.
        credentials: Knows which tenants are in force.
        clock: The time that `exp`, `nbf` and `iat` are compared with.
    """

    def __init__(
        self, settings: OidcSettings, keys: SigningKeys, credentials: CredentialCache, clock: Clock
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._credentials = credentials
        self._clock = clock

    async def verify(self, token: str) -> TenantContext | None:
        """Return the context that a token gives, or None where it is not accepted.

        Raises:
            TenantSuspendedError: It is a token of a suspended tenant's user.
            DependencyUnavailableError: The provider's keys, or the tenant, cannot be looked up.
        """
        try:
            payload = await self._verify_signature(token)
            claims = self._check_times(payload)
            role = self._read_role(payload)
            tenant = await self._credentials.of_tenant(self._read_tenant(payload))
        except (_Refused, jwt.PyJWTError, ValidationError) as error:
            reason = str(error) if isinstance(error, _Refused) else type(error).__name__
            _logger.info("A user token was refused", extra={"reason": reason})
            return None
        if tenant is None:
            _logger.info("A user token was refused", extra={"reason": "no such tenant"})
            return None
        if tenant.status is TenantStatus.SUSPENDED:
            raise TenantSuspendedError(tenant.tenant_id)
        tenant_id = parse_tenant_id(tenant.tenant_id)
        return TenantContext(tenant_id, tenant.tier, role, user_principal(claims.sub), user_id=claims.sub)

    async def _verify_signature(self, token: str) -> Mapping[str, Any]:
        if len(token) > _MAX_CHARACTERS:
            raise _Refused("too long")
        if not all(_is_canonical(part) for part in token.split(".")):
            raise _Refused("no base64url")
        header = jwt.get_unverified_header(token)
        kid = header.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
            raise _Refused("no kid")
        key = await self._keys.find(kid)
        if key is None:
            raise _Refused("unknown kid")
        # The key decides the algorithm, never the token.
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=self._settings.oidc_issuer,
            audience=self._settings.oidc_audience,
            options={
                "require": ["exp", "iat", "iss", "aud", "sub"],
                "enforce_minimum_key_length": True,
                # PyJWT has a clock of its own; `_check_times` checks them by ours.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )

    def _check_times(self, payload: Mapping[str, Any]) -> _Claims:
        claims = _Claims.model_validate(payload)
        now, leeway = self._clock.now().timestamp(), self._settings.oidc_leeway_seconds
        if claims.exp <= now - leeway:
            raise _Refused("expired")
        if max(claims.iat, claims.nbf or claims.iat) > now + leeway:
            raise _Refused("not yet valid")
        return claims

    def _read_tenant(self, payload: Mapping[str, Any]) -> TenantId:
        claim = payload.get(self._settings.oidc_tenant_claim)
        if not isinstance(claim, str):
            raise _Refused("no tenant")
        named = self._settings.oidc_tenant_map.get(claim) if self._settings.oidc_tenant_map else claim
        try:
            return parse_tenant_id(named)
        except ValueError as error:
            raise _Refused("no tenant") from error

    def _read_role(self, payload: Mapping[str, Any]) -> Role:
        claim = payload.get(self._settings.oidc_role_claim)
        named = claim if isinstance(claim, list) else [claim]
        mapped = self._settings.oidc_role_map
        roles = {mapped[name] for name in named if isinstance(name, str) and name in mapped}
        for role in ("tenant_admin", "user"):
            if role in roles:
                return Role(role)
        raise _Refused("no role")


def _is_canonical(part: str) -> bool:
    """Tell whether a part is the one way to write its bytes: PyJWT takes padding and stray bits, too."""
    try:
        content = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return False
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode() == part
