"""Bind the routes of bots, chat and conversations."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.chat.bots.configuration import BotConfig
from functions.chat.bots.models import BotPath, BotReply
from functions.chat.bots.repository import BotRepository
from functions.chat.bots.service import BotService
from functions.chat.bots.turn_rates import TurnRateLimiter
from functions.chat.conversations.models import (
    ChatReply,
    ChatRequest,
    ConversationPageQuery,
    ConversationPath,
    ConversationReply,
    ConversationSummary,
    TurnPageQuery,
)
from functions.chat.conversations.repository import ConversationIndex, ConversationRepository
from functions.chat.conversations.service import ChatService, ConversationService
from shared.http.inputs import IfMatch, OperationId
from shared.http.paging import ListReply, PageQuery
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.llm.settings import CHAT_DEFAULT_MODEL
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the chat routes."""
    routes = Routes(runtime, "chat")
    _bind_bots(runtime, routes)
    _bind_conversations(runtime, routes)
    return routes.blueprint


def _bots(runtime: "Runtime", tenant: TenantContext) -> BotRepository:
    return BotRepository(tenant, runtime.container("bots"), runtime.clock)


def _bot_service(runtime: "Runtime", tenant: TenantContext) -> BotService:
    return BotService(_bots(runtime, tenant), runtime.prompts.of(tenant))


def _conversation(
    runtime: "Runtime", tenant: TenantContext, bot_id: str, conversation_id: str
) -> ConversationRepository:
    return ConversationRepository(
        tenant,
        runtime.container("conversations"),
        runtime.clock,
        bot_id=bot_id,
        conversation_id=conversation_id,
    )


def _bind_bots(runtime: "Runtime", routes: Routes) -> None:
    @routes.put("v1/bots/{bot_id}", min_role=Role.TENANT_ADMIN)
    async def save_bot(
        tenant: TenantContext, path: BotPath, bot: BotConfig, if_match: IfMatch | None
    ) -> BotReply:
        """Save a bot.

        A bot of the same id is replaced as a whole; it goes on with its conversations. A prompt that wants
        lists of messages is refused, since no turn gives any; one that is not there yet is taken.
        """
        return await _bot_service(runtime, tenant).save(path.bot_id, bot, if_match)

    @routes.get("v1/bots/{bot_id}", min_role=Role.USER)
    async def get_bot(tenant: TenantContext, path: BotPath) -> BotReply:
        """Show a bot.

        Its prompt is shown in the form in which it was given.
        """
        return await _bot_service(runtime, tenant).read(path.bot_id)

    @routes.get("v1/bots", min_role=Role.USER)
    async def list_bots(tenant: TenantContext, query: PageQuery) -> ListReply[BotReply]:
        """List the bots.

        They are sorted by id.
        """
        return await _bot_service(runtime, tenant).list(query)

    @routes.delete("v1/bots/{bot_id}", min_role=Role.TENANT_ADMIN)
    async def delete_bot(tenant: TenantContext, path: BotPath, if_match: IfMatch | None) -> None:
        """Remove a bot.

        Its conversations stay readable. Removing a bot that is not there is a 404.
        """
        await _bot_service(runtime, tenant).delete(path.bot_id, if_match)


def _bind_conversations(runtime: "Runtime", routes: Routes) -> None:
    turn_rates = TurnRateLimiter(runtime.clock)

    def conversations(tenant: TenantContext, bot_id: str) -> ConversationService:
        index = ConversationIndex(tenant, runtime.container("conversations"), bot_id)
        return ConversationService(
            _bots(runtime, tenant), index, partial(_conversation, runtime, tenant, bot_id)
        )

    @routes.post("v1/bots/{bot_id}/chat", min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS)
    async def chat(
        tenant: TenantContext, path: BotPath, turn: ChatRequest, operation_id: OperationId | None
    ) -> ChatReply:
        """Answer one user turn.

        The turn is stored before the model is paid, and the answer before it is returned; with an
        Idempotency-Key it is found again after a crash, and not paid twice. One message of a conversation is
        answered at a time: a second one waits two seconds and is then refused with 409. The answer's tokens
        come out of the tenant's budget: 429 where that does not admit it now.
        """
        default_model = await runtime.tenant_settings.value(tenant, CHAT_DEFAULT_MODEL)
        service = ChatService(
            _bots(runtime, tenant),
            runtime.prompts.of(tenant),
            partial(_conversation, runtime, tenant),
            lambda bot_id: runtime.metered_model(tenant, f"bot:{bot_id}"),
            default_model or runtime.settings.openai_model,
            runtime.token_counter,
            partial(turn_rates.hit, tenant),
        )
        return await service.reply(path.bot_id, turn, operation_id)

    @routes.get("v1/bots/{bot_id}/conversations", min_role=Role.USER)
    async def list_conversations(
        tenant: TenantContext, path: BotPath, query: ConversationPageQuery
    ) -> ListReply[ConversationSummary]:
        """List a bot's conversations.

        They are sorted by id. A user's token, or a key that is bound to a user, sees that user's alone.
        """
        return await conversations(tenant, path.bot_id).list(path.bot_id, query)

    @routes.get("v1/bots/{bot_id}/conversations/{conversation_id}", min_role=Role.USER)
    async def get_conversation(
        tenant: TenantContext, path: ConversationPath, query: TurnPageQuery
    ) -> ConversationReply:
        """Show a conversation.

        Its turns come in pages, the oldest first. Another user's conversation is answered as an absent one to
        a user's token or key.
        """
        return await conversations(tenant, path.bot_id).read(path.conversation_id, query)

    @routes.delete(
        "v1/bots/{bot_id}/conversations/{conversation_id}", min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS
    )
    async def delete_conversation(tenant: TenantContext, path: ConversationPath) -> None:
        """Remove a conversation.

        All of its turns are removed with it, and cannot be brought back.
        """
        await conversations(tenant, path.bot_id).delete(path.conversation_id)
