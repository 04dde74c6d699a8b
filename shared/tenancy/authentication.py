"""Authentication: turns a credential into a context, which is built nowhere else."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Protocol

from shared.errors import AuthenticationError
from shared.tenancy.audit import AuditAction
from shared.tenancy.context import PlatformContext, Role, TenantContext, parse_tenant_id
from shared.tenancy.errors import TenantNotFoundError, TenantSuspendedError
from shared.tenancy.keys import AdminKeys, digest_of, parse_key
from shared.tenancy.store import TenantItem, TenantStatus

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.tenancy.context import TenantId
    from shared.tenancy.credential_cache import CredentialCache, KeyCredential
    from shared.tenancy.keys import Compare

_SCHEME = "bearer "
_DOTS_OF_A_TOKEN = 2
"""Between a token's header, claims and signature; an API key has three."""

_NO_DIGEST = bytes(32)
"""Compared with where there is no such key, so that each key takes one comparison. No text hashes to it."""


class RecordsActs(Protocol):
    """Audit trail of administrators who act for a tenant."""

    async def record(self, who: TenantContext, action: AuditAction, subject: str) -> object:
        """Keep what happens now, before going on with it."""
        ...


class VerifiesTokens(Protocol):
    """User tokens, where the deployment has a provider for them."""

    async def verify(self, token: str) -> TenantContext | None:
        """Return the context that a token gives, or None where it is not accepted."""
        ...


class KeyVerifier:
    """Checks API keys: first their form, then what is known of them, in one comparison of constant time."""

    def __init__(
        self, credentials: CredentialCache, clock: Clock, compare: Compare = hmac.compare_digest
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._compare = compare

    async def verify(self, presented: str, digest: bytes) -> TenantContext | None:
        """Return the context that a key gives, or None where it is not in force.

        Args:
            presented: The key.
            digest: Its `digest_of`.

        Raises:
            TenantSuspendedError: It is the key of a suspended tenant.
        """
        key = parse_key(presented)
        if key is None:
            return None
        known = await self._credentials.of_key(key.tenant_id, key.key_id)
        matches = self._compare(digest, _NO_DIGEST if known is None else known.digest)
        return None if known is None or not matches else self._context_of(known)

    async def is_in_force(self, tenant_id: TenantId, key_id: str) -> bool:
        """Tell whether a key that was verified before is in force yet.

        Raises:
            TenantSuspendedError: Its tenant is suspended by now.
        """
        known = await self._credentials.of_key(tenant_id, key_id)
        return known is not None and self._context_of(known) is not None

    def _context_of(self, known: KeyCredential) -> TenantContext | None:
        if known.expires_at is not None and known.expires_at <= self._clock.now():
            return None
        if known.suspended:
            raise TenantSuspendedError(known.context.tenant_id)
        return known.context


class Authenticator:
    """Turns credentials into contexts.

    Every failure reads the same, so that nothing tells an unknown tenant from a wrong secret. Only who has a
    tenant's right key, or a token of one of its users, is told that the tenant is suspended.

    Args:
        credentials: Knows the tenants.
        audit: Keeps that the administrator acts for a tenant.
        admins: The administrator's keys.
        keys: Checks the tenants' keys.
        users: Checks user tokens; None where there are none.
    """

    def __init__(
        self,
        credentials: CredentialCache,
        audit: RecordsActs,
        admins: AdminKeys,
        keys: KeyVerifier,
        users: VerifiesTokens | None = None,
    ) -> None:
        self._credentials = credentials
        self._audit = audit
        self._admins = admins
        self._keys = keys
        self._users = users

    async def authenticate(self, authorization: str | None) -> TenantContext | PlatformContext:
        """Check an `Authorization` header.

        Raises:
            AuthenticationError: It is missing or malformed, or the key is unknown, revoked or expired; or so
                is the user token.
            TenantSuspendedError: It is right, and its tenant is suspended.
            DependencyUnavailableError: The store or the identity provider is down, and what it last said is
                too old to go by.
        """
        if authorization is None or not authorization[: len(_SCHEME)].lower() == _SCHEME:
            raise AuthenticationError("An Authorization header with a Bearer key is required")
        presented = authorization[len(_SCHEME) :].strip()
        digest = digest_of(presented)
        if self._admins.include(digest):
            return PlatformContext("admin")
        if self._users is not None and presented.count(".") == _DOTS_OF_A_TOKEN:
            context = await self._users.verify(presented)
        else:
            context = await self._keys.verify(presented, digest)
        if context is None:
            raise AuthenticationError("The API key is not valid")
        return context

    async def check_in_force(self, tenant: TenantContext) -> None:
        """Check anew that a key which gave a context is in force: for answers that go on for minutes.

        User tokens and the administrator's keys are no tenant's to revoke.

        Raises:
            AuthenticationError: It is revoked or over by now.
            TenantSuspendedError: Its tenant is suspended by now.
            DependencyUnavailableError: The store is down, and what it last said is too old to go by.
        """
        key_id = tenant.key_id
        if key_id is not None and not await self._keys.is_in_force(tenant.tenant_id, key_id):
            raise AuthenticationError("The API key is not valid any more")

    async def for_tenant(self, platform: PlatformContext, tenant_id: str, route: str) -> TenantContext:
        """Let the administrator act for a tenant, once that is kept in the tenant's audit trail.

        Raises:
            TenantNotFoundError: There is no such tenant, or it is being purged.
            DependencyUnavailableError: The act cannot be kept, so it must not be done.
        """
        tenant = _build_context(await self._read_existing(tenant_id), Role.ADMIN, platform.principal)
        await self._audit.record(tenant, AuditAction.ADMIN_ACT, route)
        return tenant

    async def for_platform(self, tenant_id: str) -> TenantContext:
        """Let work that the platform's own queues and timers name a tenant for run as that tenant.

        An active one is remembered as its keys are. What is refused here is refused for good, so that one
        which is not known to be active is asked for anew: it may have been made, or woken, a moment ago.

        Raises:
            TenantNotFoundError: There is no such tenant, or it is suspended.
        """
        tenant = await self._credentials.of_tenant(_parse(tenant_id))
        if tenant is None or tenant.status is not TenantStatus.ACTIVE:
            tenant = await self._read_existing(tenant_id)
        if tenant.status is not TenantStatus.ACTIVE:
            raise TenantNotFoundError(tenant_id)
        return _build_context(tenant, Role.USER, "platform")

    async def find_active(self, tenant_id: TenantId) -> TenantContext | None:
        """Return the context in which work that comes round is done for a tenant; None unless it is active.

        Whatever it is, it is remembered as its keys are: another round comes.

        Raises:
            DependencyUnavailableError: The store is down, and what it last said is too old to go by.
        """
        tenant = await self._credentials.of_tenant(tenant_id)
        if tenant is None or tenant.status is not TenantStatus.ACTIVE:
            return None
        return _build_context(tenant, Role.USER, "platform")

    async def _read_existing(self, tenant_id: str) -> TenantItem:
        tenant = await self._credentials.read_tenant(_parse(tenant_id))
        if tenant is None or tenant.status is TenantStatus.PURGING:
            raise TenantNotFoundError(tenant_id)
        return tenant


def _parse(tenant_id: str) -> TenantId:
    try:
        return parse_tenant_id(tenant_id)
    except ValueError as error:
        raise TenantNotFoundError(tenant_id) from error


def _build_context(tenant: TenantItem, role: Role, principal: str) -> TenantContext:
    return TenantContext(parse_tenant_id(tenant.tenant_id), tenant.tier, role, principal)
