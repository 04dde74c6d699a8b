"""Prompts as they are written, as they are stored, and as they are shown."""

from __future__ import annotations

import json
import math
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

from shared.cosmos.partition import StoredItem

if TYPE_CHECKING:
    from shared.cosmos.container import Json

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
LABEL_PATTERN = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"
"""Starts with a letter, so that a label is never taken for a version's number."""

VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
LATEST = "latest"
"""The label that every prompt has, and that moves by itself."""

EXAMPLES = "examples"
"""The place in a template where its few-shot examples go."""

MAX_VARIABLES = 200
MAX_PLACEHOLDERS = 50
"""What one request can fill in; those filled by the prompt's own examples do not count."""

MAX_VERSION = 99_999_999
MAX_CONFIG_DEPTH = 16
MAX_WHOLE_NUMBER = 2**53 - 1
"""Beyond it, what reads JSON numbers as doubles rounds."""

MAX_CONTENT_BYTES = 900_000
"""What one version may weigh as JSON: it is written twice, in a batch of at most 2 MiB."""

MOST_BYTES_OF_A_CHARACTER = 12
"""As it is sent, in ASCII: those beyond the first 65,536 are two escapes."""


class PromptPart(BaseModel):
    """Part of a prompt: what callers send is held to its fields, what is stored may have more of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MessageTemplate(PromptPart):
    """One message of a chat prompt, with variables in its content."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1, max_length=200_000)


class Placeholder(PromptPart):
    """A place in a chat prompt for a list of messages, or for the prompt's examples."""

    placeholder: str = Field(pattern=VARIABLE_PATTERN)


class Example(PromptPart):
    """One few-shot example; its texts are taken as they are."""

    input: str = Field(min_length=1, max_length=20_000)
    output: str = Field(min_length=1, max_length=20_000)


class VariableDeclaration(PromptPart):
    """What a variable is for, and what it is where the caller gives none."""

    description: str | None = Field(None, max_length=500)
    default: str | None = Field(None, max_length=20_000)


def _kind_of_part(value: object) -> str:
    named = isinstance(value, dict) and "placeholder" in value
    return "placeholder" if named or isinstance(value, Placeholder) else "message"


def _kind_of_template(value: object) -> str:
    return "messages" if isinstance(value, list | tuple) else "text"


type TemplatePart = Annotated[
    Annotated[MessageTemplate, Tag("message")] | Annotated[Placeholder, Tag("placeholder")],
    Discriminator(_kind_of_part),
]
type Template = Annotated[
    Annotated[Annotated[str, Field(min_length=1, max_length=200_000)], Tag("text")]
    | Annotated[tuple[TemplatePart, ...], Field(min_length=1, max_length=100, strict=False), Tag("messages")],
    Discriminator(_kind_of_template),
]


def _checked_config(config: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse numbers that JSON does not have or that stores round, and what a store refuses."""
    left: list[tuple[JsonValue, int]] = [(config, 0)]
    while left:
        value, depth = left.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("numbers are finite")
        if isinstance(value, int) and abs(value) > MAX_WHOLE_NUMBER:
            raise ValueError(f"whole numbers are at most {MAX_WHOLE_NUMBER}")
        if isinstance(value, dict | list):
            if depth == MAX_CONFIG_DEPTH:
                raise ValueError(f"objects and lists are nested {MAX_CONFIG_DEPTH} deep at most")
            for key in value if isinstance(value, dict) else ():
                key.encode()  # pydantic lets a lone surrogate pass in a key: here it is a ValueError
            left += [(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value)]
    return config


type Config = Annotated[dict[str, JsonValue], Field(max_length=100), AfterValidator(_checked_config)]
type Variable = Annotated[str, Field(pattern=VARIABLE_PATTERN)]
type PromptTag = Annotated[str, Field(min_length=1, max_length=64)]


class PromptDraft(PromptPart):
    """What a caller saves as a prompt's next version.

    Attributes:
        template: A text, or the messages of a chat; `{variable}` in either, `{{` for a brace.
        config: What a caller of the model needs beside the text: model, temperature, whatever it reads.
        declared_variables: Where any are declared, they are exactly those of the template.
        examples: Few-shot examples; they go where the template says `{examples}`.
        reason: Why this version is made.
    """

    template: Template
    description: str | None = Field(None, max_length=2_000)
    tags: tuple[PromptTag, ...] = Field((), max_length=50, strict=False)
    config: Config = Field(default_factory=dict)
    declared_variables: dict[Variable, VariableDeclaration] = Field(
        default_factory=dict, max_length=MAX_VARIABLES
    )
    examples: tuple[Example, ...] = Field((), max_length=50, strict=False)
    reason: str | None = Field(None, max_length=500)

    def content(self) -> dict[str, JsonValue]:
        """Return what the version says, as the JSON of a `PromptContent`."""
        return self.model_dump(mode="json", include=_CONTENT, exclude_defaults=True)

    @property
    def characters(self) -> int:
        """Return about how long it is."""
        more = (self.description or "", self.reason or "", *self.tags)
        return _length(self) + sum(map(len, more))

    @model_validator(mode="after")
    def _fits_into_one_write(self) -> Self:
        plain = isinstance(self.template, str) and not (
            self.config or self.declared_variables or self.examples
        )
        if plain and len(self.template) * MOST_BYTES_OF_A_CHARACTER < MAX_CONTENT_BYTES // 2:
            return self  # the other texts take a tenth of it at most
        text = self.model_dump_json()
        possible = len(text) * MOST_BYTES_OF_A_CHARACTER  # near the limit they are counted
        if possible > MAX_CONTENT_BYTES and len(json.dumps(json.loads(text))) > MAX_CONTENT_BYTES:
            raise ValueError(f"a version has at most {MAX_CONTENT_BYTES} bytes as JSON")
        return self


class NamedDraft(PromptDraft):
    """One item of a batch: a draft, whose it is, and the state that it may be saved over."""

    name: str = Field(pattern=NAME_PATTERN)
    if_match: str | None = Field(None, max_length=200)


class PromptContent(BaseModel):
    """What a version says; it never changes."""

    model_config = ConfigDict(frozen=True)

    template: Template
    config: dict[str, JsonValue] = Field(default_factory=dict)
    declared_variables: dict[str, VariableDeclaration] = Field(default_factory=dict)
    examples: tuple[Example, ...] = ()

    @property
    def characters(self) -> int:
        """Return about how long it is."""
        return _length(self)


_CONTENT = set(PromptContent.model_fields)


def _length(said: PromptDraft | PromptContent) -> int:
    parts = said.template
    length = len(parts) if isinstance(parts, str) else sum(len(str(part)) for part in parts)
    more = (said.config, said.declared_variables, said.examples)
    return length + sum(len(str(part)) for part in more if part)


class ChangeAction(StrEnum):
    """What was done to a prompt."""

    SAVE = "save"
    LABEL = "label"
    UNLABEL = "unlabel"
    DELETE = "delete"
    RESTORE = "restore"


class ChangeRecord(BaseModel):
    """Who did what, when and why.

    Attributes:
        number: Counts the prompt's changes from 1, without a gap.
        id: The call that did it, by which one whose answer was lost finds that it was done.
        version: The version that was saved, or that the label points at now.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    id: str
    action: str
    at: datetime
    by: str
    reason: str | None = None
    version: int | None = None
    label: str | None = None


class PromptStoredItem(StoredItem):
    """An item of the prompts container; nested parts tolerate newer fields as the items do."""

    name: str
    change: ChangeRecord

    @classmethod
    def from_json(cls, body: Json) -> Self:
        """Read an item as the store returned it."""
        return cls.model_validate(body, strict=False, extra="ignore")


class PromptSummary(PromptStoredItem):
    """A prompt's head without what it says.

    Attributes:
        version: The latest version.
        labels: The version that each label points at, but for `latest`.
        deleted: Whether it is out of use; nothing of it is lost.
        change: What was done to it last.
    """

    kind: Literal["head"] = "head"
    version: int
    description: str | None = None
    tags: tuple[str, ...] = ()
    labels: dict[str, int] = Field(default_factory=dict)
    deleted: bool = False

    @property
    def all_labels(self) -> dict[str, int]:
        """Return every label with its version, `latest` among them."""
        return {LATEST: self.version} | self.labels


class PromptHead(PromptSummary):
    """A prompt's head: it embeds the latest version, so that reading that is one point read.

    Attributes:
        saved: The save that made the latest version, once another change has come after it.
    """

    content: PromptContent
    saved: ChangeRecord | None = None


class VersionSummary(PromptStoredItem):
    """A version without what it says; `change` is the save that made it."""

    kind: Literal["version"] = "version"
    version: int
    description: str | None = None
    tags: tuple[str, ...] = ()


class PromptVersion(VersionSummary):
    """One immutable version."""

    content: PromptContent


class PromptSource(StrEnum):
    """Whose prompt it is: the tenant's own, or everybody's."""

    TENANT = "tenant"
    GLOBAL = "global"


class Prompt(NamedTuple):
    """One version of a prompt, and the head that its labels and its ETag are read from.

    Attributes:
        age_seconds: How long ago the head was read from the store.
    """

    version: PromptVersion
    head: PromptSummary
    source: PromptSource = PromptSource.TENANT
    age_seconds: float = 0.0

    @property
    def content(self) -> PromptContent:
        """Return what the version says."""
        return self.version.content

    @property
    def labels(self) -> dict[str, int]:
        """Return the labels that point at this version, each with its number."""
        return {name: n for name, n in self.head.all_labels.items() if n == self.version.version}


def head_id(name: str) -> str:
    """Name the head's item."""
    return f"head:{name}"


def version_id(name: str, version: int) -> str:
    """Name a version's item."""
    return f"version:{name}:{version:08d}"


def change_id(name: str, number: int) -> str:
    """Name the item of a change that makes no version."""
    return f"change:{name}:{number:010d}"


def latest_version(head: PromptHead) -> PromptVersion:
    """Return the version that a head embeds."""
    saved_last = head.saved is None or head.change.action == ChangeAction.SAVE
    return PromptVersion(
        id=version_id(head.name, head.version),
        name=head.name,
        version=head.version,
        description=head.description,
        tags=head.tags,
        change=head.change if saved_last else head.saved,
        content=head.content,
    )
