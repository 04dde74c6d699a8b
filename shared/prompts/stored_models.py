"""Prompts as they are stored: heads, immutable versions, and records of changes.

What a newer release added to an item is ignored, and kept: items are patched, not replaced.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from shared.cosmos.partition import StoredItem
from shared.prompts.models import EXAMPLES, LATEST
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from shared.cosmos.container import Json


class StoredPart(BaseModel):
    """Part of a stored version; its limits were those of the draft that it came from."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StoredMessage(StoredPart):
    """One message of a chat prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class StoredPlaceholder(StoredPart):
    """A place in a chat prompt for a list of messages."""

    placeholder: str


class StoredExample(StoredPart):
    """One few-shot example."""

    input: str
    output: str


class StoredVariable(StoredPart):
    """A variable's declaration."""

    description: str | None = None
    default: str | None = None


def _kind_of_part(value: object) -> str:
    named = isinstance(value, dict) and "placeholder" in value
    return "placeholder" if named or isinstance(value, StoredPlaceholder) else "message"


type StoredTemplatePart = Annotated[
    Annotated[StoredMessage, Tag("message")] | Annotated[StoredPlaceholder, Tag("placeholder")],
    Discriminator(_kind_of_part),
]
type StoredTemplate = str | tuple[StoredTemplatePart, ...]


class PromptContent(StoredPart):
    """Everything that a version says; it never changes."""

    template: StoredTemplate
    config: dict[str, Any] = Field(default_factory=dict)
    declared_variables: dict[str, StoredVariable] = Field(default_factory=dict)
    examples: tuple[StoredExample, ...] = ()

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Return the places for lists of messages that its own examples do not fill, each once."""
        if isinstance(self.template, str):
            return ()
        named = dict.fromkeys(
            part.placeholder for part in self.template if isinstance(part, StoredPlaceholder)
        )
        if self.examples:
            named.pop(EXAMPLES, None)
        return tuple(named)

    @property
    def characters(self) -> int:
        """Return about how long it is."""
        parts = self.template
        length = len(parts) if isinstance(parts, str) else sum(len(str(part)) for part in parts)
        more = (self.config, self.declared_variables, self.examples)
        return length + sum(len(str(part)) for part in more if part)


class ChangeAction(StrEnum):
    """Kind of a change."""

    SAVE = "save"
    LABEL = "label"
    UNLABEL = "unlabel"
    DELETE = "delete"
    RESTORE = "restore"


class ChangeRecord(BaseModel):
    """Author, time, kind and reason of a change.

    Attributes:
        number: Counts the prompt's changes from 1, without a gap.
        id: The call that made it, by which one whose answer was lost finds that it was made.
        version: The version that was saved, or that the label points at now.
        labels_removed: Labels of the prompt's life before its deletion, which a save took away.
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
    labels_removed: dict[str, int] | None = None


class PromptItem(StoredItem):
    """An item of the prompts container, with the change that made it or changed it last."""

    name: str
    change: ChangeRecord

    @classmethod
    def from_json(cls, body: Json) -> Self:
        """Read an item as the store returned it."""
        return cls.model_validate(body, strict=False, extra="ignore")

    def to_json(self) -> Json:
        """Render it for the store; fields that say nothing are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ChangeItem(PromptItem):
    """Record of a change: an item of its own, or part of the version that it made."""

    kind: Literal["change", "version"] = "change"


class PromptSummary(PromptItem):
    """A prompt's head without its content.

    Attributes:
        version: The latest version.
        labels: The version that each label points at, but for `latest`.
        deleted: Whether it is out of use; nothing of it is lost.
        size: Bytes of the latest version as JSON in ASCII, or somewhat more; not known of an older release's.
        change: The last change.
    """

    kind: Literal["head"] = "head"
    version: int
    description: str | None = None
    tags: tuple[str, ...] = ()
    labels: dict[str, int] = Field(default_factory=dict)
    deleted: bool = False
    size: int | None = None

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


class HeadExcerpt(PromptSummary):
    """A head of which a query has left a large content out."""

    content: PromptContent | None = None
    saved: ChangeRecord | None = None

    def whole(self) -> PromptHead | None:
        """Return the head, or None where its content was left out."""
        return None if self.content is None else PromptHead.model_construct(**dict(self))


class VersionSummary(PromptItem):
    """A version without its content; `change` is the save that made it."""

    kind: Literal["version"] = "version"
    version: int
    description: str | None = None
    tags: tuple[str, ...] = ()


class PromptVersion(VersionSummary):
    """One immutable version."""

    content: PromptContent


class Prompt(NamedTuple):
    """One version of a prompt, and the head that its labels and its ETag are read from.

    Attributes:
        age_seconds: How long ago the head was read from the store.
    """

    version: PromptVersion
    head: PromptSummary
    source: Source = Source.TENANT
    age_seconds: float = 0.0

    @property
    def content(self) -> PromptContent:
        """Return what the version says."""
        return self.version.content

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Return the lists of messages that rendering it wants: no bot and no job has any to give."""
        return self.content.placeholders

    @property
    def labels(self) -> dict[str, int]:
        """Return every label of the prompt with its version, `latest` among them."""
        return self.head.all_labels


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
