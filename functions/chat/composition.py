"""Composition of chat: all that its routes and the bot manager open, once for each process."""

from __future__ import annotations

from functools import cached_property, partial
from itertools import count
from typing import TYPE_CHECKING

from functions.chat.bots.configurations import LOADED_FRESHNESS, MAX_LOADED
from functions.chat.bots.directory import BotDirectory
from functions.chat.bots.service import BotService
from functions.chat.bots.turn_rates import TurnRateLimiter
from functions.chat.conversations.conversation_service import ConversationService
from functions.chat.conversations.index import ConversationIndex
from functions.chat.conversations.memory import MAX_CONVERSATIONS, REMEMBERED, MemoryConversation
from functions.chat.conversations.middleware import CostTracking, MiddlewareChain, TurnLogging
from functions.chat.conversations.overrides import check_overrides
from functions.chat.conversations.repository import ConversationRepository
from functions.chat.conversations.service import ChatService
from functions.chat.openai.embeddings.service import EmbeddingService
from functions.chat.openai.forwarding import Forwarding
from functions.chat.openai.turns import ToldModel
from shared.llm.settings import CHAT_DEFAULT_MODEL, CHAT_RETENTION_DAYS
from shared.tokens.counters import EMBEDDINGS_APP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.chat.bots.stored_models import StoredBotConfig
    from functions.chat.conversations.memory import RememberedConversation
    from functions.chat.conversations.middleware import TurnMiddleware
    from functions.chat.conversations.service import ReadsBots
    from shared.caching.region import Region
    from shared.runtime import Runtime
    from shared.tenancy.context import PlatformContext, TenantContext


class Chat:
    """Chat of one process; opened by `runtime.once(Chat)`, so that all of it shares one cache of bots.

    Args:
        runtime: The composition root; nothing of it is opened before it is needed.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._managers = count(1)
        self._middleware = MiddlewareChain((TurnLogging(runtime.clock), CostTracking()))

    @cached_property
    def directory(self) -> BotDirectory:
        """Every tenant's bots."""
        runtime = self._runtime
        return BotDirectory(runtime.container("bots"), runtime.clock, runtime.cache)

    @cached_property
    def loaded(self) -> Region[StoredBotConfig]:
        """The configurations that the loaders of bot managers gave, by tenant, manager and bot."""
        return self._runtime.cache.region("bots-loaded", LOADED_FRESHNESS, MAX_LOADED)

    @cached_property
    def _remembered(self) -> Region[RememberedConversation]:
        return self._runtime.cache.region("conversations-in-memory", REMEMBERED, MAX_CONVERSATIONS)

    def add_middleware(self, *middleware: TurnMiddleware) -> None:
        """Let middleware be told of every turn that begins from now on, within what is there already."""
        self._middleware = self._middleware.joined(middleware)

    def number_manager(self) -> int:
        """Return a number that no other bot manager of this process has."""
        return next(self._managers)

    @cached_property
    def _turn_rates(self) -> TurnRateLimiter:
        return TurnRateLimiter(self._runtime.clock)

    def bots(self, caller: TenantContext | PlatformContext) -> BotService:
        """Open the bots that a caller can use."""
        runtime = self._runtime
        return BotService(caller, self.directory, runtime.prompts.of(caller), runtime.models)

    async def answering(
        self,
        tenant: TenantContext,
        bots: ReadsBots | None = None,
        middleware: Sequence[TurnMiddleware] = (),
    ) -> ChatService:
        """Open the way of a tenant's turns.

        Args:
            tenant: Whose turns they are.
            bots: The bots that answer; those of the directory unless others are given.
            middleware: What is told of these turns besides what is told of all.

        Raises:
            DependencyUnavailableError: The tenant's settings cannot be read, and were not read before.
        """
        runtime = self._runtime
        settings = runtime.tenant_settings
        default_model = await settings.value(tenant, CHAT_DEFAULT_MODEL)
        retention_days = await settings.value(tenant, CHAT_RETENTION_DAYS)
        return ChatService(
            tenant=tenant,
            bots=bots or self.directory.of(tenant),
            prompts=runtime.prompts.of(tenant),
            open_conversation=partial(self._conversation, tenant),
            open_in_memory=partial(self._conversation_in_memory, tenant),
            open_model=lambda bot_id: runtime.metered_model(tenant, f"bot:{bot_id}"),
            default_model=default_model or runtime.settings.openai_model,
            counter=runtime.token_counter,
            tokenizer_of=partial(runtime.models.tokenizer, tenant),
            count_turn=partial(self._turn_rates.hit, tenant),
            check_overrides=partial(check_overrides, tenant, runtime.models),
            retention_days=retention_days or None,
            prices=await runtime.models.prices(),
            clock=runtime.clock,
            middleware=self._middleware.joined(middleware),
        )

    async def forwarding(self, tenant: TenantContext) -> Forwarding:
        """Open the way of a tenant's requests of OpenAI's form.

        Raises:
            DependencyUnavailableError: The tenant's settings cannot be read, and were not read before.
        """
        runtime = self._runtime
        default_model = await runtime.tenant_settings.value(tenant, CHAT_DEFAULT_MODEL)
        return Forwarding(
            tenant=tenant,
            models=runtime.models,
            bots=self.directory.of(tenant),
            prompts=runtime.prompts.of(tenant),
            open_model=partial(runtime.metered_model, tenant),
            default_model=default_model or runtime.settings.openai_model,
            count_turn=partial(self._turn_rates.hit, tenant),
            tell_of=lambda model: ToldModel(model, self._middleware, tenant, runtime.clock),
        )

    def embedding(self, tenant: TenantContext) -> EmbeddingService:
        """Open the way of a tenant's batches of texts to embed."""
        runtime = self._runtime
        model = runtime.metered_embedding_model(tenant, EMBEDDINGS_APP)
        return EmbeddingService(tenant, runtime.models, model, runtime.paces)

    def conversations(self, tenant: TenantContext, bot_id: str) -> ConversationService:
        """Open a tenant's conversations with one bot."""
        return ConversationService(
            self.directory.of(tenant),
            ConversationIndex(tenant, self._runtime.container("conversations"), bot_id),
            partial(self._conversation, tenant, bot_id),
            self._runtime.clock,
        )

    def _conversation(
        self, tenant: TenantContext, bot_id: str, conversation_id: str
    ) -> ConversationRepository:
        return ConversationRepository(
            tenant,
            self._runtime.container("conversations"),
            self._runtime.clock,
            bot_id=bot_id,
            conversation_id=conversation_id,
        )

    def _conversation_in_memory(
        self, tenant: TenantContext, bot_id: str, conversation_id: str
    ) -> MemoryConversation:
        return MemoryConversation(
            tenant, self._remembered, self._runtime.clock, bot_id=bot_id, conversation_id=conversation_id
        )
