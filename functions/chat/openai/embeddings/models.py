"""Requests for embeddings, and what is known of their answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from shared.http.models import ReplyModel, RequestModel
from shared.llm.bounded_answer import MOST_BYTES_OF_EMBEDDINGS
from shared.llm.deployments import MOST_DIMENSIONS
from shared.tenancy.context import USER_ID_PATTERN
from shared.validation import refuse_value

MOST_INPUTS = 2_048
MOST_TOKENS = 300_000
"""Of all inputs together: OpenAI's own bounds, as that of the inputs is."""

_LARGEST_TOKEN = 10_000_000
_BYTES_OF_A_NUMBER = {"float": 14, "base64": 16 / 3}
_BYTES_AROUND = 100
"""Of JSON around a vector."""


_Inputs = str | list[str] | list[int] | list[list[int]]


class EmbeddingsRequest(RequestModel):
    """A batch of texts to embed, as OpenAI has it; it is passed on to the model as it is.

    Attributes:
        model: An embedding model of the catalogue that the tenant may use.
        input: A text, a text as tokens, or a list of either, none of them empty: 2,048 of them at most, with
            300,000 tokens together.
        dimensions: How long the vectors are to be, of a model that can shorten them.
        encoding_format: How they are written: as lists of numbers, or as little-endian floats in base64.
        user: Whom it is made for; the provider is told a hash.
    """

    model: str = Field(min_length=1, max_length=200)
    input: _Inputs
    dimensions: int | None = Field(None, ge=1, le=MOST_DIMENSIONS)
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = Field(None, pattern=USER_ID_PATTERN)

    @field_validator("input", mode="plain", json_schema_input_type=_Inputs)
    @classmethod
    def _is_a_batch(cls, value: object) -> object:
        # One problem that names `input`, where a union would tell of each of its four forms.
        inputs = _split(value)
        if not inputs:
            raise refuse_value("must not be empty")
        if len(inputs) > MOST_INPUTS:
            raise refuse_value(f"holds more than {MOST_INPUTS} inputs")
        if not (all(isinstance(one, str) for one in inputs) or all(map(_are_tokens, inputs))):
            raise refuse_value("must be a text, a list of texts, a list of tokens or a list of such lists")
        if not all(inputs):
            raise refuse_value("must not hold an empty text")
        return value

    def texts(self) -> list[str]:
        """Return the inputs that are texts."""
        return [one for one in _split(self.input) if isinstance(one, str)]

    def count_inputs(self) -> int:
        """Return how many inputs there are."""
        return len(_split(self.input))

    def count_tokens(self) -> int:
        """Return how many tokens the inputs have that are given as tokens."""
        return sum(len(one) for one in _split(self.input) if not isinstance(one, str))

    def most_inputs(self, dimensions: int) -> int:
        """Return how many inputs have vectors of such a length that fit into one answer."""
        width = _BYTES_OF_A_NUMBER[self.encoding_format or "float"]
        return int(MOST_BYTES_OF_EMBEDDINGS / (dimensions * width + _BYTES_AROUND))


class EmbeddingsReply(ReplyModel):
    """Embeddings as the model's provider gave them; fields that are not named here are passed on, too.

    Attributes:
        object: `list`.
        data: A vector for each input, in their order.
        model: The model by the name that it was asked for.
        usage: The tokens that were used.
    """

    object: str
    data: list[dict[str, Any]]
    model: str
    usage: dict[str, Any]


def _split(value: object) -> list[Any]:
    """Return the inputs of a batch; a text, or a list that begins with a number, is a batch of one."""
    if isinstance(value, list) and not (value and type(value[0]) is int):
        return value
    return [value]


def _are_tokens(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(one) is int and 0 <= one <= _LARGEST_TOKEN for one in value)
    )
