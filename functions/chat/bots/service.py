"""Save, show and remove bots."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from functions.chat.bots.configuration import BotConfigReply
from functions.chat.bots.directory import FoundBot
from functions.chat.bots.errors import BotNotFoundError
from functions.chat.bots.models import MAX_BOT_ID, BotReply
from functions.chat.bots.stored_models import StoredBotConfig
from shared.errors import ValidationError
from shared.http.paging import ListReply, cut_page
from shared.prompts.errors import PromptNotFoundError
from shared.tenancy.context import PlatformContext, as_platform
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from functions.chat.bots.configuration import BotConfig
    from functions.chat.bots.directory import BotDirectory
    from functions.chat.bots.models import BotPageQuery
    from functions.chat.bots.repository import BotRepository
    from shared.prompts.library import ResolvesPrompts
    from shared.tenancy.context import TenantContext


class NamesModels(Protocol):
    """Catalogue of models, as far as bots name them."""

    async def require(
        self, caller: TenantContext | PlatformContext, name: str, path: str, *, only_azure: bool = False
    ) -> None:
        """Refuse the name of a model that the caller may not use, with the path of its field.

        Raises:
            ModelNotFoundError: It may not be used.
            ValidationError: It has to be one of Azure's, and is not.
        """
        ...

    async def known_to(self, caller: TenantContext | PlatformContext) -> Mapping[str, object]:
        """Return the models that the caller may name, by name."""
        ...


class BotService:
    """The bots that one caller can use.

    Args:
        caller: A tenant has its own bots and the global ones, the administrator who acts for none the latter.
        directory: Every tenant's bots.
        prompts: The caller's prompts.
        models: The catalogue of models.
    """

    def __init__(
        self,
        caller: TenantContext | PlatformContext,
        directory: BotDirectory,
        prompts: ResolvesPrompts,
        models: NamesModels,
    ) -> None:
        self._caller = caller
        self._directory = directory
        self._prompts = prompts
        self._models = models

    async def save(self, bot_id: str, config: BotConfig, scope: Source, if_match: str | None) -> BotReply:
        """Store a bot; with `if_match` only over the state that it names.

        Raises:
            PermissionDeniedError: The global bots are the platform administrator's.
            PreconditionFailedError: The bot is in another state, or not there.
            ConflictError: Others kept creating and removing this bot meanwhile.
            ValidationError: The id is too long, or a model's name; the administrator names no tenant; the
                prompt wants what no turn can give; or the model is not its provider's.
            ModelNotFoundError: There is no such model, or the tenant may not use it.
        """
        if len(bot_id) > MAX_BOT_ID:
            problem = f"at most {MAX_BOT_ID} characters"
            raise ValidationError(f"A bot's id has {problem}", {"fields": {"path.bot_id": problem}})
        for path, model in (
            ("body.llm.model", config.llm.model),
            ("body.memory.summary_model", config.memory.summary_model),
        ):
            if model is not None:
                only_azure = config.llm.provider == "azure"
                await self._models.require(self._caller, model, path, only_azure=only_azure)
        stored = StoredBotConfig.model_validate(config.model_dump())
        with self._changing(bot_id, scope) as bots:
            await self._refuse_name_of_model(bot_id, bots)
            if scope is Source.TENANT:  # a global bot's prompt is another one for each tenant
                await self._check_prompt(stored)
            return _render(FoundBot(await bots.save(bot_id, stored, if_match), scope))

    async def read(self, bot_id: str, scope: Source | None) -> BotReply:
        """Return a bot: of one scope, else the tenant's own, else the global one.

        Raises:
            BotNotFoundError: There is none of this id.
            ValidationError: The administrator names no tenant.
        """
        if scope is None and not isinstance(self._caller, PlatformContext):
            return _render(await self._directory.read(self._caller, bot_id))
        scope = scope or Source.GLOBAL
        return _render(FoundBot(await self._readable(scope).read(bot_id), scope))

    async def reload(self, bot_id: str) -> BotReply:
        """Read a bot anew and let it be in force on this instance.

        Raises:
            BotNotFoundError: There is none of this id.
            ValidationError: The administrator names no tenant.
        """
        return _render(await self._directory.reload(self._tenant, bot_id))

    async def list(self, query: BotPageQuery) -> ListReply[BotReply]:
        """Return one page of the bots of one scope, by id.

        Raises:
            ValidationError: The administrator names no tenant.
        """
        found = await self._readable(query.scope).page(query.cursor, query.fetch_limit, query.prefix)
        page = cut_page(found, query.limit, lambda bot: bot.id)
        return ListReply[BotReply].of(page, lambda bot: _render(FoundBot(bot, query.scope)))

    async def delete(self, bot_id: str, scope: Source, if_match: str | None) -> None:
        """Remove a bot; its conversations stay readable.

        Raises:
            BotNotFoundError: There is none of this id.
            PermissionDeniedError: The global bots are the platform administrator's.
            PreconditionFailedError: The bot is in another state than `if_match`.
            ValidationError: The administrator names no tenant.
        """
        with self._changing(bot_id, scope) as bots:
            await bots.delete(bot_id, if_match)

    @property
    def _tenant(self) -> TenantContext:
        if isinstance(self._caller, PlatformContext):
            raise ValidationError(
                "The administrator names the tenant to act for, or scope=global",
                {"fields": {"header.x-tenant-id": "required"}},
            )
        return self._caller

    def _readable(self, scope: Source) -> BotRepository:
        directory = self._directory
        return directory.everybodys if scope is Source.GLOBAL else directory.own(self._tenant)

    @contextmanager
    def _changing(self, bot_id: str, scope: Source) -> Iterator[BotRepository]:
        """Open a scope to change one bot; whatever becomes of the change, nobody here gets the old one."""
        if scope is Source.GLOBAL:
            as_platform(self._caller)
        bots = self._readable(scope)
        try:
            yield bots
        finally:
            if scope is Source.GLOBAL:
                self._directory.forget_global(bot_id)
            else:
                self._directory.forget(self._tenant, bot_id)

    async def _refuse_name_of_model(self, bot_id: str, bots: BotRepository) -> None:
        """Refuse a new bot under a model's name: of the two the model would be meant (design/api.md).

        One that was there before the model can go on being changed.
        """
        if bot_id not in await self._models.known_to(self._caller):
            return
        try:
            await bots.read(bot_id)
        except BotNotFoundError:
            problem = "is the name of a model"
        else:
            return
        raise ValidationError(f"'{bot_id}' {problem}", {"fields": {"path.bot_id": problem}})

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


def _render(found: FoundBot) -> BotReply:
    bot = found.bot
    answer_format = bot.config.response_format
    shown = bot.config.model_dump(exclude={"response_format"})
    shown["response_format"] = None if answer_format is None else answer_format.as_written()
    shown["llm"]["max_output_tokens"] = bot.config.llm.max_output_tokens  # None is not stored
    config = BotConfigReply.model_validate(shown)
    return BotReply(
        bot_id=bot.id, config=config, source=found.source, updated_at=bot.updated_at, etag=bot.etag
    )
