"""Bind the routes that OpenAI's clients call."""

from functions.chat.composition import Chat
from functions.chat.openai.completions import CompletionAnswer
from functions.chat.openai.embeddings.routes import bind_embeddings
from functions.chat.openai.model_list import find_usable, list_usable
from functions.chat.openai.models import (
    ChatCompletionReply,
    ChatCompletionRequest,
    UsableModelPath,
    UsableModelReply,
    UsableModelsReply,
)
from shared.http.inputs import ArrivedAt, OperationId
from shared.http.route import JsonReply
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.http.streaming import EventStream
from shared.tenancy.context import Role, TenantContext


def bind_openai(chat: Chat, routes: Routes) -> None:
    """Bind the routes of OpenAI's interface."""
    _bind_completions(chat, routes)
    _bind_models(chat, routes)
    bind_embeddings(chat, routes)


def _bind_completions(chat: Chat, routes: Routes) -> None:
    @routes.post("v1/chat/completions", min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS)
    async def create_chat_completion(
        tenant: TenantContext,
        request: ChatCompletionRequest,
        operation_id: OperationId | None,
        arrived_at: ArrivedAt,
    ) -> JsonReply[ChatCompletionReply] | EventStream[ChatCompletionReply]:
        """Complete a chat.

        It is OpenAI's `POST /chat/completions`: the request is passed on to the model that it names, and the
        answer is passed back. A bot answers with its instructions and settings, and keeps nothing. The tokens
        come out of the tenant's budget: 429 where that does not admit the call now. Each answer tells in
        `x-tenantry-queue-ms` how long the budget was waited for, in `x-tenantry-overhead-ms` what else it
        took beside the model's own time, and in `x-ratelimit-*` what is left.

        With `stream`, the parts come as the model gives them. Who leaves before the end stops the model.
        """
        forwarding = await chat.forwarding(tenant)
        call = await forwarding.prepare(request)
        with_usage = request.stream_options is not None and bool(request.stream_options.include_usage)
        answer = CompletionAnswer(call, arrived_at, with_usage)
        if not request.stream:
            return await answer.complete()
        headers: dict[str, str] = {}
        return EventStream(answer.stream(headers, is_kept=operation_id is not None), headers)


def _bind_models(chat: Chat, routes: Routes) -> None:
    @routes.get("v1/models", min_role=Role.USER)
    async def list_usable_models(tenant: TenantContext) -> UsableModelsReply:
        """List the models that may be named.

        Those of the catalogue that the tenant may use, sorted by name, and then its bots and the global ones
        as `bot/` and their ids: 1,000 at most. `GET /bots` lists all of them.
        """
        return await list_usable(await chat.forwarding(tenant))

    @routes.get("v1/models/{*model}", min_role=Role.USER)
    async def get_usable_model(tenant: TenantContext, path: UsableModelPath) -> UsableModelReply:
        """Show a model that may be named.

        Slashes in its name may be sent as they are or as `%2F`. `bot/` and a bot's id shows the bot.
        """
        return await find_usable(await chat.forwarding(tenant), path.name)
