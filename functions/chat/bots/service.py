"""Save, show and remove bots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.chat.bots.configuration import BotConfigReply
from functions.chat.bots.models import MAX_BOT_ID, BotReply
from functions.chat.bots.stored_models import StoredBotConfig
from shared.errors import ValidationError
from shared.http.paging import ListReply, cut_page

if TYPE_CHECKING:
    from functions.chat.bots.configuration import BotConfig
    from functions.chat.bots.repository import BotRepository
    from functions.chat.bots.stored_models import BotItem
    from shared.http.paging import PageQuery


class BotService:
    """One tenant's bots, as its callers see them."""

    def __init__(self, bots: BotRepository) -> None:
        self._bots = bots

    async def save(self, bot_id: str, config: BotConfig, if_match: str | None) -> BotReply:
        """Store a bot; with `if_match` only over the state that it names.

        Raises:
            PreconditionFailedError: The bot is in another state, or not there.
            ConflictError: Others kept creating and removing this bot meanwhile.
            ValidationError: The id is too long.
        """
        if len(bot_id) > MAX_BOT_ID:
            problem = f"at most {MAX_BOT_ID} characters"
            raise ValidationError(f"A bot's id has {problem}", {"fields": {"path.bot_id": problem}})
        stored = StoredBotConfig.model_validate(config.model_dump())
        return _render(await self._bots.save(bot_id, stored, if_match))

    async def read(self, bot_id: str) -> BotReply:
        """Return a bot.

        Raises:
            BotNotFoundError: The tenant has none of this id.
        """
        return _render(await self._bots.read(bot_id))

    async def list(self, query: PageQuery) -> ListReply[BotReply]:
        """Return one page of bots, by id."""
        found = await self._bots.page(query.cursor, query.fetch_limit)
        return ListReply[BotReply].of(cut_page(found, query.limit, lambda bot: bot.id), _render)

    async def delete(self, bot_id: str, if_match: str | None) -> None:
        """Remove a bot; its conversations stay readable.

        Raises:
            BotNotFoundError: The tenant has none of this id.
            PreconditionFailedError: The bot is in another state than `if_match`.
        """
        await self._bots.delete(bot_id, if_match)


def _render(bot: BotItem) -> BotReply:
    config = BotConfigReply.model_validate(bot.config.model_dump())
    return BotReply(bot_id=bot.id, config=config, updated_at=bot.updated_at, etag=bot.etag)
