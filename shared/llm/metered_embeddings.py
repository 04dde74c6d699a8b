"""Embedding model as an application of a tenant uses it: named, within the budget, recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from shared.llm.call_recorder import CallKind
from shared.llm.catalogue_model import hash_names
from shared.llm.deployments import ModelKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.llm.call_account import CallAccount
    from shared.llm.call_recorder import CallRecorder
    from shared.llm.deployments import ModelDeployment
    from shared.llm.embedding_model import EmbeddingModel, EmbeddingPrompt, Embeddings
    from shared.tenancy.context import TenantContext

_KIND = CallKind("embeddings")


class CountsTexts(Protocol):
    """Tokenizer, as far as embeddings need one."""

    async def count_texts(self, texts: Sequence[str], model: str) -> int:
        """Return how many tokens texts of the model have together.

        Raises:
            PromptTooLongError: They are longer than what is counted.
        """
        ...


class FindsEmbeddingModels(Protocol):
    """Model catalogue, as far as embeddings need it."""

    async def route(
        self, tenant: TenantContext, name: str, kind: ModelKind = ModelKind.CHAT
    ) -> tuple[ModelDeployment, ...]:
        """Return the deployment of a name, and after it those that may be asked in its place.

        Raises:
            ModelUnavailableError: There is none (any more), or the tenant may not use it.
        """
        ...


@dataclass(frozen=True, slots=True)
class MeteredEmbeddingModel:
    """`EmbeddingModel` for one application of one tenant.

    A call locks the tokens of its batch, and reports those that the provider counted (`CallAccount`).

    Attributes:
        model: What embeds.
        catalogue: The deployments that there are.
        counter: Counts texts.
        account: The budget of the application.
        recorder: Keeps the records of its calls.
        tenant: Who asks.
    """

    model: EmbeddingModel
    catalogue: FindsEmbeddingModels
    counter: CountsTexts
    account: CallAccount
    recorder: CallRecorder
    tenant: TenantContext

    async def embed(self, prompt: EmbeddingPrompt) -> Embeddings:
        """Embed a batch within the budget.

        Raises:
            ModelUnavailableError: The catalogue has no such model for the tenant (any more).
            BudgetExceededError: The budget does not admit the call now.
            PromptTooLongError: No budget of the tenant ever admits it, or it is longer than what is counted.
            APIError: The model's own errors; see `EmbeddingModel`.
        """
        with self.recorder.record(prompt, _KIND) as call:
            routed = await self._find_route(call.prompt)
            tokens = await self.counter.count_texts(routed.texts, routed.tokenizer) + routed.tokens
            embeddings = await self.account.pay(routed, tokens, lambda: self.model.embed(routed))
            call.succeed(embeddings.model)
        return embeddings

    async def _find_route(self, prompt: EmbeddingPrompt) -> EmbeddingPrompt:
        route = await self.catalogue.route(self.tenant, prompt.model, ModelKind.EMBEDDINGS)
        prompt.progress.route = route
        user, tenant_id = prompt.user, self.tenant.tenant_id
        told = None if user is None else hash_names("user", tenant_id, user)
        return replace(prompt, route=route, safety_identifier=told)
