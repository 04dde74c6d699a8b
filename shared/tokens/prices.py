"""Price table of models, which usage is multiplied with."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_PER = Decimal(1_000_000)

type _Model = Annotated[str, StringConstraints(min_length=1, max_length=128)]
type _Price = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]


class ModelPrice(BaseModel):
    """Price of one model per million tokens, in the table's currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: _Price
    completion: _Price

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Return the cost of these tokens, exactly."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _PER


class PriceTable(BaseModel):
    """Prices of the models in use; a model that is not in it has no known cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217")
    models: dict[_Model, ModelPrice] = Field(default_factory=dict, max_length=200)
