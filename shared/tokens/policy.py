"""What tenants decide about their budgets, as the ledger asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.caching.region import Freshness
from shared.tokens.quota import AppShares
from shared.tokens.settings import TOKENS_APP_SHARES, TOKENS_ON_STORE_FAILURE, OnStoreFailure

if TYPE_CHECKING:
    from shared.caching.region import Cache, Region
    from shared.tenancy.context import TenantContext
    from shared.tenancy.settings import Setting

_TTL_SECONDS = 10.0
_MOST_TENANTS = 4096


class LedgerPolicy(Protocol):
    """What the ledger asks of a tenant's settings."""

    async def app_shares(self, tenant: TenantContext) -> AppShares:
        """Return what bounds the tenant's applications."""
        ...

    async def on_store_failure(self, tenant: TenantContext) -> OnStoreFailure:
        """Return what becomes of a lock while the store is down; it is asked for before the store is needed.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was read before.
        """
        ...


class FixedPolicy:
    """The same for every tenant."""

    def __init__(
        self,
        shares: AppShares | None = None,
        on_store_failure: OnStoreFailure = OnStoreFailure.CLOSED,
    ) -> None:
        self._shares = shares or AppShares()
        self._on_store_failure = on_store_failure

    async def app_shares(self, tenant: TenantContext) -> AppShares:  # noqa: ARG002  # the same for all
        """Return what bounds applications."""
        return self._shares

    async def on_store_failure(self, tenant: TenantContext) -> OnStoreFailure:  # noqa: ARG002  # same
        """Return what becomes of a lock while the store is down."""
        return self._on_store_failure


FIXED = FixedPolicy()
"""No shares, and closed while the store is down."""


class ReadsSettings(Protocol):
    """What the policy asks of `shared.tenancy.settings`."""

    async def value[T](self, tenant: TenantContext, setting: Setting[T]) -> T:
        """Return the value in force.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Chosen:
    shares: AppShares
    on_store_failure: OnStoreFailure


class SettingsPolicy:
    """What the tenant's settings say.

    The settings are in the store whose failure is to be decided about: what this process read last of them
    holds while they cannot be read. Where it never read them, both fail, and nothing is admitted.
    """

    def __init__(self, settings: ReadsSettings, cache: Cache) -> None:
        self._settings = settings
        self._chosen: Region[_Chosen] = cache.region(
            "token-policy", Freshness(_TTL_SECONDS, keep_last_good=True), _MOST_TENANTS
        )

    async def app_shares(self, tenant: TenantContext) -> AppShares:
        """Return what bounds the tenant's applications."""
        return (await self._read(tenant)).shares

    async def on_store_failure(self, tenant: TenantContext) -> OnStoreFailure:
        """Return what becomes of a lock while the store is down."""
        return (await self._read(tenant)).on_store_failure

    async def _read(self, tenant: TenantContext) -> _Chosen:
        async def load() -> _Chosen:
            shares = await self._settings.value(tenant, TOKENS_APP_SHARES)
            return _Chosen(AppShares(shares), await self._settings.value(tenant, TOKENS_ON_STORE_FAILURE))

        return await self._chosen.get(tenant, "", load)
