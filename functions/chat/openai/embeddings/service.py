"""Way of a batch to the embedding model that it names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from functions.chat.openai.embeddings.models import MOST_TOKENS
from shared.llm.chat_model import ModelNotFoundError
from shared.llm.deployments import ModelKind
from shared.llm.embedding_answer import rename_model
from shared.llm.embedding_model import EmbeddingPrompt
from shared.llm.model_call import CallOrigin
from shared.tokens.counters import EMBEDDINGS_APP
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from functions.chat.openai.embeddings.models import EmbeddingsRequest
    from shared.llm.deployments import ModelDeployment
    from shared.llm.embedding_model import EmbeddingModel
    from shared.llm.model_call import CallProgress
    from shared.tenancy.context import TenantContext

LARGE_BATCH = 128
"""Inputs from which a batch waits for the tenant's last one: its answer may have tens of megabytes."""


class UsableEmbeddingModels(Protocol):
    """Model catalogue, as far as names are looked up in it."""

    async def usable(self, tenant: TenantContext) -> Mapping[str, ModelDeployment]:
        """Return the deployments that a tenant may use, by name."""
        ...


class TakesTurns(Protocol):
    """Turns of what is done once at a time."""

    def in_turn(self, thing: object) -> AbstractAsyncContextManager[None]:
        """Have the turn of a thing while the block runs."""
        ...


@dataclass(frozen=True, slots=True)
class EmbeddingAnswer:
    """Embeddings in OpenAI's form.

    Attributes:
        content: The JSON.
        begun: What was learnt of the call, where it had begun.
    """

    content: bytes = field(repr=False)
    begun: Sequence[CallProgress]


@dataclass(frozen=True, slots=True)
class EmbeddingService:
    """Embedding models of one tenant, as requests of OpenAI's form name them.

    Attributes:
        tenant: Who asks.
        models: The catalogue.
        model: What embeds: within the tenant's budget, recorded.
        turns: The turns of large batches on this instance.
    """

    tenant: TenantContext
    models: UsableEmbeddingModels
    model: EmbeddingModel
    turns: TakesTurns

    async def embed(self, request: EmbeddingsRequest) -> EmbeddingAnswer:
        """Embed a batch.

        Raises:
            ModelNotFoundError: No embedding model has the name, or not for this tenant.
            PermissionDeniedError: A user's credential names another user.
            ValidationError: It is larger than any model takes, or than an answer may be.
            APIError: The model's own errors and the budget's; see `EmbeddingModel`.
        """
        _refuse_large_answer(request, await self._require(request.model))
        begun: list[CallProgress] = []
        prompt = _build_prompt(
            request, self.tenant.user_named(request.user), CallOrigin(on_begin=begun.append)
        )
        if prompt.inputs < LARGE_BATCH:
            embeddings = await self.model.embed(prompt)
        else:
            async with self.turns.in_turn((EMBEDDINGS_APP, self.tenant.tenant_id)):
                embeddings = await self.model.embed(prompt)
        content = rename_model(embeddings.content, request.model)
        return EmbeddingAnswer(content, begun)

    async def _require(self, name: str) -> ModelDeployment:
        usable = await self.models.usable(self.tenant)
        known = {other: one for other, one in usable.items() if one.kind is ModelKind.EMBEDDINGS}
        if name not in known:
            raise ModelNotFoundError(name, [*known], kind="embeddings model")
        return known[name]


def _refuse_large_answer(request: EmbeddingsRequest, deployment: ModelDeployment) -> None:
    """Refuse a batch whose vectors would be more than is passed on, before anybody pays for them."""
    dimensions = request.dimensions or deployment.dimensions
    if dimensions is None:
        return
    most = request.most_inputs(dimensions)
    if request.count_inputs() > most:
        hint = "" if request.encoding_format == "base64" else ", or more with encoding_format base64"
        problem = f"holds more than {most} inputs, whose vectors of {dimensions} numbers are too large{hint}"
        raise refused_field("body.input", problem)


def _build_prompt(request: EmbeddingsRequest, user: str | None, origin: CallOrigin) -> EmbeddingPrompt:
    tokens = request.count_tokens()
    if tokens > MOST_TOKENS:
        raise refused_field("body.input", f"holds more than {MOST_TOKENS} tokens")
    named = ("input", "dimensions", "encoding_format")
    given = {name: getattr(request, name) for name in named}
    return EmbeddingPrompt(
        model=request.model,
        fields={name: value for name, value in given.items() if value is not None},
        texts=request.texts(),
        tokens=tokens,
        inputs=request.count_inputs(),
        user=user,
        origin=origin,
    )
