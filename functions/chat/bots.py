"""A tenant's bots in Cosmos."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from functions.chat.models import BotConfig, BotListReply, BotReply
from shared.cosmos.container import ItemNotFoundError, Query
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import BotNotFoundError, PreconditionFailedError

if TYPE_CHECKING:
    from functions.chat.models import Page
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

_LIST = (
    "SELECT c.id, c.config, c.updated_at, c.schema_version, c._etag FROM c WHERE c.id > @after ORDER BY c.id"
)


class BotItem(StoredItem):
    """One bot; its id is the item's."""

    config: BotConfig
    updated_at: datetime


class BotRepository:
    """The bots of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._own = Partition.of(tenant, container)
        self._clock = clock

    async def save(self, bot_id: str, config: BotConfig, if_match: str | None) -> BotReply:
        """Store a bot; with `if_match` only over the state that it names.

        Raises:
            PreconditionFailedError: The bot is in another state, or not there.
        """
        item = BotItem(id=bot_id, config=config, updated_at=self._clock.now())
        if if_match is None:
            return _reply(await self._own.upsert(item))
        try:
            return _reply(await self._own.replace(item, if_match))
        except ItemNotFoundError as error:
            raise PreconditionFailedError(f"Bot '{bot_id}' is not there", {"bot_id": bot_id}) from error

    async def read(self, bot_id: str) -> BotReply:
        """Return a bot.

        Raises:
            BotNotFoundError: This tenant has none of this id.
        """
        found = await self._own.read(BotItem, bot_id)
        if found is None:
            raise BotNotFoundError(bot_id)
        return _reply(found)

    async def list(self, page: Page) -> BotListReply:
        """Return one page of bots, by id."""
        query = Query(_LIST, {"@after": page.cursor or ""}, page.limit + 1)
        found = await self._own.query(BotItem, query)
        shown = found[: page.limit]
        return BotListReply(
            items=[_reply(bot) for bot in shown],
            next_cursor=shown[-1].id if len(found) > page.limit else None,
        )

    async def delete(self, bot_id: str, if_match: str | None) -> None:
        """Remove a bot; its conversations stay readable.

        Raises:
            BotNotFoundError: This tenant has none of this id.
            PreconditionFailedError: The bot is in another state than `if_match`.
        """
        if not await self._own.delete(bot_id, if_match):
            raise BotNotFoundError(bot_id)


def _reply(bot: BotItem) -> BotReply:
    return BotReply(bot_id=bot.id, config=bot.config, updated_at=bot.updated_at, etag=bot.etag)
