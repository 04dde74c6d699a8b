"""What callers send and get about prompts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.http import ParameterModel, ReplyModel, RequestModel, VersionedReply
from shared.prompts.store import NAME_PATTERN


class PromptPath(ParameterModel):
    """The path of one prompt."""

    name: str = Field(pattern=NAME_PATTERN)


class PromptQuery(ParameterModel):
    """`GET /prompts/{name}`: the latest version where none is named."""

    version: int | None = Field(None, ge=1, le=99_999_999)


class PromptPage(ParameterModel):
    """`GET /prompts`: `cursor` is the `next_cursor` of the page before."""

    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, max_length=200)


class SavePromptRequest(RequestModel):
    """`PUT /prompts/{name}`: `{variable}` in the template, `{{` for a brace."""

    template: str = Field(min_length=1, max_length=200_000)
    description: str | None = Field(None, max_length=2_000)
    tags: list[str] = Field(default_factory=list, max_length=50)


class RenderPromptRequest(RequestModel):
    """`POST /prompts/{name}/render`."""

    variables: dict[str, str] = Field(default_factory=dict, max_length=200)


class PromptReply(VersionedReply):
    """One version of a prompt; `etag` is the prompt's, whichever version is shown.

    Attributes:
        labels: The labels that point at this version, each with the version's number.
    """

    name: str
    template: str
    version: int
    labels: dict[str, int]
    source: Literal["tenant", "global"]
    description: str | None
    tags: list[str]
    variables: list[str]
    updated_at: datetime
    updated_by: str


class PromptListReply(ReplyModel):
    """One page of prompts by name, each in its latest version."""

    items: list[PromptReply]
    next_cursor: str | None


class RenderedPromptReply(ReplyModel):
    """A prompt with its variables filled in."""

    text: str
