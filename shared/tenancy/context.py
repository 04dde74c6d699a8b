"""`TenantContext`, the first argument of every tenant operation, and its counterpart for the platform."""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType, Protocol

from shared.errors import PermissionDeniedError
from shared.validation import text_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

TenantId = NewType("TenantId", str)

TENANT_ID_PATTERN = text_pattern(
    r"^[A-Za-z0-9][A-Za-z0-9_-]{1,62}$", "2 to 63 letters, digits and _ -, beginning with a letter or digit"
)
"""design/architecture.md, rule 2; no id that matches can collide with a `global:` partition."""

PLATFORM = "platform"
"""The principal of work that nobody's credential asked for."""

USER_ID_PATTERN = text_pattern(
    r"^[A-Za-z0-9._@:|+=~-]{1,128}$", "1 to 128 letters, digits and . _ @ : | + = ~ -"
)
"""Pattern of a user's id, such as a token's subject or a mail address; it becomes part of ids in the store,
which take no `/`, `\\`, `?` or `#`."""

_TENANT_ID = re.compile(TENANT_ID_PATTERN)


class Role(StrEnum):
    """Role of a credential, the least first."""

    USER = "user"
    TENANT_ADMIN = "tenant_admin"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Tell whether this role may do what `other` may."""
        return _ORDER[self] >= _ORDER[other]


_ORDER = {role: place for place, role in enumerate(Role)}


def parse_tenant_id(value: str | None) -> TenantId:
    """Check a tenant id's form.

    Raises:
        ValueError: It is missing or malformed.
    """
    if not value:
        raise ValueError("tenant_id is required")
    if _TENANT_ID.fullmatch(value) is None:
        raise ValueError("tenant_id must match " + TENANT_ID_PATTERN)
    return TenantId(value)


def user_principal(subject: str) -> str:
    """Return the principal of a user token; no key's id has a colon."""
    return f"user:{subject}"


@dataclass(frozen=True, slots=True)
class TenantContext:
    """One tenant, as proved by a credential. Only `shared.tenancy` builds it (a test forbids it elsewhere).

    Attributes:
        tenant_id: The tenant that everything done with this context belongs to.
        tier: The tenant's tier; it decides limits.
        role: What the credential may do.
        principal: The key id, `user:` with a user token's subject, `admin`, or `platform` for work taken from
            a queue or a timer.
        user_id: The subject of a user token, or the user that a key is bound to; None where a key or the
            platform acts, for any user it names.
    """

    tenant_id: TenantId
    tier: str
    role: Role
    principal: str
    user_id: str | None = None

    @property
    def key_id(self) -> str | None:
        """Return the id of the tenant's key that was presented; None where something else was."""
        others = {PLATFORM, user_principal(self.user_id or "")}
        return None if self.role is Role.ADMIN or self.principal in others else self.principal

    @property
    def only_user(self) -> str | None:
        """Return the one user whose things it may see, or None where it may see all of the tenant's."""
        return self.user_id if self.role is Role.USER else None

    def __post_init__(self) -> None:
        parse_tenant_id(self.tenant_id)

    def user_named(self, user_id: str | None) -> str | None:
        """Return the user that a request is for: the credential's own, or whomever an unbound key names.

        Raises:
            PermissionDeniedError: A user, or a key that is bound to one, names somebody else.
        """
        if self.only_user is not None and user_id not in {None, self.only_user}:
            raise PermissionDeniedError("A user speaks for nobody else", {"user_id": self.only_user})
        return user_id or self.user_id

    def sees(self, user_id: str | None) -> bool:
        """Tell whether what is one user's, or nobody's in particular, may be seen."""
        return self.only_user is None or self.only_user == user_id


@dataclass(frozen=True, slots=True)
class PlatformContext:
    """The platform's administrator, acting for no tenant. Only `shared.tenancy` builds it."""

    principal: str


class PlatformAuthenticator(Protocol):
    """Source of the contexts in which the platform works for its tenants."""

    async def for_platform(self, tenant_id: str) -> TenantContext:
        """Let the platform's work run as a tenant.

        Raises:
            TenantNotFoundError: It does not exist, or is not active.
        """
        ...


def platform_work() -> PlatformContext:
    """Return the context of work that the platform does by itself, on a timer."""
    return PlatformContext(PLATFORM)


def as_platform(caller: TenantContext | PlatformContext) -> PlatformContext:
    """Return the administrator behind a context, for what concerns every tenant.

    Raises:
        PermissionDeniedError: It is not the administrator's.
    """
    if isinstance(caller, PlatformContext):
        return caller
    if caller.role is not Role.ADMIN:
        raise PermissionDeniedError("Only the platform's administrator may do this", {"role": caller.role})
    return PlatformContext(caller.principal)


_ambient: ContextVar[TenantContext | None] = ContextVar("tenant", default=None)


def require_tenant(tenant: TenantContext | None) -> TenantContext:
    """Return the tenant.

    Raises:
        ValueError: There is none.
    """
    if not isinstance(tenant, TenantContext):
        raise ValueError("tenant_id is required")  # noqa: TRY004  # the guidelines (document 5, 1) name ValueError
    return tenant


def ambient_tenant() -> TenantContext:
    """Return the tenant that the edge set for this task, for facades whose call shape has no tenant.

    Raises:
        ValueError: No edge set one.
    """
    return require_tenant(_ambient.get())


def tenant_caller(tenant_id: str | None) -> TenantContext:
    """Return the tenant that a call names, for facades whose documents give it as a text.

    Inside a request that is the request's own tenant, and no other can be named. Outside of one, whoever
    holds the store's own credential names the tenant.

    Raises:
        ValueError: None is named and none is ambient, or another one is named than the request's.
    """
    ambient = _ambient.get()
    if tenant_id is None or ambient is not None:
        ambient = require_tenant(ambient)
        if tenant_id is not None and tenant_id != ambient.tenant_id:
            raise ValueError("tenant_id is not the tenant of this request")
        return ambient
    return TenantContext(parse_tenant_id(tenant_id), "", Role.TENANT_ADMIN, PLATFORM)


def platform_caller() -> PlatformContext:
    """Return the platform for a facade: inside a request the administrator's alone.

    Raises:
        PermissionDeniedError: The request is not the administrator's.
    """
    ambient = _ambient.get()
    return platform_work() if ambient is None else as_platform(ambient)


@contextmanager
def acting_for(tenant: TenantContext) -> Iterator[None]:
    """Make `tenant` the ambient one within the block."""
    token = _ambient.set(require_tenant(tenant))
    try:
        yield
    finally:
        _ambient.reset(token)
