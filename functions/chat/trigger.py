"""Bind the routes of bots, chat and conversations."""

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import azure.functions as func

from functions.chat.bots.configuration import BotConfig
from functions.chat.bots.models import BotPageQuery, BotPath, BotReply
from functions.chat.composition import Chat
from functions.chat.conversations.edits import Edit
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
from functions.chat.openai.dialect import OPENAI
from functions.chat.openai.responses.dialect import RESPONSES
from functions.chat.openai.responses.queue import bind_queue
from functions.chat.openai.responses.routes import bind_responses
from functions.chat.openai.routes import bind_openai
from shared.http.bounds import RouteBounds
from shared.http.inputs import IfMatch, OperationId
from shared.http.paging import ListReply
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.http.scopes import ReadScope, WriteScope
from shared.http.streaming import EventStream, StreamEvent
from shared.llm.loading import load_models_client
from shared.tenancy.context import PlatformContext, Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime

_encode = json.JSONEncoder(ensure_ascii=False).encode
_CONVERSATION = "v1/bots/{bot_id}/conversations/{conversation_id}"


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the chat routes; the administrator who names no tenant means the global bots."""
    routes = Routes(runtime, "chat")
    chat = runtime.once(Chat)
    runtime.begin_with(load_models_client)
    _bind_bots(chat, routes)
    _bind_answers(chat, routes)
    _bind_conversations(chat, routes)
    _bind_edits(chat, routes)
    bind_openai(chat, routes.speaking(OPENAI, "openai"))
    bind_responses(runtime, chat, routes.speaking(RESPONSES, "openai"))
    bind_queue(runtime, chat, routes.blueprint)
    return routes.blueprint


def _bind_bots(chat: Chat, routes: Routes) -> None:
    @routes.put("v1/bots/{bot_id}", min_role=Role.TENANT_ADMIN)
    async def save_bot(
        caller: TenantContext | PlatformContext,
        path: BotPath,
        query: WriteScope,
        bot: BotConfig,
        if_match: IfMatch | None,
    ) -> BotReply:
        """Save a bot.

        A bot of the same id is replaced as a whole; it goes on with its conversations. The change is in force
        on every instance within 30 s. A prompt that wants lists of messages is refused, since no turn gives
        any; one that is not there yet is taken. A new bot under the name of a model is refused.
        """
        return await chat.bots(caller).save(path.bot_id, bot, query.scope, if_match)

    @routes.get("v1/bots/{bot_id}", min_role=Role.USER)
    async def get_bot(caller: TenantContext | PlatformContext, path: BotPath, query: ReadScope) -> BotReply:
        """Show a bot.

        It is the tenant's own bot, and where there is none the global one, as `source` says.
        """
        return await chat.bots(caller).read(path.bot_id, query.scope)

    @routes.get("v1/bots", min_role=Role.USER, bounds=RouteBounds(one_at_a_time=True))
    async def list_bots(caller: TenantContext | PlatformContext, query: BotPageQuery) -> ListReply[BotReply]:
        """List the bots.

        They are sorted by id.
        """
        return await chat.bots(caller).list(query)

    @routes.delete("v1/bots/{bot_id}", min_role=Role.TENANT_ADMIN)
    async def delete_bot(
        caller: TenantContext | PlatformContext,
        path: BotPath,
        query: WriteScope,
        if_match: IfMatch | None,
    ) -> None:
        """Remove a bot.

        Its conversations stay readable. Removing a bot that is not there is a 404. Other instances may answer
        with it for 30 s more.
        """
        await chat.bots(caller).delete(path.bot_id, query.scope, if_match)

    @routes.post("v1/bots/{bot_id}/reload", min_role=Role.TENANT_ADMIN)
    async def reload_bot(tenant: TenantContext, path: BotPath) -> BotReply:
        """Read a bot anew.

        A change that another instance made is in force on this one at once; on its own it would be within
        30 s. Where the bot cannot be read, the one before goes on answering.
        """
        return await chat.bots(tenant).reload(path.bot_id)


async def _render_parts(
    answer: AsyncGenerator[str | ChatReply],
) -> AsyncGenerator[StreamEvent | ChatReply]:
    async with aclosing(answer):
        async for part in answer:
            if isinstance(part, str):
                yield StreamEvent("token", _encode({"text": part}))
            else:
                yield part


def _edit(operation_id: OperationId | None, if_match: IfMatch | None) -> Edit:
    return Edit(operation_id or uuid.uuid4().hex, if_match)


def _bind_answers(composition: Chat, routes: Routes) -> None:
    @routes.post("v1/bots/{bot_id}/chat", min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS)
    async def chat(
        tenant: TenantContext, path: BotPath, turn: ChatRequest, operation_id: OperationId | None
    ) -> ChatReply | EventStream[ChatReply]:
        """Answer one user turn.

        The turn is stored before the model is paid, and the answer before it is returned; with an
        Idempotency-Key it is found again after a crash, and not paid twice. One message of a conversation is
        answered at a time: a second one waits two seconds and is then refused with 409. The answer's tokens
        come out of the tenant's budget: 429 where that does not admit it now.

        With `stream`, events `token` bring the text in parts, `{"text": "..."}`; the last one, `done`, has
        the fields of the plain answer. Who leaves before it stops the model; the turn is marked as failed.
        """
        answering = await composition.answering(tenant)
        if turn.stream:
            return EventStream(_render_parts(answering.stream(path.bot_id, turn, operation_id)))
        return await answering.reply(path.bot_id, turn, operation_id)

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
        service = await composition.answering(tenant)
        edit = _edit(operation_id, if_match)
        return await service.regenerate(path.bot_id, path.conversation_id, request, edit)


def _bind_conversations(composition: Chat, routes: Routes) -> None:
    @routes.get("v1/bots/{bot_id}/conversations", min_role=Role.USER)
    async def list_conversations(
        tenant: TenantContext, path: BotPath, query: ConversationPageQuery
    ) -> ListReply[ConversationSummary]:
        """List a bot's conversations.

        The one that was last gone on with comes first. A user's token, or a key that is bound to a user, sees
        that user's alone.
        """
        return await composition.conversations(tenant, path.bot_id).list(path.bot_id, query)

    @routes.get(_CONVERSATION, min_role=Role.USER)
    async def get_conversation(
        tenant: TenantContext, path: ConversationPath, query: TurnPageQuery
    ) -> ConversationReply:
        """Show a conversation.

        Its visible turns come in pages, the oldest first. Another user's conversation is answered as an
        absent one to a user's token or key.
        """
        return await composition.conversations(tenant, path.bot_id).read(path.conversation_id, query)

    @routes.patch(_CONVERSATION, min_role=Role.USER)
    async def rename_conversation(
        tenant: TenantContext, path: ConversationPath, request: RenameRequest, if_match: IfMatch | None
    ) -> ConversationHeadReply:
        """Give a conversation a title.

        Null takes it away.
        """
        service = composition.conversations(tenant, path.bot_id)
        return await service.rename(path.conversation_id, _edit(None, if_match), request.title)

    @routes.delete(_CONVERSATION, min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS)
    async def delete_conversation(
        tenant: TenantContext, path: ConversationPath, if_match: IfMatch | None
    ) -> None:
        """Remove a conversation.

        All of its turns are removed with it, and cannot be brought back; copies of it stay.
        """
        await composition.conversations(tenant, path.bot_id).delete(path.conversation_id, if_match)

    @routes.get(_CONVERSATION + "/export", min_role=Role.USER, bounds=RouteBounds(one_at_a_time=True))
    async def export_conversation(
        tenant: TenantContext, path: ConversationPath, query: ExportPageQuery
    ) -> ConversationExportReply:
        """Export a conversation.

        All that is kept of it: the turns that are hidden as well, each with what is known of its answer. A
        page ends at 1,000 turns or 4 MiB.
        """
        return await composition.conversations(tenant, path.bot_id).export(path.conversation_id, query)


def _bind_edits(composition: Chat, routes: Routes) -> None:
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
        service = composition.conversations(tenant, path.bot_id)
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
        service = composition.conversations(tenant, path.bot_id)
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
        service = composition.conversations(tenant, path.bot_id)
        return await service.fork(path.conversation_id, _edit(operation_id, if_match), request.turn)

    @routes.put(_CONVERSATION + "/turns/{turn}/rating", min_role=Role.USER)
    async def rate_turn(
        tenant: TenantContext, path: TurnPath, request: RatingRequest, if_match: IfMatch | None
    ) -> RatedTurnReply:
        """Rate a turn.

        A rating before it is replaced. Hidden turns may be rated, too; a turn without an answer is a 409.
        """
        service = composition.conversations(tenant, path.bot_id)
        return await service.rate(path.conversation_id, path.turn, request, if_match)
