"""A tenant's bots in Cosmos."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from functions.chat.bots.models import MAX_BOT_ID, BotReply, StoredBotConfig
from shared.cosmos.container import ItemExistsError, ItemNotFoundError, Patch, PatchOperation, Query
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import BotNotFoundError, ConflictError, PreconditionFailedError, ValidationError
from shared.http.paging import ListReply, cut_page

if TYPE_CHECKING:
    from functions.chat.bots.models import BotConfig
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.http.paging import PageQuery
    from shared.tenancy.context import TenantContext

_ATTEMPTS = 3
_LIST = (
    "SELECT c.id, c.config, c.updated_at, c.schema_version, c._etag FROM c WHERE c.id > @after ORDER BY c.id"
)


class BotItem(StoredItem):
    """One bot; its id is the item's."""

    config: StoredBotConfig
    updated_at: datetime


class BotRepository:
    """The bots of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._own = Partition.of(tenant, container)
        self._clock = clock

    async def save(self, bot_id: str, config: BotConfig, if_match: str | None) -> BotReply:
        """Store a bot; with `if_match` only over the state that it names.

        A bot that is there is patched, so that what a newer release put beside its configuration stays.

        Raises:
            PreconditionFailedError: The bot is in another state, or not there.
            ConflictError: Others kept creating and removing this bot meanwhile.
            ValidationError: The id is too long.
        """
        if len(bot_id) > MAX_BOT_ID:
            problem = f"at most {MAX_BOT_ID} characters"
            raise ValidationError(f"A bot's id has {problem}", {"fields": {"path.bot_id": problem}})
        stored = StoredBotConfig.model_validate(config.model_dump())
        item = BotItem(id=bot_id, config=stored, updated_at=self._clock.now())
        fields = item.model_dump(mode="json", include={"config", "updated_at"})
        steps = tuple(PatchOperation("set", f"/{name}", value) for name, value in fields.items())
        for _ in range(_ATTEMPTS):
            try:
                return _reply(await self._own.patch(BotItem, bot_id, Patch(steps, etag=if_match)))
            except ItemNotFoundError as error:
                if if_match is not None:
                    raise PreconditionFailedError(
                        f"Bot '{bot_id}' is not there", {"bot_id": bot_id}
                    ) from error
            try:
                return _reply(await self._own.create(item))
            except ItemExistsError:
                continue  # somebody else created it in between: it is there to be patched
        raise ConflictError(f"Bot '{bot_id}' is being saved by others", {"bot_id": bot_id}, retry_after=1.0)

    async def read(self, bot_id: str) -> BotReply:
        """Return a bot.

        Raises:
            BotNotFoundError: This tenant has none of this id.
        """
        found = await self._own.read(BotItem, bot_id)
        if found is None:
            raise BotNotFoundError(bot_id)
        return _reply(found)

    async def list(self, query: PageQuery) -> ListReply[BotReply]:
        """Return one page of bots, by id."""
        after = Query(_LIST, {"@after": query.cursor or ""}, query.fetch_limit)
        found = await self._own.query(BotItem, after)
        return ListReply[BotReply].of(cut_page(found, query.limit, lambda bot: bot.id), _reply)

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
