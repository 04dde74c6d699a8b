"""Prompts as callers write them: names, limits and drafts."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    model_validator,
)

from shared.validation import has_lone_surrogate, refuse_value, text_pattern

NAME_PATTERN = text_pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    "1 to 128 letters, digits and . _ -, beginning with a letter or digit",
)
LABEL_PATTERN = text_pattern(
    r"^[A-Za-z][A-Za-z0-9._-]{0,63}$", "1 to 64 letters, digits and . _ -, beginning with a letter"
)
"""Starts with a letter, so that a label is never taken for a version's number."""

VARIABLE_PATTERN = text_pattern(
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", "1 to 64 letters, digits and _, not beginning with a digit"
)
LATEST = "latest"
"""The label that every prompt has, and that moves by itself."""

PRODUCTION = "production"
"""The label of the version that bots and jobs use, where there is one and they name no other."""

EXAMPLES = "examples"
"""The place in a template where its few-shot examples go."""

MAX_VARIABLES = 200
MAX_PLACEHOLDERS = 50
"""The most that one request can fill in; those filled by the prompt's own examples do not count."""

MAX_MESSAGES = 100
MAX_TAGS = 50
MAX_EXAMPLES = 50
MAX_VERSION = 99_999_999
MAX_CONFIG_DEPTH = 16
MAX_CONFIG_VALUES = 10_000
"""Objects, lists and single values together: each costs time wherever it is read, however short it is."""

MAX_CONFIG_BYTES = 100_000
"""As JSON in ASCII."""

MAX_WHOLE_NUMBER = 2**53 - 1
"""Beyond it, whoever reads JSON numbers as doubles rounds."""

MAX_CONTENT_BYTES = 900_000
"""The most that one version may weigh as JSON in ASCII: it is written twice, in a batch of at most 2 MiB."""


def _at_most(count: int) -> BeforeValidator:
    """Refuse a list or an object that is too long, before pydantic finds a problem in each of its items."""

    def check(value: object) -> object:
        if isinstance(value, list | tuple | dict) and len(value) > count:
            raise refuse_value(f"at most {count} items")
        return value

    return BeforeValidator(check)


class PromptPart(BaseModel):
    """Part of a draft: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MessageTemplate(PromptPart):
    """One message of a chat prompt, with variables in its content.

    Attributes:
        role: Whose message it is.
        content: Its text, with `{variable}` and `{{` for a brace.
    """

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1, max_length=200_000)


class Placeholder(PromptPart):
    """A place in a chat prompt for a list of messages, or for the prompt's examples.

    Attributes:
        placeholder: Name of the list; `examples` is the prompt's own few-shot examples.
    """

    placeholder: str = Field(pattern=VARIABLE_PATTERN)


class Example(PromptPart):
    """One few-shot example; its texts are taken as they are.

    Attributes:
        input: What a user says.
        output: What the model is to answer.
    """

    input: str = Field(min_length=1, max_length=20_000)
    output: str = Field(min_length=1, max_length=20_000)


class VariableDeclaration(PromptPart):
    """Purpose of a variable, and its value where the caller gives none.

    Attributes:
        description: What the variable is for.
        default: Its value where the caller gives none; without one, the caller has to.
    """

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
    | Annotated[
        tuple[TemplatePart, ...], Field(min_length=1, max_length=MAX_MESSAGES, strict=False), Tag("messages")
    ],
    Discriminator(_kind_of_template),
    _at_most(MAX_MESSAGES),
]


def _check_values(config: object) -> object:
    """Refuse what is too large before pydantic copies it, and numbers and texts that no store keeps."""
    left: list[tuple[object, int]] = [(config, 0)]
    count = 1
    while left:
        value, depth = left.pop()
        _check_scalar(value)
        if isinstance(value, dict | list):
            if depth == MAX_CONFIG_DEPTH:
                raise refuse_value(f"objects and lists are nested {MAX_CONFIG_DEPTH} deep at most")
            count += len(value)
            if count > MAX_CONFIG_VALUES:
                raise refuse_value(f"at most {MAX_CONFIG_VALUES} values, objects and lists")
            for key in value if isinstance(value, dict) else ():
                _check_scalar(key)
            left += [(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value)]
    return config


def _check_size(config: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(config)) > MAX_CONFIG_BYTES:
        raise refuse_value(f"at most {MAX_CONFIG_BYTES} bytes as JSON")
    return config


def _check_scalar(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse_value("numbers are finite")
    if isinstance(value, int) and abs(value) > MAX_WHOLE_NUMBER:
        raise refuse_value(f"whole numbers are at most {MAX_WHOLE_NUMBER}")
    if isinstance(value, str) and has_lone_surrogate(value):
        raise refuse_value("texts have no lone surrogates")


type Config = Annotated[
    dict[str, Any], Field(max_length=100), BeforeValidator(_check_values), AfterValidator(_check_size)
]
type Variable = Annotated[str, Field(pattern=VARIABLE_PATTERN)]
type PromptTag = Annotated[str, Field(min_length=1, max_length=64)]


class PromptDraft(PromptPart):
    """A prompt's next version as a caller sends it.

    Attributes:
        template: A text, or the messages of a chat; `{variable}` in either, `{{` for a brace.
        description: What the prompt is for.
        tags: Tags, by which prompts are listed.
        config: Data for the model's caller beside the text: model, temperature, whatever it reads.
        declared_variables: Where any are declared, they are exactly those of the template.
        examples: Few-shot examples; they go where the template says `{examples}`.
        reason: Why this version is made.
    """

    template: Template
    description: str | None = Field(None, max_length=2_000)
    tags: Annotated[tuple[PromptTag, ...], _at_most(MAX_TAGS)] = Field((), max_length=MAX_TAGS, strict=False)
    config: Config = Field(default_factory=dict)
    declared_variables: Annotated[dict[Variable, VariableDeclaration], _at_most(MAX_VARIABLES)] = Field(
        default_factory=dict, max_length=MAX_VARIABLES
    )
    examples: Annotated[tuple[Example, ...], _at_most(MAX_EXAMPLES)] = Field(
        (), max_length=MAX_EXAMPLES, strict=False
    )
    reason: str | None = Field(None, max_length=500)

    _content: dict[str, Any] = PrivateAttr(default_factory=dict)
    _size: int = PrivateAttr(0)

    @property
    def content(self) -> dict[str, Any]:
        """Return what the version says, as the JSON of a `PromptContent`."""
        return self._content

    @property
    def size(self) -> int:
        """Return its bytes as JSON in ASCII, in which a store may be sent it."""
        return self._size

    @model_validator(mode="after")
    def _measure(self) -> Self:
        """Encode it once, for its weight and for the store."""
        said = self.model_dump(mode="json", exclude=_ABOUT, exclude_defaults=True)
        self._size = len(json.dumps(said))
        if self._size > MAX_CONTENT_BYTES:
            raise refuse_value(f"a version has at most {MAX_CONTENT_BYTES} bytes as JSON")
        self._content = {name: value for name, value in said.items() if name in _CONTENT}
        return self


class NamedDraft(PromptDraft):
    """One item of a batch: a draft, its prompt's name, and the state that it may be saved over."""

    name: str = Field(pattern=NAME_PATTERN)
    if_match: str | None = Field(None, max_length=200)


_ABOUT = set(NamedDraft.model_fields) - set(PromptDraft.model_fields)
_CONTENT = {"template", "config", "declared_variables", "examples"}
