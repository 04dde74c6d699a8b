"""Cache of credentials in force, for AUTH_CACHE_SECONDS: a warm request is authenticated without a look-up.

There is no last known good here. An entry that is too old is asked for again, and where the store is down,
that fails: what was revoked must die. See docs/adr/0013-keys-and-their-cache.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cachetools import TLRUCache

from shared.resilience.single_flight import SingleFlight
from shared.settings import MAX_AUTH_CACHE_SECONDS
from shared.tenancy.context import Role, TenantContext, parse_tenant_id
from shared.tenancy.store import TenantStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from shared.clock import Clock
    from shared.tenancy.context import TenantId
    from shared.tenancy.store import TenantItem
    from shared.tenancy.stored_keys import TenantKeyItem

MAX_TTL_SECONDS = MAX_AUTH_CACHE_SECONDS
"""What is revoked is refused everywhere within 30 s. The rest is the store's, to replicate."""

_ABSENT_SECONDS = 5.0
_KNOWN = (TenantStatus.ACTIVE, TenantStatus.SUSPENDED)
_MOST_PRESENT = 10_000
_MOST_ABSENT = 1_000


class TenantLookup(Protocol):
    """Tenants and keys, as authentication looks them up."""

    async def read(self, tenant_id: TenantId) -> TenantItem | None:
        """Return a tenant, active or not."""
        ...

    async def read_with_key(
        self, tenant_id: TenantId, key_id: str
    ) -> tuple[TenantItem | None, TenantKeyItem | None]:
        """Return a tenant and one of its keys."""
        ...

    def subscribe(self, changed: Callable[[TenantId], None]) -> None:
        """Call back after each change of a tenant or its keys that is made here."""
        ...


@dataclass(frozen=True, slots=True)
class KeyCredential:
    """A key that was not revoked, and the context that it gives to whoever presents it.

    Attributes:
        context: Its tenant and role, and its user where it is bound to one.
        digest: The hash of the key; the key itself is nowhere.
        expires_at: The time at which it ends by itself; never where None.
        suspended: Whether its tenant is suspended, so that it lets nobody in.
    """

    context: TenantContext
    digest: bytes
    expires_at: datetime | None
    suspended: bool = False


class CredentialCache:
    """The keys and tenants in force, each asked for at most once in `ttl_seconds`.

    Args:
        tenants: Looks them up; it also tells of changes that are made in this process, in force at once.
        clock: Its monotonic side measures ages.
        ttl_seconds: The greatest age of an answer, counted from before it was asked for.
    """

    def __init__(self, tenants: TenantLookup, clock: Clock, ttl_seconds: float) -> None:
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            raise ValueError(f"a credential may be cached for 0 to {MAX_TTL_SECONDS:g} seconds")
        self._tenants = tenants
        self._keys: _ShortMemory[KeyCredential] = _ShortMemory(clock, ttl_seconds)
        self._known: _ShortMemory[TenantItem] = _ShortMemory(clock, ttl_seconds)
        tenants.subscribe(self.forget)

    async def of_key(self, tenant_id: TenantId, key_id: str) -> KeyCredential | None:
        """Return a tenant's key unless it is absent or revoked; it may have expired meanwhile."""
        return await self._keys.get((tenant_id, key_id), lambda: self._look_up_key(tenant_id, key_id))

    async def of_tenant(self, tenant_id: TenantId) -> TenantItem | None:
        """Return a tenant, active or suspended, unless it is absent."""
        return await self._known.get((tenant_id,), lambda: self._look_up_tenant(tenant_id))

    async def read_tenant(self, tenant_id: TenantId) -> TenantItem | None:
        """Return a tenant as it is now, whatever its status: for what would be refused for good."""
        return await self._tenants.read(tenant_id)

    def forget(self, tenant_id: TenantId) -> None:
        """Look up anew whatever is a tenant's."""
        self._keys.forget(tenant_id)
        self._known.forget(tenant_id)

    async def _look_up_key(self, tenant_id: TenantId, key_id: str) -> KeyCredential | None:
        tenant, key = await self._tenants.read_with_key(tenant_id, key_id)
        if tenant is None or key is None or tenant.status not in _KNOWN:
            return None
        if key.revoked_at is not None or key.role is Role.ADMIN:
            return None
        context = TenantContext(
            parse_tenant_id(tenant.tenant_id), tenant.tier, key.role, key.key_id, user_id=key.user_id
        )
        return KeyCredential(
            context,
            bytes.fromhex(key.hash),
            key.expires_at,
            suspended=tenant.status is TenantStatus.SUSPENDED,
        )

    async def _look_up_tenant(self, tenant_id: TenantId) -> TenantItem | None:
        tenant = await self._tenants.read(tenant_id)
        return tenant if tenant is not None and tenant.status in _KNOWN else None


type _Name = tuple[str, ...]
"""A tenant id, and the id of one of the tenant's keys where that is meant."""


class _ShortMemory[V]:
    """Answers for a short time: those that found something, and apart from them, for less time, the others.

    The two have bounds of their own. Names that somebody makes up push out other absent ones only, so that
    they neither grow the process nor slow down those who have a key.
    """

    def __init__(self, clock: Clock, ttl_seconds: float) -> None:
        self._monotonic = clock.monotonic
        self._ttl = ttl_seconds
        self._present: TLRUCache[_Name, tuple[V, float]] = TLRUCache(
            _MOST_PRESENT, lambda _name, kept, _now: kept[1], timer=clock.monotonic
        )
        self._absent: TLRUCache[_Name, float] = TLRUCache(
            _MOST_ABSENT, lambda _name, until, _now: until, timer=clock.monotonic
        )
        self._questions: SingleFlight[_Name, V | None] = SingleFlight("The look-up of a credential")

    async def get(self, name: _Name, look_up: Callable[[], Awaitable[V | None]]) -> V | None:
        """Return what is known of a name, or look it up; those who come at once share one look-up."""
        present = self._present.get(name)
        if present is not None:
            return present[0]
        if name in self._absent:
            return None
        asked_at = self._monotonic()
        return await self._questions.ask(name, look_up, lambda found: self._keep(name, found, asked_at))

    def forget(self, tenant_id: TenantId) -> None:
        """Drop what is a tenant's; a look-up that is under way does not bring it back."""
        for names in (self._present, self._absent):
            for name in [name for name in names if name[0] == tenant_id]:
                names.pop(name, None)
        self._questions.forget(lambda name: name[0] == tenant_id)

    def _keep(self, name: _Name, found: V | None, asked_at: float) -> None:
        self._present.pop(name, None)
        self._absent.pop(name, None)
        if found is None:
            self._absent[name] = asked_at + min(self._ttl, _ABSENT_SECONDS)
        else:
            self._present[name] = (found, asked_at + self._ttl)
