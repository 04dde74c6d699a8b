"""The families of models that the endpoint stands in for, told by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass

LISTED = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5.6-sol",
    "gpt-6-sol",
    "gpt-6.1-sol",
    "o3",
    "o4-mini",
    "gpt-4",
)
LISTED_EMBEDDINGS = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")


@dataclass(frozen=True, slots=True)
class Family:
    """Properties that models of one family share.

    Attributes:
        names: Matches the names of its models, versions and dates included.
        encoding: The encoding that counts.
        context: How many tokens prompt and answer may have together.
        output: How many tokens an answer may have.
        reasoning: Whether it refuses sampling parameters and `max_tokens`.
        schemas: Whether it keeps to a JSON schema.
    """

    names: re.Pattern[str]
    encoding: str
    context: int
    output: int
    reasoning: bool = False
    schemas: bool = True


_O200K, _CL100K = "o200k_base", "cl100k_base"
_FAMILIES = (
    Family(re.compile(r"gpt-4o\b"), _O200K, 128_000, 16_384),
    Family(re.compile(r"gpt-4\.1\b"), _O200K, 1_047_576, 32_768),
    Family(re.compile(r"gpt-[56][\d.]*-chat\b"), _O200K, 128_000, 16_384),
    Family(re.compile(r"gpt-5\.4-(mini|nano)\b"), _O200K, 400_000, 128_000, reasoning=True),
    Family(re.compile(r"gpt-(5\.[4-9]|6(\.\d+)?)\b"), _O200K, 1_050_000, 128_000, reasoning=True),
    Family(re.compile(r"gpt-5\b"), _O200K, 400_000, 128_000, reasoning=True),
    Family(re.compile(r"o[134]\b"), _O200K, 200_000, 100_000, reasoning=True),
    Family(re.compile(r"gpt-4-(turbo|1106|0125)"), _CL100K, 128_000, 4_096, schemas=False),
    Family(re.compile(r"gpt-4(-0613|-0314)?$"), _CL100K, 8_192, 8_192, schemas=False),
    Family(re.compile(r"gpt-(35|3\.5)-turbo\b"), _CL100K, 16_385, 4_096, schemas=False),
)


def family_of(model: str) -> Family | None:
    """Tell the family of a model by its name."""
    return next((family for family in _FAMILIES if family.names.match(model)), None)


@dataclass(frozen=True, slots=True)
class EmbeddingFamily:
    """Properties of an embedding model.

    Attributes:
        name: Their name.
        encoding: The encoding that counts.
        dimensions: How long their vectors are.
        can_be_shortened: Whether a request may ask for shorter ones.
    """

    name: str
    encoding: str
    dimensions: int
    can_be_shortened: bool


_EMBEDDING_FAMILIES = (
    EmbeddingFamily("text-embedding-3-small", _CL100K, 1536, can_be_shortened=True),
    EmbeddingFamily("text-embedding-3-large", _CL100K, 3072, can_be_shortened=True),
    EmbeddingFamily("text-embedding-ada-002", _CL100K, 1536, can_be_shortened=False),
)


def embedding_family_of(model: str) -> EmbeddingFamily | None:
    """Tell the family of an embedding model by its name."""
    return next((family for family in _EMBEDDING_FAMILIES if family.name == model), None)
