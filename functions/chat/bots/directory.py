"""Directory of bots: the tenant's own and the global ones, and their configurations in this process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from functions.chat.bots.errors import BotNotFoundError
from functions.chat.bots.repository import BotRepository, GlobalBotRepository
from shared.caching.region import Freshness
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from functions.chat.bots.stored_models import BotItem
    from shared.caching.region import Cache, Region
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

FRESHNESS = Freshness(ttl_seconds=20, stale_seconds=10, keep_last_good=True)
"""After 30 s a change is in force on every instance; only while the store is down may it be later."""

MAX_CACHED = 2_000
MAX_CACHED_CHARACTERS = 32_000
"""Bots with longer instructions and schema are read each time: the cache's bound is one of memory too."""


class FoundBot(NamedTuple):
    """A bot, and whose it is."""

    bot: BotItem
    source: Source


class BotDirectory:
    """The bots that each tenant can use, in this process.

    Args:
        container: The container of all of them.
        clock: Dates changes.
        cache: The process's cache.
    """

    def __init__(self, container: Container, clock: Clock, cache: Cache) -> None:
        self._container = container
        self._clock = clock
        self._found: Region[FoundBot] = cache.region("bots", FRESHNESS, MAX_CACHED)
        self._global_edits: Counter[str] = Counter()

    @property
    def everybodys(self) -> GlobalBotRepository:
        """The global bots."""
        return GlobalBotRepository(self._container, self._clock)

    def own(self, tenant: TenantContext) -> BotRepository:
        """Open a tenant's own bots.

        Raises:
            ValueError: There is no tenant.
        """
        return BotRepository(tenant, self._container, self._clock)

    async def find(self, tenant: TenantContext, bot_id: str) -> FoundBot:
        """Return the tenant's bot, else the global one, as it was within the last 30 s.

        Raises:
            BotNotFoundError: There is neither.
        """
        key = self._key(bot_id)
        found = await self._found.get(tenant, key, lambda: self.read(tenant, bot_id))
        if _is_large(found):
            self._found.forget(tenant, key)
        return found

    async def read(self, tenant: TenantContext, bot_id: str) -> FoundBot:
        """Return the tenant's bot, else the global one, as it is stored now.

        Raises:
            BotNotFoundError: There is neither.
        """
        try:
            return FoundBot(await self.own(tenant).read(bot_id), Source.TENANT)
        except BotNotFoundError:
            return FoundBot(await self.everybodys.read(bot_id), Source.GLOBAL)

    async def reload(self, tenant: TenantContext, bot_id: str) -> FoundBot:
        """Read a bot anew, and let it be in force here; where it cannot be read, the one before stays.

        Raises:
            BotNotFoundError: There is none any more.
        """
        key = self._key(bot_id)
        try:
            found = await self.read(tenant, bot_id)
        except BotNotFoundError:
            self._found.forget(tenant, key)
            raise
        if not _is_large(found):
            self._found.put(tenant, key, found)
        return found

    def forget(self, tenant: TenantContext, bot_id: str) -> None:
        """Let a change of a tenant's own bot that was made here be in force here at once."""
        self._found.forget(tenant, self._key(bot_id))

    def forget_global(self, bot_id: str) -> None:
        """Let a change of a global bot that was made here be in force here at once, for every tenant."""
        self._global_edits[bot_id] += 1

    def of(self, tenant: TenantContext) -> TenantBots:
        """Open the bots that a tenant can use."""
        return TenantBots(self, tenant)

    def _key(self, bot_id: str) -> str:
        return f"{self._global_edits[bot_id]}:{bot_id}"


@dataclass(frozen=True, slots=True)
class TenantBots:
    """The bots that one tenant can use."""

    directory: BotDirectory
    tenant: TenantContext

    async def read(self, bot_id: str) -> BotItem:
        """Return a bot, as old as the directory allows.

        Raises:
            BotNotFoundError: There is none of this id.
        """
        return (await self.directory.find(self.tenant, bot_id)).bot

    async def list_ids(self, most: int) -> list[str]:
        """Return the ids of its own bots and of the global ones by id, so many at most."""
        own = await self.directory.own(self.tenant).list_ids(most)
        everybodys = await self.directory.everybodys.list_ids(most)
        return sorted({*own, *everybodys})[:most]


def _is_large(found: FoundBot) -> bool:
    config = found.bot.config
    schema = None if config.response_format is None else config.response_format.schema_text
    return len(config.system_prompt or "") + len(schema or "") > MAX_CACHED_CHARACTERS
