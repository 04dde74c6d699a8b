"""A prompt as a file says it, and as a deployment answers it.

A deployment decides what a prompt may be; here are only the rules that keep a file from becoming another path
or a request that is too large.
"""

from __future__ import annotations

import json
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
LABEL_PATTERN = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"
MAX_CONTENT_BYTES = 900_000
"""The longest version as JSON."""

MOST_AT_ONCE = 100
"""Prompts in one request."""

type Facts = dict[str, JsonValue]


def _kind_of_template(value: object) -> str:
    return "messages" if isinstance(value, list | tuple) else "text"


type TemplateValue = Annotated[
    Annotated[Annotated[str, Field(min_length=1)], Tag("text")]
    | Annotated[list[Facts], Field(min_length=1), Tag("messages")],
    Discriminator(_kind_of_template),
]


class PromptFields(BaseModel):
    """Fields of a prompt that make a version.

    Attributes:
        template: A text, or the messages of a chat.
        config: Whatever a caller of the model needs beside the text.
    """

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    name: str
    template: TemplateValue
    description: str | None = None
    tags: list[str] = Field(default_factory=list)
    config: Facts = Field(default_factory=dict)
    declared_variables: dict[str, Facts] = Field(default_factory=dict)
    examples: list[Facts] = Field(default_factory=list)

    def same_as(self, other: PromptFields) -> bool:
        """Tell whether the other one makes the same version."""
        return all(_equal(getattr(self, field), getattr(other, field)) for field in PromptFields.model_fields)


class PromptFile(PromptFields):
    """A prompt in a file; `reason` says why its next version is made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NAME_PATTERN)
    reason: str | None = None

    def to_item(self, reason: str | None = None, if_match: str | None = None) -> bytes:
        """Write it as an item of a batch."""
        update = {"reason": reason or self.reason, "if_match": if_match}
        item = self.model_dump(exclude_defaults=True) | {
            name: value for name, value in update.items() if value
        }
        return json_bytes(item)


class RemotePrompt(PromptFields):
    """The latest version of a prompt; what a newer release adds is tolerated.

    Attributes:
        labels: Labels with their versions: those of this version at least.
    """

    model_config = ConfigDict(extra="ignore")

    source: str
    etag: str
    version: int
    labels: dict[str, int]

    @classmethod
    def parse(cls, facts: Facts) -> Self:
        """Read an answer's part.

        Raises:
            ValueError: It is none.
        """
        return cls.model_validate(facts)

    def has_label(self, label: str) -> bool:
        """Tell whether a label points at this version."""
        return self.labels.get(label) == self.version


def json_bytes(value: JsonValue) -> bytes:
    """Write JSON in UTF-8.

    Raises:
        ValueError: It has a number that JSON does not have, or half of a surrogate pair.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _equal(one: JsonValue, other: JsonValue) -> bool:
    """Compare JSON values: a missing field is null, `1.0` is `1`, and `true` is not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_equal(one.get(key), other.get(key)) for key in one.keys() | other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)
