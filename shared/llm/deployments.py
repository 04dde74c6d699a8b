"""Deployments of models as data: where each is called, how, what it takes and what it costs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from shared.llm.answer_format import AnswerFormatKind
from shared.llm.image_tokens import ImageTokens
from shared.llm.model_address import parse_address
from shared.llm.prices import ModelPrice
from shared.validation import refuse_value, text_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.llm.model_address import ModelAddress

_API_VERSION_PATTERN = text_pattern(
    r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}(-preview)?$", "the version of an API, such as 2024-10-21"
)
MODEL_NAME_PATTERN = text_pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$",
    "1 to 128 letters, digits and . _ : / -, beginning with a letter or digit",
)
BOT_PREFIX = "bot/"
MOST_DIMENSIONS = 100_000
"""Of a vector: more than any model's."""

"""Beginning of the names by which a call means a bot (design/api.md): no model has such a name."""

KEY_SETTING_PATTERN = text_pattern(
    r"^MODEL_KEY_[A-Z0-9_]{1,64}$", "MODEL_KEY_ and then 1 to 64 capital letters, digits and _"
)
"""The only settings whose value a deployment is sent, besides the key of the app's own resource."""

MOST_TOKENS_OF_A_MODEL = 10_000_000
WARNING_DAYS = 90
"""So long before its retirement a deployment is told of."""

_DEFAULT_OUTPUT_TOKENS = 4_096
_DEFAULT_REASONING_TOKENS = 8_192
"""Longer than of others: what it is thought with is in it."""

_MOST_OUTPUT_TOKENS = 16_384
_MOST_INPUT_TOKENS = 128_000
_MOST_FALLBACKS = 5
_DATED = re.compile(r"(?P<model>.+)-20\d\d-\d\d-\d\d")

type ModelName = Annotated[str, StringConstraints(pattern=MODEL_NAME_PATTERN)]
type _Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS_OF_A_MODEL)]


class Provider(StrEnum):
    """Interface that a deployment is called by."""

    AZURE = "azure"
    AZURE_API_VERSION = "azure-api-version"
    OPENAI_COMPATIBLE = "openai-compatible"

    @property
    def is_azure(self) -> bool:
        """Tell whether Azure serves it."""
        return self is not Provider.OPENAI_COMPATIBLE


class ModelKind(StrEnum):
    """Kind of answer that a model gives."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"


class Tokenizer(StrEnum):
    """Encoding that prompts are counted in."""

    O200K = "o200k_base"
    CL100K = "cl100k_base"


class CatalogueSource(StrEnum):
    """Level that an entry comes from, the strongest first."""

    STORED = "stored"
    SETTING = "setting"
    PACKAGED = "packaged"


class CatalogueEntry(BaseModel):
    """A deployment as somebody described it; what is left out is the model's, or has a default.

    Attributes:
        model: A model of the packaged table, whose facts hold where the entry says none; without it, the one
            of the entry's own name, if there is one.
        provider: The interface: Azure's v1 (`azure`), Azure's with an api-version, or any that is compatible
            with OpenAI's.
        base_url: Where it is served; without it, the app's own Azure resource. For `azure-api-version` the
            resource's address; for the others what `/chat/completions` is added to, where for a bare address
            of Azure's that is `/openai/v1`. Without TLS only on this machine.
        api_version: The version of the interface; only `azure-api-version` has one.
        deployment: What it is called there; without it, as here.
        kind: What it answers with.
        reasoning: Whether it reasons: it then takes an effort and no temperature.
        answer_format: The strictest form that its answers can be held to: `json_schema`, `json_object` or
            `text`. Of what is beyond it, it is told with the message.
        tokenizer: The encoding that prompts are counted in.
        max_input_tokens: The most tokens of a prompt.
        max_output_tokens: The most tokens of an answer, reasoning included.
        default_output_tokens: The most tokens of an answer where a call says none: so many are locked.
        price: What it costs by kind of token.
        images: How many tokens an image counts: by `base` and `tile`, or by `patches` and `factor`. A model
            without it takes no images.
        dimensions: How long its vectors are, of a model for embeddings, where a call does not say.
        fallbacks: Which entries are asked, in this order, while this one is limited, down or gone.
        retires_on: The day from which it answers no more.
        key_setting: The setting `MODEL_KEY_...` with its key; without one, Azure gets the identity's token,
            and others get none.
        enabled: Whether it may be used at all.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    model: ModelName | None = None
    provider: Provider = Provider.AZURE
    base_url: str | None = Field(None, min_length=1, max_length=500)
    api_version: str | None = Field(None, pattern=_API_VERSION_PATTERN)
    deployment: ModelName | None = None
    kind: ModelKind | None = None
    reasoning: bool | None = None
    answer_format: AnswerFormatKind | None = None
    tokenizer: Tokenizer | None = None
    max_input_tokens: _Tokens | None = None
    max_output_tokens: _Tokens | None = None
    default_output_tokens: _Tokens | None = None
    price: ModelPrice | None = None
    images: ImageTokens | None = None
    dimensions: int | None = Field(None, ge=1, le=MOST_DIMENSIONS)
    fallbacks: list[ModelName] = Field(default_factory=list, max_length=_MOST_FALLBACKS)
    retires_on: date | None = None
    key_setting: str | None = Field(None, pattern=KEY_SETTING_PATTERN)
    enabled: bool = True

    @field_validator("base_url")
    @classmethod
    def _is_safe_to_send_to(cls, base_url: str | None) -> str | None:
        if base_url is None:
            return None
        address = parse_address(base_url)
        if address is None:
            raise refuse_value("must be an address such as https://resource.openai.azure.com/openai/v1")
        if not address.is_safe:
            raise refuse_value("must begin with https:// (http:// is for this machine only)")
        return address.url

    @model_validator(mode="after")
    def _fits_its_provider(self) -> Self:
        if (self.provider is Provider.AZURE_API_VERSION) != (self.api_version is not None):
            raise refuse_value("api_version is for the provider azure-api-version, which needs one")
        if self.base_url is None:
            if self.provider is Provider.OPENAI_COMPATIBLE:
                raise refuse_value("a provider that is not Azure needs a base_url")
            if self.key_setting is not None:
                raise refuse_value(
                    "the app's own resource has its key already: a key_setting needs a base_url"
                )
            return self
        address = parse_address(self.base_url)
        if address is None or not (self.provider.is_azure and self.key_setting is None):
            return self
        if not address.is_azure:
            raise refuse_value(
                "the identity's token goes to Azure's hosts only: another one needs a key_setting"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeployment:
    """A deployment with all that is known of it.

    Attributes:
        name: Its name in the catalogue; usage, limits and prices go by it.
        base_url: None for the app's own Azure resource.
        deployment: What the provider calls it.
        served_model: The model behind it: of the packaged table, or by the provider's name.
        price: None where it is not known.

    The others are as `CatalogueEntry` describes them.
    """

    name: str
    source: CatalogueSource
    provider: Provider
    base_url: str | None
    api_version: str | None
    deployment: str
    served_model: str
    kind: ModelKind
    reasoning: bool
    answer_format: AnswerFormatKind
    tokenizer: Tokenizer
    max_input_tokens: int
    max_output_tokens: int
    default_output_tokens: int
    price: ModelPrice | None
    images: ImageTokens | None
    dimensions: int | None
    fallbacks: tuple[str, ...]
    retires_on: date | None
    key_setting: str | None

    @property
    def address(self) -> ModelAddress | None:
        """Return the parts of its base URL; None for the app's own resource."""
        return None if self.base_url is None else parse_address(self.base_url)

    def limit_output(self, asked: int | None) -> int:
        """Return the most tokens of an answer, where a call asks for so many, or says nothing."""
        return min(self.default_output_tokens if asked is None else asked, self.max_output_tokens)

    def days_left(self, today: date) -> int | None:
        """Return the days until it retires, 0 once it has; None where no day is known."""
        return None if self.retires_on is None else max(0, (self.retires_on - today).days)

    def retires_soon(self, today: date) -> bool:
        """Tell whether it retires within `WARNING_DAYS`, or has retired."""
        left = self.days_left(today)
        return left is not None and left <= WARNING_DAYS


def find_model(models: Mapping[str, CatalogueEntry], name: str) -> CatalogueEntry | None:
    """Find a model of a table by its name, with a release's date or without."""
    dated = _DATED.fullmatch(name)
    return models.get(name) or (models.get(dated["model"]) if dated else None)


def complete_entry(
    name: str, entry: CatalogueEntry, model: CatalogueEntry | None, source: CatalogueSource
) -> ModelDeployment:
    """Fill what an entry leaves out with its model's facts, or with defaults.

    Args:
        name: The entry's name.
        entry: The entry.
        model: The packaged model that it is one of, if any.
        source: Where the entry comes from.
    """
    facts = model or CatalogueEntry()
    reasoning = _first(entry.reasoning, facts.reasoning, default=False)
    most = _first(entry.max_output_tokens, facts.max_output_tokens, default=_MOST_OUTPUT_TOKENS)
    usual = _DEFAULT_REASONING_TOKENS if reasoning else _DEFAULT_OUTPUT_TOKENS
    return ModelDeployment(
        name=name,
        source=source,
        provider=entry.provider,
        base_url=entry.base_url,
        api_version=entry.api_version,
        deployment=entry.deployment or name,
        served_model=entry.model or entry.deployment or name,
        kind=_first(entry.kind, facts.kind, default=ModelKind.CHAT),
        reasoning=reasoning,
        answer_format=_first(entry.answer_format, facts.answer_format, default=AnswerFormatKind.JSON_SCHEMA),
        tokenizer=_first(entry.tokenizer, facts.tokenizer, default=Tokenizer.O200K),
        max_input_tokens=_first(entry.max_input_tokens, facts.max_input_tokens, default=_MOST_INPUT_TOKENS),
        max_output_tokens=most,
        default_output_tokens=min(_first(entry.default_output_tokens, default=usual), most),
        price=entry.price or facts.price,
        images=entry.images or facts.images,
        dimensions=entry.dimensions or facts.dimensions,
        fallbacks=tuple(dict.fromkeys(one for one in entry.fallbacks if one != name)),
        retires_on=entry.retires_on or facts.retires_on,
        key_setting=entry.key_setting,
    )


def _first[T](*values: T | None, default: T) -> T:
    return next((value for value in values if value is not None), default)
