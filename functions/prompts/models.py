"""Requests and replies about prompts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from shared.contracts import ChatMessage
from shared.http.models import PathModel, ReplyModel, RequestModel, VersionedReply
from shared.http.paging import PageQuery
from shared.http.scopes import ReadScope, WriteScope
from shared.prompts.edits import label_problem
from shared.prompts.models import (
    LABEL_PATTERN,
    MAX_PLACEHOLDERS,
    MAX_VARIABLES,
    MAX_VERSION,
    NAME_PATTERN,
    PromptDraft,
    Variable,
)
from shared.tenancy.source import Source
from shared.validation import refuse_value, text_pattern

_VERSION_PATTERN = text_pattern(
    r"^([A-Za-z][A-Za-z0-9._-]{0,63}|[1-9][0-9]{0,7})$", "a label, or the number of a version"
)
_VERSION_CURSOR_PATTERN = text_pattern(r"^[0-9]{1,10}$", "the `next_cursor` of the page before")
MAX_BATCH = 500
MAX_ANSWER_BYTES = 8_000_000
"""The most that one answer has."""


type PromptName = Annotated[str, Field(pattern=NAME_PATTERN)]
type Label = Annotated[str, Field(pattern=LABEL_PATTERN)]


MOVED_LABEL_PATTERN = text_pattern(
    r"^[a-z][a-z0-9._-]{0,63}$", "1 to 64 small letters, digits and . _ -, beginning with a letter"
)


def _check_digits(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,8}", value) is None:
        raise refuse_value("must be a whole number, in digits")
    return value


def _check_label(value: object) -> object:
    if isinstance(value, str) and (problem := label_problem(value)):
        raise refuse_value(problem)
    return value


type VersionNumber = Annotated[int, Field(ge=1, le=MAX_VERSION), BeforeValidator(_check_digits)]


class PromptPath(PathModel):
    """The path of one prompt.

    Attributes:
        name: The prompt's name.
    """

    name: str = Field(pattern=NAME_PATTERN)


class PromptVersionPath(PromptPath):
    """The path of one version.

    Attributes:
        version: The version's number, from 1 on.
    """

    version: VersionNumber


class PromptLabelPath(PromptPath):
    """The path of one label.

    Attributes:
        label: The label.
    """

    label: str = Field(pattern=LABEL_PATTERN)


class MovedLabelPath(PromptPath):
    """The path of a label that is moved: in lower case.

    Attributes:
        label: The label, in lower case; `latest` moves by itself.
    """

    label: Annotated[str, Field(pattern=MOVED_LABEL_PATTERN), BeforeValidator(_check_label)]


class ChangeQuery(WriteScope):
    """Reason for a change without a body.

    Attributes:
        reason: Why the change is made, for the history.
    """

    reason: str | None = Field(None, max_length=500)


class PromptQuery(ReadScope):
    """A version by its number or by one label, else the latest.

    Attributes:
        fresh: Whether to ask the store; otherwise the answer is 60 s old at most.
        version: A version's number; not together with a label.
        label: A label; not together with a version's number.
    """

    fresh: bool = False
    version: VersionNumber | None = None
    label: str | None = Field(None, pattern=LABEL_PATTERN)


class DiffQuery(ReadScope):
    """Two versions to compare, each by number or label.

    Attributes:
        from_: The older one; without it, the version before the other.
        to: The newer one.
    """

    from_: str | None = Field(None, alias="from", pattern=_VERSION_PATTERN)
    to: str = Field("latest", pattern=_VERSION_PATTERN)


class PromptPageQuery(PageQuery):
    """Prompts to list, by name.

    Attributes:
        prefix: The beginning of their names.
        tag: A tag that their latest version has.
        deleted: Whether to list those that were deleted instead of those in use.
        scope: Whose prompts: the tenant's own or the global ones.
    """

    prefix: str | None = Field(None, pattern=NAME_PATTERN)
    tag: str | None = Field(None, min_length=1, max_length=64)
    deleted: bool = False
    scope: Source = Source.TENANT


class NumberedPageQuery(PageQuery, ReadScope):
    """Query of versions or changes, the newest first.

    Attributes:
        cursor: The `next_cursor` of the page before: a number.
    """

    cursor: str | None = Field(None, pattern=_VERSION_CURSOR_PATTERN)


class SavePromptRequest(PromptDraft):
    """The prompt's next version."""


class MoveLabelRequest(RequestModel):
    """Target of a label.

    Attributes:
        version: The version's number.
        reason: Why it is moved, for the history.
    """

    version: int = Field(ge=1, le=MAX_VERSION)
    reason: str | None = Field(None, max_length=500)


class RenderPromptRequest(RequestModel):
    """Everything that a prompt is filled in with.

    Attributes:
        variables: A value for each variable that has no default.
        messages: A list of messages for each placeholder of a chat prompt.
    """

    variables: dict[str, str] = Field(default_factory=dict, max_length=MAX_VARIABLES)
    messages: dict[Variable, list[ChatMessage]] = Field(default_factory=dict, max_length=MAX_PLACEHOLDERS)


class BatchNamesRequest(RequestModel):
    """Prompts by name, each checked on its own.

    Attributes:
        names: The names.
    """

    names: list[str] = Field(min_length=1, max_length=MAX_BATCH)


class BatchSaveRequest(RequestModel):
    """Prompts to save, each checked on its own.

    Attributes:
        prompts: For each, what `PUT /prompts/{name}` takes, with its `name`.
    """

    prompts: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_BATCH)


class MessageTemplateReply(ReplyModel):
    """One message of a chat prompt, with variables in its content.

    Attributes:
        role: Whose message it is.
        content: Its text.
    """

    model_config = ConfigDict(from_attributes=True)

    role: str
    content: str


class PlaceholderReply(ReplyModel):
    """A place in a chat prompt for a list of messages, or for the prompt's examples.

    Attributes:
        placeholder: Name of the list.
    """

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
    """One few-shot example.

    Attributes:
        input: What a user says.
        output: What the model is to answer.
    """

    model_config = ConfigDict(from_attributes=True)

    input: str
    output: str


class VariableReply(ReplyModel):
    """Purpose of a variable, and its value where the caller gives none.

    Attributes:
        description: What the variable is for; null where nobody said.
        default: Its value where the caller gives none; null where the caller has to.
    """

    model_config = ConfigDict(from_attributes=True)

    description: str | None
    default: str | None


class PromptReply(VersionedReply):
    """One version of a prompt.

    Attributes:
        name: The prompt's name.
        template: The text, or the messages of a chat.
        version: The version's number.
        labels: Each label of the prompt with the version that it points at.
        source: Whether it is the tenant's own or a global one.
        description: What the prompt is for.
        tags: Tags, by which prompts are listed.
        variables: The names that rendering wants or takes.
        placeholders: The lists of messages that rendering wants: no bot and no job has any to give.
        warnings: What is probably not meant in the template, such as a variable in double braces.
        config: Data for the model's caller beside the text.
        declared_variables: The variables that are declared, by name.
        examples: Few-shot examples.
        reason: Why this version was made.
        updated_at: When this version was made.
        updated_by: Who made it: a key, a user or the administrator.
        etag: The prompt's state, whichever version is shown; sent as If-Match, it makes a change take effect
            on this state alone.
    """

    name: str
    template: TemplateReply
    version: int
    labels: dict[str, int]
    source: Source
    description: str | None
    tags: list[str]
    variables: list[str]
    placeholders: list[str]
    warnings: list[str]
    config: dict[str, Any]
    declared_variables: dict[str, VariableReply]
    examples: list[ExampleReply]
    reason: str | None
    updated_at: datetime
    updated_by: str


class PromptSummaryReply(VersionedReply):
    """A prompt without its template.

    Attributes:
        name: The prompt's name.
        version: Number of the latest version.
        labels: Each label of the prompt with the version that it points at.
        source: Whether it is the tenant's own or a global one.
        description: What the prompt is for.
        tags: Tags, by which prompts are listed.
        updated_at: When it was changed last, in whatever way.
        updated_by: Who changed it: a key, a user or the administrator.
    """

    name: str
    version: int
    labels: dict[str, int]
    source: Source
    description: str | None
    tags: list[str]
    updated_at: datetime
    updated_by: str


class PromptVersionSummary(ReplyModel):
    """A version without its template.

    Attributes:
        version: The version's number.
        labels: The labels that point at it.
        description: What the prompt is for.
        tags: Its tags.
        reason: Why it was made.
        created_at: When it was made.
        created_by: Who made it: a key, a user or the administrator.
    """

    version: int
    labels: dict[str, int]
    description: str | None
    tags: list[str]
    reason: str | None
    created_at: datetime
    created_by: str


class PromptChange(ReplyModel):
    """One change of a prompt.

    Attributes:
        number: Number of the change, from 1 on.
        action: What was done.
        version: The version that it made or pointed at; null where there is none.
        label: The label that it moved or took away; null where there is none.
        labels_removed: Labels that a save after a deletion took away, each with its version.
        reason: Why it was done.
        at: When it was done.
        by: Who did it: a key, a user or the administrator.
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
    """Labels of a prompt.

    Attributes:
        name: The prompt's name.
        labels: Each label with its version.
    """

    name: str
    labels: dict[str, int]


class PromptDiffReply(ReplyModel):
    """Difference between two versions.

    Attributes:
        name: The prompt's name.
        from_version: Number of the older one; 0 is what was before the first.
        to_version: Number of the newer one.
        changed: The fields that differ.
        diff: A unified diff of them.
    """

    name: str
    from_version: int
    to_version: int
    changed: list[str]
    diff: str


class RenderedPromptReply(ReplyModel):
    """A prompt with everything filled in.

    Attributes:
        text: The text; of a chat prompt, the contents of its messages.
        messages: A chat prompt's messages; null for a text.
        version: The version that was filled in.
        source: Whether it is the tenant's own or a global one.
        config: Data for the model's caller beside the text.
    """

    text: str
    messages: list[ChatMessage] | None
    version: int
    source: Source
    config: dict[str, Any]


class BatchItemFailure(ReplyModel):
    """Refusal of one item of a batch, as the route for one would have said it.

    Attributes:
        error: Name of the error.
        message: What went wrong.
        status: The status that the route for one would have answered.
        detail: Facts about it.
    """

    error: str
    message: str
    status: int
    detail: dict[str, Any]


class BatchGetResult(ReplyModel):
    """One prompt that was asked for, or why there is none.

    Attributes:
        name: The name that was asked for.
        prompt: The prompt; null where there is none.
        failure: Why there is none; null where there is one.
    """

    name: str
    prompt: PromptReply | None
    failure: BatchItemFailure | None


class BatchGetReply(ReplyModel):
    """Results of a batch.

    Attributes:
        results: A result for each name, in the order of the request.
    """

    results: list[BatchGetResult]


class BatchChangeResult(ReplyModel):
    """Result of one item.

    Attributes:
        index: Its place in the request.
        name: Its name; None where it has none.
        version: The prompt's latest version now.
        etag: The prompt's.
        warnings: What is probably not meant in the template that was saved.
        failure: Why it was refused; null where it was not.
    """

    index: int
    name: str | None
    version: int | None
    etag: str | None
    warnings: list[str]
    failure: BatchItemFailure | None


class BatchChangeReply(ReplyModel):
    """Results of a batch.

    Attributes:
        succeeded: Items that were done.
        failed: Items that were refused.
        results: A result for each item, in the order of the request.
    """

    succeeded: int
    failed: int
    results: list[BatchChangeResult]
