"""Bind the routes of bots, chat and conversations."""

import uuid
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import azure.functions as func

from functions.chat.bots.configuration import BotConfig
from functions.chat.bots.models import BotPath, BotReply
from functions.chat.bots.repository import BotRepository
from functions.chat.bots.service import BotService
from functions.chat.bots.turn_rates import TurnRateLimiter
from functions.chat.conversations.conversation_service import ConversationService
from functions.chat.conversations.edits import Edit
from functions.chat.conversations.index import ConversationIndex
from functions.chat.conversations.models import (
    ChatReply,
    ChatRequest,
    ConversationExportReply,
    ConversationHeadReply,
    ConversationPageQuery,
    ConversationPath,
    ConversationReply,
    ConversationSummary,
    ExportPageQuery,
    ForkRequest,
    RatedTurnReply,
    RatingRequest,
    RegenerateRequest,
    RenameRequest,
    RewindRequest,
    TurnPageQuery,
    TurnPath,
)
from functions.chat.conversations.repository import ConversationRepository
from functions.chat.conversations.service import ChatService
from shared.http.inputs import IfMatch, OperationId
from shared.http.paging import ListReply, PageQuery
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.llm.settings import CHAT_DEFAULT_MODEL, CHAT_RETENTION_DAYS
from shared.tenancy.context import Role, TenantContext
from shared.tokens.prices import PriceTable
from shared.tokens.settings import USAGE_PRICES

if TYPE_CHECKING:
    from shared.runtime import Runtime

_CONVERSATION = "v1/bots/{bot_id}/conversations/{conversation_id}"


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the chat routes."""
    routes = Routes(runtime, "chat")
    _bind_bots(runtime, routes)
    _bind_answers(runtime, routes)
    _bind_conversations(runtime, routes)
    _bind_edits(runtime, routes)
    return routes.blueprint


def _bots(runtime: "Runtime", tenant: TenantContext) -> BotRepository:
    return BotRepository(tenant, runtime.container("bots"), runtime.clock)


def _bot_service(runtime: "Runtime", tenant: TenantContext) -> BotService:
    return BotService(_bots(runtime, tenant))


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

        A bot of the same id is replaced as a whole; it goes on with its conversations.
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


def _chat_service(
    runtime: "Runtime", tenant: TenantContext, settings: "_ChatSettings", turn_rates: TurnRateLimiter
) -> ChatService:
    return ChatService(
        _bots(runtime, tenant),
        runtime.prompts.of(tenant),
        partial(_conversation, runtime, tenant),
        lambda bot_id: runtime.metered_model(tenant, f"bot:{bot_id}"),
        settings.default_model or runtime.settings.openai_model,
        runtime.token_counter,
        partial(turn_rates.hit, tenant),
        retention_days=settings.retention_days or None,
        prices=settings.prices,
        clock=runtime.clock,
    )


class _ChatSettings(NamedTuple):
    """The tenant's settings of a turn."""

    default_model: str
    retention_days: int
    prices: PriceTable


async def _read_settings(runtime: "Runtime", tenant: TenantContext) -> _ChatSettings:
    settings = runtime.tenant_settings
    return _ChatSettings(
        await settings.value(tenant, CHAT_DEFAULT_MODEL),
        await settings.value(tenant, CHAT_RETENTION_DAYS),
        await settings.value(tenant, USAGE_PRICES),
    )


def _edit(operation_id: OperationId | None, if_match: IfMatch | None) -> Edit:
    return Edit(operation_id or uuid.uuid4().hex, if_match)


def _conversations(runtime: "Runtime", tenant: TenantContext, bot_id: str) -> ConversationService:
    index = ConversationIndex(tenant, runtime.container("conversations"), bot_id)
    return ConversationService(
        _bots(runtime, tenant), index, partial(_conversation, runtime, tenant, bot_id), runtime.clock
    )


def _bind_answers(runtime: "Runtime", routes: Routes) -> None:
    turn_rates = TurnRateLimiter(runtime.clock)

    async def open_chat(tenant: TenantContext) -> ChatService:
        return _chat_service(runtime, tenant, await _read_settings(runtime, tenant), turn_rates)

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
        service = await open_chat(tenant)
        return await service.reply(path.bot_id, turn, operation_id)

    @routes.post(
        _CONVERSATION + "/regenerate",
        min_role=Role.USER,
        seconds=LONGEST_ANSWER_SECONDS,
    )
    async def regenerate_answer(
        tenant: TenantContext,
        path: ConversationPath,
        request: RegenerateRequest,
        if_match: IfMatch | None,
        operation_id: OperationId | None,
    ) -> ChatReply:
        """Answer the last message again.

        The new turn has a number of its own and takes the place of the last visible one that was answered,
        which stays until the new answer is stored. 409 while a turn is in work. It is metered as any turn is.
        """
        service = await open_chat(tenant)
        edit = _edit(operation_id, if_match)
        return await service.regenerate(path.bot_id, path.conversation_id, request, edit)


def _bind_conversations(runtime: "Runtime", routes: Routes) -> None:
    @routes.get("v1/bots/{bot_id}/conversations", min_role=Role.USER)
    async def list_conversations(
        tenant: TenantContext, path: BotPath, query: ConversationPageQuery
    ) -> ListReply[ConversationSummary]:
        """List a bot's conversations.

        The one that was last gone on with comes first. A user's token, or a key that is bound to a user, sees
        that user's alone.
        """
        return await _conversations(runtime, tenant, path.bot_id).list(path.bot_id, query)

    @routes.get(_CONVERSATION, min_role=Role.USER)
    async def get_conversation(
        tenant: TenantContext, path: ConversationPath, query: TurnPageQuery
    ) -> ConversationReply:
        """Show a conversation.

        Its visible turns come in pages, the oldest first. Another user's conversation is answered as an
        absent one to a user's token or key.
        """
        return await _conversations(runtime, tenant, path.bot_id).read(path.conversation_id, query)

    @routes.patch(_CONVERSATION, min_role=Role.USER)
    async def rename_conversation(
        tenant: TenantContext, path: ConversationPath, request: RenameRequest, if_match: IfMatch | None
    ) -> ConversationHeadReply:
        """Give a conversation a title.

        Null takes it away.
        """
        service = _conversations(runtime, tenant, path.bot_id)
        return await service.rename(path.conversation_id, _edit(None, if_match), request.title)

    @routes.delete(_CONVERSATION, min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS)
    async def delete_conversation(
        tenant: TenantContext, path: ConversationPath, if_match: IfMatch | None
    ) -> None:
        """Remove a conversation.

        All of its turns are removed with it, and cannot be brought back; copies of it stay.
        """
        await _conversations(runtime, tenant, path.bot_id).delete(path.conversation_id, if_match)

    @routes.get(_CONVERSATION + "/export", min_role=Role.USER)
    async def export_conversation(
        tenant: TenantContext, path: ConversationPath, query: ExportPageQuery
    ) -> ConversationExportReply:
        """Export a conversation.

        All that is kept of it: the turns that are hidden as well, each with what is known of its answer. A
        page ends at 1,000 turns or 4 MiB.
        """
        return await _conversations(runtime, tenant, path.bot_id).export(path.conversation_id, query)


def _bind_edits(runtime: "Runtime", routes: Routes) -> None:
    @routes.post(_CONVERSATION + "/undo", min_role=Role.USER)
    async def undo_turn(
        tenant: TenantContext,
        path: ConversationPath,
        if_match: IfMatch | None,
        operation_id: OperationId | None,
    ) -> ConversationHeadReply:
        """Undo the last answered turn.

        It is hidden, with what came after it: neither shown nor remembered. Its number is not given again.
        409 while a turn is in work, and where there is none to undo.
        """
        service = _conversations(runtime, tenant, path.bot_id)
        return await service.undo(path.conversation_id, _edit(operation_id, if_match))

    @routes.post(_CONVERSATION + "/rewind", min_role=Role.USER)
    async def rewind_conversation(
        tenant: TenantContext,
        path: ConversationPath,
        request: RewindRequest,
        if_match: IfMatch | None,
        operation_id: OperationId | None,
    ) -> ConversationHeadReply:
        """Go back to a turn.

        All turns after it are hidden; their numbers are not given again. 404 where it is not visible, 409
        while a turn is in work.
        """
        service = _conversations(runtime, tenant, path.bot_id)
        return await service.rewind(path.conversation_id, _edit(operation_id, if_match), request.turn)

    @routes.post(_CONVERSATION + "/fork", min_role=Role.USER, status=201, seconds=LONGEST_ANSWER_SECONDS)
    async def fork_conversation(
        tenant: TenantContext,
        path: ConversationPath,
        request: ForkRequest,
        if_match: IfMatch | None,
        operation_id: OperationId | None,
    ) -> ConversationHeadReply:
        """Begin another conversation with the turns of this one.

        The visible turns that were answered, up to the one named, are copied and numbered from 1 on. A copy
        that broke off is gone on with under the same Idempotency-Key. 409 while a turn is in work.
        """
        service = _conversations(runtime, tenant, path.bot_id)
        return await service.fork(path.conversation_id, _edit(operation_id, if_match), request.turn)

    @routes.put(_CONVERSATION + "/turns/{turn}/rating", min_role=Role.USER)
    async def rate_turn(
        tenant: TenantContext, path: TurnPath, request: RatingRequest, if_match: IfMatch | None
    ) -> RatedTurnReply:
        """Rate a turn.

        A rating before it is replaced. Hidden turns may be rated, too; a turn without an answer is a 409.
        """
        service = _conversations(runtime, tenant, path.bot_id)
        return await service.rate(path.conversation_id, path.turn, request, if_match)
