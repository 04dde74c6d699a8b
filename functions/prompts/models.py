"""Requests and replies about prompts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag

from shared.contracts import ChatMessage
from shared.http.models import PathModel, QueryModel, ReplyModel, RequestModel, VersionedReply
from shared.http.paging import PageQuery
from shared.prompts.edits import label_problem
from shared.prompts.models import (
    LABEL_PATTERN,
    MAX_PLACEHOLDERS,
    MAX_VARIABLES,
    MAX_VERSION,
    NAME_PATTERN,
    NAMES_ONLY,
    PromptDraft,
    PromptSource,
    Variable,
)
from shared.validation import refuse_value

MAX_BATCH = 500
MAX_ANSWER_BYTES = 8_000_000
"""The most that one answer has."""


type PromptName = Annotated[str, Field(pattern=NAME_PATTERN)]
type Label = Annotated[str, Field(pattern=LABEL_PATTERN)]


MOVED_LABEL_PATTERN = r"^[a-z][a-z0-9._-]{0,63}$"


def _check_digits(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,8}", value) is None:
        raise refuse_value("must be a whole number, in digits")
    return value


def _check_label(value: object) -> object:
    if isinstance(value, str) and (problem := label_problem(value)):
        raise refuse_value(problem)
    return value


type VersionNumber = Annotated[int, BeforeValidator(_check_digits), Field(ge=1, le=MAX_VERSION)]


class PromptPath(PathModel):
    """The path of one prompt."""

    name: str = Field(pattern=NAME_PATTERN)


class PromptVersionPath(PromptPath):
    """The path of one version."""

    version: VersionNumber


class PromptLabelPath(PromptPath):
    """The path of one label."""

    label: str = Field(pattern=LABEL_PATTERN)


class MovedLabelPath(PromptPath):
    """The path of a label that is moved: in lower case."""

    label: Annotated[str, Field(pattern=MOVED_LABEL_PATTERN), BeforeValidator(_check_label)]


class ReadScope(QueryModel):
    """Scope to read from: the tenant's where there is one and else everybody's, unless it is said."""

    scope: PromptSource | None = None


class WriteScope(QueryModel):
    """Scope to write to: the tenant's; the administrator may say `global`."""

    scope: PromptSource = PromptSource.TENANT


class ChangeQuery(WriteScope):
    """Reason for a change without a body."""

    reason: str | None = Field(None, max_length=500)


class PromptQuery(ReadScope):
    """`GET /prompts/{name}`: a version by its number or one label, else the latest.

    Attributes:
        fresh: Whether to ask the store; otherwise the answer is 60 s old at most.
        version: A version's number; not together with a label.
        label: A label; not together with a version's number.
    """

    fresh: bool = False
    version: VersionNumber | None = None
    label: str | None = Field(None, pattern=LABEL_PATTERN)


class DiffQuery(ReadScope):
    """`GET /prompts/{name}/diff`: two versions by number or label; the latest and the one before it."""

    from_: str | None = Field(None, alias="from", pattern=r"^([A-Za-z][A-Za-z0-9._-]{0,63}|[1-9][0-9]{0,7})$")
    to: str = Field("latest", pattern=r"^([A-Za-z][A-Za-z0-9._-]{0,63}|[1-9][0-9]{0,7})$")


class PromptPageQuery(PageQuery):
    """`GET /prompts`: those in use, or those `deleted`; `prefix` is the beginning of their names."""

    prefix: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    tag: str | None = Field(None, min_length=1, max_length=64)
    deleted: bool = False
    scope: PromptSource = PromptSource.TENANT


class NumberedPageQuery(PageQuery, ReadScope):
    """Query for versions or changes, the newest first: the cursor is a number."""

    cursor: str | None = Field(None, pattern=r"^[0-9]{1,10}$")


class SavePromptRequest(PromptDraft):
    """`PUT /prompts/{name}`: `{variable}` in the template, `{{` for a brace."""


class MoveLabelRequest(RequestModel):
    """`PUT /prompts/{name}/labels/{label}`."""

    version: int = Field(ge=1, le=MAX_VERSION)
    reason: str | None = Field(None, max_length=500)


class RenderPromptRequest(RequestModel):
    """`POST /prompts/{name}/render`: values for the variables, lists of messages for the placeholders."""

    variables: dict[str, str] = Field(default_factory=dict, max_length=MAX_VARIABLES)
    messages: dict[Variable, list[ChatMessage]] = Field(
        default_factory=dict, max_length=MAX_PLACEHOLDERS, json_schema_extra=NAMES_ONLY
    )


class BatchNamesRequest(RequestModel):
    """`POST /prompts/batch-get` and `/prompts/batch-delete`; each name is checked on its own."""

    names: list[str] = Field(min_length=1, max_length=MAX_BATCH)


class BatchSaveRequest(RequestModel):
    """`POST /prompts/batch-save`: what `PUT /prompts/{name}` takes with a `name`, each checked on its own."""

    prompts: list[dict[str, JsonValue]] = Field(min_length=1, max_length=MAX_BATCH)


class MessageTemplateReply(ReplyModel):
    """One message of a chat prompt, with variables in its content."""

    model_config = ConfigDict(from_attributes=True)

    role: str
    content: str


class PlaceholderReply(ReplyModel):
    """A place in a chat prompt for a list of messages, or for the prompt's examples."""

    model_config = ConfigDict(from_attributes=True)

    placeholder: str


def _kind_of_part(value: object) -> str:
    named = "placeholder" in value if isinstance(value, dict) else hasattr(value, "placeholder")
    return "placeholder" if named else "message"


def _kind_of_template(value: object) -> str:
    return "text" if isinstance(value, str) else "messages"


type TemplatePartReply = Annotated[
    Annotated[MessageTemplateReply, Tag("message")] | Annotated[PlaceholderReply, Tag("placeholder")],
    Discriminator(_kind_of_part),
]
type TemplateReply = Annotated[
    Annotated[str, Tag("text")] | Annotated[tuple[TemplatePartReply, ...], Tag("messages")],
    Discriminator(_kind_of_template),
]
"""A text, or the messages of a chat."""


class ExampleReply(ReplyModel):
    """One few-shot example."""

    model_config = ConfigDict(from_attributes=True)

    input: str
    output: str


class VariableReply(ReplyModel):
    """Purpose of a variable, and its value where the caller gives none."""

    model_config = ConfigDict(from_attributes=True)

    description: str | None
    default: str | None


class PromptReply(VersionedReply):
    """One version of a prompt; `etag` is the prompt's, whichever version is shown.

    Attributes:
        labels: Each label of the prompt with the version that it points at.
        variables: The names that rendering wants or takes.
        placeholders: The lists of messages that rendering wants: no bot and no job has any to give.
        warnings: What is probably not meant in the template, such as a variable in double braces.
    """

    name: str
    template: TemplateReply
    version: int
    labels: dict[str, int]
    source: PromptSource
    description: str | None
    tags: list[str]
    variables: list[str]
    placeholders: list[str]
    warnings: list[str]
    config: dict[str, JsonValue]
    declared_variables: dict[str, VariableReply]
    examples: list[ExampleReply]
    reason: str | None
    updated_at: datetime
    updated_by: str


class PromptSummaryReply(VersionedReply):
    """A prompt without its template.

    Attributes:
        version: The latest.
        labels: Each label with its version.
        updated_at: When it was changed last, in whatever way.
    """

    name: str
    version: int
    labels: dict[str, int]
    source: PromptSource
    description: str | None
    tags: list[str]
    updated_at: datetime
    updated_by: str


class PromptVersionSummary(ReplyModel):
    """A version without its template."""

    version: int
    labels: dict[str, int]
    description: str | None
    tags: list[str]
    reason: str | None
    created_at: datetime
    created_by: str


class PromptChange(ReplyModel):
    """Author, time, kind and reason of a change.

    Attributes:
        labels_removed: Labels that a save after a deletion took away, each with its version.
    """

    number: int
    action: str
    version: int | None
    label: str | None
    labels_removed: dict[str, int]
    reason: str | None
    at: datetime
    by: str


class PromptLabelsReply(VersionedReply):
    """Each label of a prompt with its version."""

    name: str
    labels: dict[str, int]


class PromptDiffReply(ReplyModel):
    """Difference between two versions: the fields, and a unified diff; 0 is what was before the first."""

    name: str
    from_version: int
    to_version: int
    changed: list[str]
    diff: str


class RenderedPromptReply(ReplyModel):
    """A prompt with everything filled in.

    Attributes:
        text: The text; of a chat prompt, the contents of its messages.
        messages: A chat prompt's messages.
    """

    text: str
    messages: list[ChatMessage] | None
    version: int
    source: PromptSource
    config: dict[str, JsonValue]


class BatchItemFailure(ReplyModel):
    """Refusal of one item of a batch, as the route for one would have said it."""

    error: str
    message: str
    status: int
    detail: dict[str, Any]


class BatchGetResult(ReplyModel):
    """One prompt that was asked for, or why there is none."""

    name: str
    prompt: PromptReply | None
    failure: BatchItemFailure | None


class BatchGetReply(ReplyModel):
    """A result per name, in the order of the request."""

    results: list[BatchGetResult]


class BatchChangeResult(ReplyModel):
    """Result of one item.

    Attributes:
        index: Its place in the request.
        name: Its name; None where it has none.
        version: The prompt's latest version now.
        etag: The prompt's.
        warnings: What is probably not meant in the template that was saved.
    """

    index: int
    name: str | None
    version: int | None
    etag: str | None
    warnings: list[str]
    failure: BatchItemFailure | None


class BatchChangeReply(ReplyModel):
    """A result per item, in the order of the request."""

    succeeded: int
    failed: int
    results: list[BatchChangeResult]
