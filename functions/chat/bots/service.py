"""Save, show and remove bots."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from functions.chat.bots.configuration import BotConfigReply
from functions.chat.bots.models import MAX_BOT_ID, BotReply
from functions.chat.bots.stored_models import StoredBotConfig
from shared.errors import ValidationError
from shared.http.paging import ListReply, cut_page
from shared.prompts.errors import PromptNotFoundError

if TYPE_CHECKING:
    from functions.chat.bots.configuration import BotConfig
    from functions.chat.bots.repository import BotRepository
    from functions.chat.bots.stored_models import BotItem
    from shared.http.paging import PageQuery
    from shared.prompts.library import ResolvesPrompts


class BotService:
    """One tenant's bots, as its callers see them.

    Args:
        bots: Where they are stored.
        prompts: The tenant's prompts.
    """

    def __init__(self, bots: BotRepository, prompts: ResolvesPrompts) -> None:
        self._bots = bots
        self._prompts = prompts

    async def save(self, bot_id: str, config: BotConfig, if_match: str | None) -> BotReply:
        """Store a bot; with `if_match` only over the state that it names.

        Raises:
            PreconditionFailedError: The bot is in another state, or not there.
            ConflictError: Others kept creating and removing this bot meanwhile.
            ValidationError: The id is too long, or the prompt wants what no turn can give.
        """
        if len(bot_id) > MAX_BOT_ID:
            problem = f"at most {MAX_BOT_ID} characters"
            raise ValidationError(f"A bot's id has {problem}", {"fields": {"path.bot_id": problem}})
        stored = StoredBotConfig.model_validate(config.model_dump())
        await self._check_prompt(stored)
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

    async def _check_prompt(self, config: StoredBotConfig) -> None:
        """Refuse a prompt that wants lists of messages; variables are each turn's, and it may come later."""
        reference = config.prompt
        if reference is None:
            return
        with suppress(PromptNotFoundError):
            prompt = await self._prompts.resolve(reference.name, reference.label, reference.version)
            if prompt.placeholders:
                lists = ", ".join(prompt.placeholders)
                version = prompt.version.version
                problem = f"version {version} wants lists of messages, which no turn gives: {lists}"
                message = f"Prompt '{reference.name}' is for no bot: {problem}"
                raise ValidationError(message, {"fields": {"body.prompt": problem}})


def _render(bot: BotItem) -> BotReply:
    config = BotConfigReply.model_validate(bot.config.model_dump())
    return BotReply(bot_id=bot.id, config=config, updated_at=bot.updated_at, etag=bot.etag)
