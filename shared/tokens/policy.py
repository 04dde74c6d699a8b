"""Tenants' own settings of their budgets, as the ledger asks for them."""

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
    """Settings of each tenant that the ledger asks for."""

    async def app_shares(self, tenant: TenantContext) -> AppShares:
        """Return the shares of the tenant's applications.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was read before.
        """
        ...

    async def on_store_failure(self, tenant: TenantContext) -> OnStoreFailure:
        """Return whether locks are admitted while the store is down; asked for before the store is needed.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was read before.
        """
        ...


class FixedPolicy:
    """Policy that is the same for every tenant."""

    def __init__(
        self,
        shares: AppShares | None = None,
        on_store_failure: OnStoreFailure = OnStoreFailure.CLOSED,
    ) -> None:
        self._shares = shares or AppShares()
        self._on_store_failure = on_store_failure

    async def app_shares(self, tenant: TenantContext) -> AppShares:  # noqa: ARG002  # the same for all
        """Return the shares of applications."""
        return self._shares

    async def on_store_failure(self, tenant: TenantContext) -> OnStoreFailure:  # noqa: ARG002  # same
        """Return whether locks are admitted while the store is down."""
        return self._on_store_failure


FIXED = FixedPolicy()
"""No shares, and closed while the store is down."""


class SettingsReader(Protocol):
    """Reader of tenants' settings, such as `shared.tenancy.settings`."""

    async def value[T](self, tenant: TenantContext, setting: Setting[T]) -> T:
        """Return the value in force.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        ...


@dataclass(frozen=True, slots=True)
class _TenantPolicy:
    shares: AppShares
    on_store_failure: OnStoreFailure


class SettingsPolicy:
    """Policy that each tenant's own settings define.

    The settings are in the store whose failure they decide about: the values that this process read last hold
    while they cannot be read. Where it never read them, both fail, and nothing is admitted.
    """

    def __init__(self, settings: SettingsReader, cache: Cache) -> None:
        self._settings = settings
        self._policies: Region[_TenantPolicy] = cache.region(
            "token-policy", Freshness(_TTL_SECONDS, keep_last_good=True), _MOST_TENANTS
        )

    async def app_shares(self, tenant: TenantContext) -> AppShares:
        """Return the shares of the tenant's applications.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was read before.
        """
        return (await self._read(tenant)).shares

    async def on_store_failure(self, tenant: TenantContext) -> OnStoreFailure:
        """Return whether locks are admitted while the store is down.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was read before.
        """
        return (await self._read(tenant)).on_store_failure

    async def _read(self, tenant: TenantContext) -> _TenantPolicy:
        async def load() -> _TenantPolicy:
            shares = await self._settings.value(tenant, TOKENS_APP_SHARES)
            return _TenantPolicy(
                AppShares(shares), await self._settings.value(tenant, TOKENS_ON_STORE_FAILURE)
            )

        return await self._policies.get(tenant, "", load)
