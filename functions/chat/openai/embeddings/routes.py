"""Bind the route of embeddings."""

from functions.chat.composition import Chat
from functions.chat.openai.completions import call_headers
from functions.chat.openai.embeddings.models import EmbeddingsReply, EmbeddingsRequest
from shared.http.bounds import RouteBounds
from shared.http.inputs import ArrivedAt
from shared.http.route import JsonReply
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.llm.bounded_answer import MOST_BYTES_OF_EMBEDDINGS
from shared.tenancy.context import Role, TenantContext

_BOUNDS = RouteBounds(values=400_000, answer_bytes=MOST_BYTES_OF_EMBEDDINGS)
"""Of tokens there are more than of anything else in a body of 1 MB."""


def bind_embeddings(chat: Chat, routes: Routes) -> None:
    """Bind the route of embeddings."""

    @routes.post("v1/embeddings", min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS, bounds=_BOUNDS)
    async def create_embeddings(
        tenant: TenantContext, request: EmbeddingsRequest, arrived_at: ArrivedAt
    ) -> JsonReply[EmbeddingsReply]:
        """Embed texts.

        It is OpenAI's `POST /embeddings`: the batch is passed on to the model that it names, and the vectors
        are passed back. Its tokens come out of the tenant's pool for embeddings, beside its budget for all
        else: 429 where that does not admit the call now. Batches of 128 inputs and more wait for each other.
        """
        answer = await chat.embedding(tenant).embed(request)
        return JsonReply[EmbeddingsReply](answer.content, call_headers(answer, arrived_at))
