"""Configurations of a bot manager's bots: given with the call, loaded by a loader, or stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from functions.chat.bots.errors import BotCreationError
from shared.caching.region import Freshness
from shared.errors import DependencyUnavailableError

if TYPE_CHECKING:
    from functions.chat.bots.directory import BotDirectory
    from functions.chat.bots.loaders import LoaderCall
    from functions.chat.bots.stored_models import StoredBotConfig
    from shared.caching.region import Region
    from shared.tenancy.context import TenantContext

LOADED_FRESHNESS = Freshness(
    ttl_seconds=20, stale_seconds=10, keep_last_good=True, last_good_seconds=24 * 3600
)
"""A changed configuration is picked up within 30 s; while its loader fails, the last good one serves."""

MAX_LOADED = 500


class Configurations(Protocol):
    """Source of configurations, by bot."""

    async def read(self, tenant: TenantContext, bot_id: str) -> StoredBotConfig:
        """Return a configuration, as old as the source allows.

        Raises:
            BotNotFoundError: There is none of this id.
            APIError: It cannot be had.
        """
        ...

    async def reload(self, tenant: TenantContext, bot_id: str) -> StoredBotConfig:
        """Return a configuration as it is now, and let it be in force; the one before stays where that fails.

        Raises:
            BotNotFoundError: There is none of this id.
            APIError: It cannot be had.
        """
        ...

    def forget(self, tenant: TenantContext, bot_id: str) -> None:
        """Let whoever asks next have it anew."""
        ...


@dataclass(frozen=True, slots=True)
class GivenConfiguration:
    """The configuration that a caller gave with the call that made the bot."""

    config: StoredBotConfig

    async def read(self, tenant: TenantContext, bot_id: str) -> StoredBotConfig:  # noqa: ARG002  # one for all
        """Return it."""
        return self.config

    async def reload(self, tenant: TenantContext, bot_id: str) -> StoredBotConfig:  # noqa: ARG002  # same
        """Return it: nobody has a newer one."""
        return self.config

    def forget(self, tenant: TenantContext, bot_id: str) -> None:
        """It goes with its bot."""


class UnusableConfigurationError(DependencyUnavailableError):
    """Refusal of what a loader gave, as the outage of the loader that it is to a cache."""

    def __init__(self, refusal: BotCreationError) -> None:
        super().__init__("The loader of bots", "gives no usable configuration")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class LoadedConfigurations:
    """Configurations that one manager's loader gives.

    Attributes:
        loader: The loader.
        region: What every manager of the process has loaded.
        manager: Its number in the process: two managers' bots of one id are two.
    """

    loader: LoaderCall
    region: Region[StoredBotConfig]
    manager: int

    async def read(self, tenant: TenantContext, bot_id: str) -> StoredBotConfig:
        """Return what was loaded within the last 30 s, else load it; who asks at once shares one load.

        Where the loader fails, or gives what is no configuration, the last good one stands in.
        """
        try:
            return await self.region.get(tenant, self._key(bot_id), lambda: self._load(bot_id))
        except UnusableConfigurationError as error:
            refusal = error.refusal
        raise refusal

    async def reload(self, tenant: TenantContext, bot_id: str) -> StoredBotConfig:
        """Load it now."""
        config = await self.loader.load(bot_id)
        self.region.put(tenant, self._key(bot_id), config)
        return config

    def forget(self, tenant: TenantContext, bot_id: str) -> None:
        """Let it be loaded anew."""
        self.region.forget(tenant, self._key(bot_id))

    async def _load(self, bot_id: str) -> StoredBotConfig:
        try:
            return await self.loader.load(bot_id)
        except BotCreationError as error:
            raise UnusableConfigurationError(error) from error

    def _key(self, bot_id: str) -> str:
        return f"{self.manager}:{bot_id}"


@dataclass(frozen=True, slots=True)
class StoredConfigurations:
    """Configurations of the bots that are saved: the tenant's own, else the global ones."""

    directory: BotDirectory

    async def read(self, tenant: TenantContext, bot_id: str) -> StoredBotConfig:
        """Return it as the chat route has it."""
        return (await self.directory.find(tenant, bot_id)).bot.config

    async def reload(self, tenant: TenantContext, bot_id: str) -> StoredBotConfig:
        """Read it now."""
        return (await self.directory.reload(tenant, bot_id)).bot.config

    def forget(self, tenant: TenantContext, bot_id: str) -> None:
        """Let it be read anew."""
        self.directory.forget(tenant, bot_id)
