"""Requests and replies about the catalogue of models."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from pydantic import ConfigDict, Field, field_validator

from shared.http.models import PathModel, ReplyModel, VersionedReply
from shared.http.paging import PageQuery
from shared.llm.answer_format import AnswerFormatKind
from shared.llm.deployments import (
    MODEL_NAME_PATTERN,
    CatalogueEntry,
    CatalogueSource,
    ModelKind,
    Provider,
    Tokenizer,
)


class ModelPath(PathModel):
    """The path of one model.

    Attributes:
        name: The model's name in the catalogue.
    """

    name: str = Field(pattern=MODEL_NAME_PATTERN)

    @field_validator("name", mode="before")
    @classmethod
    def _read_slashes(cls, name: object) -> object:
        # Azure's front gives a slash for `%2F`, the host behind it leaves `%2F` as it is.
        return re.sub("%2f", "/", name, flags=re.IGNORECASE) if isinstance(name, str) else name


class ModelPageQuery(PageQuery):
    """Query of models, which are sorted by name.

    Attributes:
        prefix: The beginning of their names.
    """

    prefix: str | None = Field(None, pattern=MODEL_NAME_PATTERN)


class PutModelRequest(CatalogueEntry):
    """The whole entry: what it leaves out is the packaged model's, or has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelPriceReply(ReplyModel):
    """Price of a model per million tokens.

    Attributes:
        currency: The currency, as ISO 4217 names it.
        prompt: Of tokens of the prompt.
        cached: Of those of the prompt that the provider had in its cache.
        completion: Of tokens of the answer.
        reasoning: Of those of the answer that it was thought with.
    """

    currency: str
    prompt: Decimal
    cached: Decimal
    completion: Decimal
    reasoning: Decimal


class ImageTokensReply(ReplyModel):
    """Tokens that an image counts: by tiles of 512 pixels, or by patches of 32; the other two are null.

    Attributes:
        base: Those of any image, for a model that counts tiles.
        tile: Those of each tile.
        patches: The most patches of an image.
        factor: The tokens of each patch.
    """

    base: int | None
    tile: int | None
    patches: int | None
    factor: float | None


class DeploymentReply(ReplyModel):
    """Place where a model is called, for the administrator alone.

    Attributes:
        model: The packaged model that the entry names; null where it names none.
        base_url: Where it is served; null for the app's own Azure resource.
        api_version: The version of the interface; null where it has none.
        deployment: What it is called there.
        key_setting: The setting with its key; null where there is none.
    """

    model: str | None
    base_url: str | None
    api_version: str | None
    deployment: str
    key_setting: str | None


class ModelReply(VersionedReply):
    """A model of the catalogue.

    Attributes:
        name: The name that bots, jobs and calls use.
        source: Where the entry comes from: stored by the administrator, the setting `MODEL_CATALOGUE`, or
            the packaged table.
        enabled: Whether it may be used; others than the administrator see no others.
        provider: The interface that it is called by.
        kind: What it answers with.
        reasoning: Whether it reasons: it then takes an effort and no temperature.
        answer_format: The strictest form that its answers can be held to; what is beyond it, it is told.
        tokenizer: The encoding that prompts are counted in.
        max_input_tokens: The most tokens of a prompt.
        max_output_tokens: The most tokens of an answer, reasoning included.
        default_output_tokens: The most tokens of an answer where a call says none.
        price: What it costs; null where that is not known.
        takes_images: Whether a prompt may hold images.
        images: How many tokens an image of a prompt counts; null where it takes none.
        dimensions: How long its vectors are where a call does not say; null where that is not known.
        fallbacks: Which models are asked in its place while it is limited, down or gone.
        retires_on: The day from which it answers no more; null where none is known.
        retires_in_days: The days until then, 0 once it has come.
        retires_soon: Whether that is within 90 days.
        connection: Where it is called; null for others than the administrator.
    """

    name: str
    source: CatalogueSource
    enabled: bool
    provider: Provider
    kind: ModelKind
    reasoning: bool
    answer_format: AnswerFormatKind
    tokenizer: Tokenizer
    max_input_tokens: int
    max_output_tokens: int
    default_output_tokens: int
    price: ModelPriceReply | None
    takes_images: bool
    images: ImageTokensReply | None
    dimensions: int | None
    fallbacks: list[str]
    retires_on: date | None
    retires_in_days: int | None
    retires_soon: bool
    connection: DeploymentReply | None
