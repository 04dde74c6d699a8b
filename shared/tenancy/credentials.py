"""What the store last said of credentials, for seconds: what a warm request is authenticated with.

There is no last known good here. An entry that is too old is asked for again, and where the store is down,
that fails: what was revoked must die. See docs/adr/0013-keys-and-their-cache.md.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.errors import APIError
from shared.tenancy.context import Role, TenantContext, parse_tenant_id
from shared.tenancy.store import TenantStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from shared.clock import Clock
    from shared.tenancy.context import TenantId
    from shared.tenancy.store import TenantItem, TenantKeyItem

MAX_TTL_SECONDS = 25.0
"""design/api.md: what is revoked is refused everywhere within 30 s. The rest is the store's, to replicate."""

_ABSENT_SECONDS = 5.0
_MOST_PRESENT = 10_000
_MOST_ABSENT = 1_000


class TenantLookup(Protocol):
    """What authentication asks of the tenants container."""

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
    """What a key that is in force gives whoever presents it.

    Attributes:
        context: Whose it is and what it may do.
        digest: What the presented key must hash to; the key itself is nowhere.
        expires_at: When it ends by itself; never where None.
    """

    context: TenantContext
    digest: bytes
    expires_at: datetime | None


class Credentials:
    """The keys and tenants in force, each asked for at most once in `ttl_seconds`.

    Args:
        tenants: Who knows; it also tells of changes that are made in this process, in force at once.
        clock: Its monotonic side measures ages.
        ttl_seconds: How old an answer may be, counted from before it was asked for.
    """

    def __init__(self, tenants: TenantLookup, clock: Clock, ttl_seconds: float) -> None:
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            raise ValueError(f"a credential may be cached for 0 to {MAX_TTL_SECONDS:g} seconds")
        self._tenants = tenants
        self._keys: _Answers[KeyCredential] = _Answers(clock, ttl_seconds)
        self._active: _Answers[TenantItem] = _Answers(clock, ttl_seconds)
        tenants.subscribe(self.forget)

    async def of_key(self, tenant_id: TenantId, key_id: str) -> KeyCredential | None:
        """Return an active tenant's key unless it is absent or revoked; it may have expired meanwhile."""
        return await self._keys.get((tenant_id, key_id), lambda: self._ask_for_key(tenant_id, key_id))

    async def of_tenant(self, tenant_id: TenantId) -> TenantItem | None:
        """Return a tenant unless it is absent or suspended."""
        return await self._active.get((tenant_id,), lambda: self._ask_for_tenant(tenant_id))

    def forget(self, tenant_id: TenantId) -> None:
        """Ask again for whatever is a tenant's."""
        self._keys.forget(tenant_id)
        self._active.forget(tenant_id)

    async def _ask_for_key(self, tenant_id: TenantId, key_id: str) -> KeyCredential | None:
        tenant, key = await self._tenants.read_with_key(tenant_id, key_id)
        if tenant is None or key is None:
            return None
        if tenant.status is not TenantStatus.ACTIVE or key.revoked_at is not None or key.role is Role.ADMIN:
            return None
        context = TenantContext(parse_tenant_id(tenant.tenant_id), tenant.tier, key.role, key.key_id)
        return KeyCredential(context, bytes.fromhex(key.hash), key.expires_at)

    async def _ask_for_tenant(self, tenant_id: TenantId) -> TenantItem | None:
        tenant = await self._tenants.read(tenant_id)
        return tenant if tenant is not None and tenant.status is TenantStatus.ACTIVE else None


type _Name = tuple[str, ...]
"""A tenant id, and what of the tenant's."""


@dataclass(frozen=True, slots=True)
class _Landed[V]:
    """How a question ended: by an answer, an error, or nobody who went on asking."""

    value: V | None = None
    error: Exception | None = None
    abandoned: bool = False


class _Answers[V]:
    """Answers for a short time: what is there, and apart from it, for a shorter time, what is not.

    The two have bounds of their own. Names that somebody makes up push out other absent ones only, so that
    they neither grow the process nor slow down those who have a key.
    """

    def __init__(self, clock: Clock, ttl_seconds: float) -> None:
        self._monotonic = clock.monotonic
        self._ttl = ttl_seconds
        self._present: OrderedDict[_Name, tuple[V, float]] = OrderedDict()
        self._absent: OrderedDict[_Name, float] = OrderedDict()
        self._flights: dict[_Name, asyncio.Future[_Landed[V]]] = {}

    async def get(self, name: _Name, ask: Callable[[], Awaitable[V | None]]) -> V | None:
        """Return what is known of a name, or ask; those who come at once share one question."""
        present = self._present.get(name)
        if present is not None and self._monotonic() < present[1]:
            self._present.move_to_end(name)
            return present[0]
        if self._monotonic() < self._absent.get(name, 0.0):
            return None
        while (flight := self._flights.get(name)) is not None:
            landed = await asyncio.shield(flight)
            if landed.error is not None:
                raise landed.error
            if not landed.abandoned:
                return landed.value
        return await self._fly(name, ask)

    def forget(self, tenant_id: TenantId) -> None:
        """Drop what is a tenant's; a question that is under way does not bring it back."""
        for names in (self._present, self._absent, self._flights):
            for name in [name for name in names if name[0] == tenant_id]:
                del names[name]

    async def _fly(self, name: _Name, ask: Callable[[], Awaitable[V | None]]) -> V | None:
        flight: asyncio.Future[_Landed[V]] = asyncio.get_running_loop().create_future()
        self._flights[name] = flight
        asked_at = self._monotonic()
        landed = _Landed[V](abandoned=True)
        try:
            landed = _Landed(await ask())
        except APIError as error:
            landed = _Landed(error=error)
            raise
        finally:
            # Whoever waits learns of it; when this one was cancelled, the first of them asks anew.
            flight.set_result(landed)
            if self._flights.get(name) is flight:
                del self._flights[name]
                if landed.error is None and not landed.abandoned:
                    self._keep(name, landed.value, asked_at)
        return landed.value

    def _keep(self, name: _Name, value: V | None, asked_at: float) -> None:
        if value is None:
            self._present.pop(name, None)
            self._absent[name] = asked_at + min(self._ttl, _ABSENT_SECONDS)
            self._absent.move_to_end(name)
            if len(self._absent) > _MOST_ABSENT:
                self._absent.popitem(last=False)
            return
        self._absent.pop(name, None)
        self._present[name] = (value, asked_at + self._ttl)
        self._present.move_to_end(name)
        if len(self._present) > _MOST_PRESENT:
            self._present.popitem(last=False)
