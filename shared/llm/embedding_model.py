"""Embedding model: the protocol, its prompts and its answers, whoever serves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from shared.llm.model_call import CallOrigin, CallProgress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.contracts import Usage
    from shared.llm.deployments import ModelDeployment
    from shared.llm.token_cap import TokenCap

_NO_ORIGIN = CallOrigin()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingPrompt:
    """One call of an embedding model: a batch of texts, or of texts as tokens.

    Attributes:
        model: The name of the model in the catalogue.
        fields: What the model is sent as it came: `input`, and `dimensions` and `encoding_format` if given.
        texts: The inputs that are texts.
        tokens: The tokens of those that are tokens already.
        inputs: How many inputs there are.
        user: Whom the call is made for: an opaque id that usage is grouped by.
        origin: What the call is made for.
        route: The deployment to ask, and after it those of the same model; the catalogue's.
        safety_identifier: The user as the provider is told: nobody reads user or tenant from it.
        cap: The tokens of the work that the call is a part of.
        progress: What is learnt of the call on the way.
    """

    model: str
    fields: Mapping[str, object] = field(repr=False)
    texts: Sequence[str] = field(repr=False)
    tokens: int = 0
    inputs: int = 1
    user: str | None = None
    origin: CallOrigin = _NO_ORIGIN
    route: tuple[ModelDeployment, ...] = ()
    safety_identifier: str | None = None
    cap: TokenCap | None = field(default=None, compare=False)
    progress: CallProgress = field(default_factory=CallProgress, compare=False, repr=False)

    @property
    def tokenizer(self) -> str:
        """Return what its tokens are counted by: the deployment's encoding, or the model's name."""
        return self.route[0].tokenizer if self.route else self.model


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of a batch.

    Attributes:
        content: The provider's JSON, as it came.
        usage: The tokens that it used.
        model: The model that answered, by its provider's name for it.
        deployment: The catalogue's name of the deployment that answered; None where it was not asked.
    """

    content: bytes = field(repr=False)
    usage: Usage
    model: str
    deployment: str | None = None


class EmbeddingModel(Protocol):
    """Something that embeds texts."""

    async def embed(self, prompt: EmbeddingPrompt) -> Embeddings:
        """Embed a batch.

        Raises:
            PromptRejectedError: It does not take the batch, and used nothing.
            PromptRefusedError: It does not take the batch.
            ModelUnavailableError: There is no such model any more; nothing was used.
            ModelOutageError: No attempt used anything.
            UnusableAnswerError: Its answer is not one vector for each input.
            DependencyUnavailableError: It failed; tokens may have been used.
            DependencyTimeoutError: It did not answer in time; tokens may have been used.
        """
        ...
