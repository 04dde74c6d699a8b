"""Price table of models, which usage is multiplied with."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

if TYPE_CHECKING:
    from shared.contracts import Usage

_PER = Decimal(1_000_000)

type _Model = Annotated[str, StringConstraints(min_length=1, max_length=128)]
type _Price = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]


class ModelPrice(BaseModel):
    """Price of one model per million tokens, in the table's currency.

    Attributes:
        prompt: Of tokens of the prompt.
        completion: Of tokens of the answer.
        cached: Of those of the prompt that the provider had in its cache; without it, as of the others.
        reasoning: Of those of the answer that it was thought with; without it, as of the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: _Price
    completion: _Price
    cached: _Price | None = None
    reasoning: _Price | None = None

    def cost(self, usage: Usage) -> Decimal:
        """Return the cost of these tokens, exactly."""
        cached = self.prompt if self.cached is None else self.cached
        reasoning = self.completion if self.reasoning is None else self.reasoning
        prompt = (usage.prompt_tokens - usage.cached_tokens) * self.prompt + usage.cached_tokens * cached
        said = usage.completion_tokens - usage.reasoning_tokens
        return (prompt + said * self.completion + usage.reasoning_tokens * reasoning) / _PER


class PriceTable(BaseModel):
    """Prices of the models in use; a model that is not in it has no known cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217")
    models: dict[_Model, ModelPrice] = Field(default_factory=dict, max_length=200)
