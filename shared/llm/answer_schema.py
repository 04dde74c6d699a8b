"""JSON Schema of an answer: the part of the language that is taken, as types, and its bounds.

Taken is what OpenAI's structured outputs know, and what pydantic and zod write for models of plain data:
https://platform.openai.com/docs/guides/structured-outputs (supported schemas). Nothing refers to another
document, no pattern backtracks, and each schema is small: what an answer is held to can be checked in bounded
time, whoever wrote either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Annotated, Any, Self, override

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel

from shared.llm.answer_pattern import (
    MOST_CHARACTERS,
    AnswerPattern,
    UnknownPatternError,
    pattern_size,
)
from shared.validation import has_lone_surrogate, refuse_value, text_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_REFERENCE_PATTERN = text_pattern(r"^#/\$defs/[^/~%]+$", "a reference such as #/$defs/name")
MOST_SCHEMA_CHARACTERS = 32_768
"""The most of a schema, written as JSON."""

MOST_NODES = 1_000
MOST_DEPTH = 16
MOST_PATTERNS = 20_000
"""The most that its patterns measure together (`pattern_size`): some milliseconds to compile them."""

_STRICT_DEPTH = 5
_STRICT_PROPERTIES = 100
_STRICT_ENUM_VALUES = 500
_STRICT_KEYWORDS = frozenset(
    {
        "type",
        "title",
        "description",
        "enum",
        "const",
        "properties",
        "required",
        "additional_properties",
        "items",
        "any_of",
        "ref",
        "defs",
    }
)
"""What strict mode takes on OpenAI and on Azure, which takes less; see `AnswerSchema.is_strict`."""

_NULLABLE = frozenset({"const", "default"})
_DEFINITION = "#/$defs/"
type JsonScalar = str | int | float | bool | None
type Number = int | float


class JsonType(StrEnum):
    """Type of a JSON value."""

    OBJECT = "object"
    ARRAY = "array"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NULL = "null"


type Pattern = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
type TypeName = Annotated[JsonType, Field(strict=False)]
type Length = Annotated[int, Field(ge=0, le=1_000_000)]


class SchemaNode(BaseModel):
    """One schema of a schema: what one value of an answer has to be.

    Attributes:
        type: Its type, or those that it may have.
        title: Its name, for the model.
        description: What it is, for the model.
        default: Its default, for the model.
        examples: Examples of it, for the model.
        format: Its format, for the model: as in the language itself, it is not checked.
        deprecated: Whether it should not be used, for the model.
        comment: A remark that nobody reads.
        enum: The values that it may have.
        const: The value that it has.
        properties: An object's properties.
        required: Those that must be there.
        additional_properties: Whether others may be, or what those have to be.
        items: Each item of an array.
        min_items: The fewest items.
        max_items: The most items.
        min_length: The fewest characters of a string.
        max_length: The most characters.
        pattern: What a part of a string has to match.
        minimum: The least number.
        maximum: The greatest number.
        exclusive_minimum: What a number is above.
        exclusive_maximum: What a number is below.
        multiple_of: What a number is a multiple of.
        any_of: Schemas of which it fits one at least.
        one_of: Schemas of which it fits exactly one.
        all_of: Schemas that it fits.
        ref: A definition that it fits.
    """

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        alias_generator=to_camel,
    )

    type: TypeName | Annotated[list[TypeName], Field(min_length=1, max_length=7)] | None = None
    title: str | None = None
    description: str | None = None
    default: JsonValue = None
    examples: list[JsonValue] | None = None
    format: str | None = None
    deprecated: bool | None = None
    comment: str | None = Field(None, alias="$comment")
    enum: list[JsonScalar] | None = Field(None, min_length=1)
    const: JsonScalar = None
    properties: dict[str, SchemaNode] = Field(default_factory=dict)
    required: list[str] = Field(default_factory=list)
    additional_properties: bool | SchemaNode = True
    items: SchemaNode | None = None
    min_items: Length = 0
    max_items: Length | None = None
    min_length: Length = 0
    max_length: Length | None = None
    pattern: Pattern | None = None
    minimum: Number | None = None
    maximum: Number | None = None
    exclusive_minimum: Number | None = None
    exclusive_maximum: Number | None = None
    multiple_of: Annotated[Number, Field(gt=0)] | None = None
    any_of: list[SchemaNode] | None = Field(None, min_length=1)
    one_of: list[SchemaNode] | None = Field(None, min_length=1)
    all_of: list[SchemaNode] | None = Field(None, min_length=1)
    ref: str | None = Field(None, alias="$ref", pattern=_REFERENCE_PATTERN)

    @property
    def types(self) -> tuple[JsonType, ...]:
        """Return the types that a value may have; none of them for any."""
        if self.type is None:
            return ()
        return tuple(self.type) if isinstance(self.type, list) else (self.type,)

    @property
    def definition(self) -> str | None:
        """Return the name of the definition that it refers to."""
        return None if self.ref is None else self.ref.removeprefix(_DEFINITION)

    @property
    def alternatives(self) -> Iterator[SchemaNode]:
        """Return the schemas that are about the same value."""
        for schemas in (self.any_of, self.one_of, self.all_of):
            yield from schemas or ()

    @property
    def parts(self) -> Iterator[tuple[str, SchemaNode]]:
        """Return all schemas that it holds, each with its place in it."""
        for name, node in self.properties.items():
            yield f".properties.{name}", node
        if isinstance(self.additional_properties, SchemaNode):
            yield ".additionalProperties", self.additional_properties
        if self.items is not None:
            yield ".items", self.items
        for keyword, nodes in (("anyOf", self.any_of), ("oneOf", self.one_of), ("allOf", self.all_of)):
            for index, node in enumerate(nodes or ()):
                yield f".{keyword}.{index}", node

    @cached_property
    def compiled_pattern(self) -> AnswerPattern:
        """Return the pattern, compiled when it is first needed."""
        return AnswerPattern(self.pattern or "")

    @classmethod
    @override
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        """Describe it as any object: a reader of the language would take its own `$ref` for a reference."""
        told = "A JSON Schema; docs/chat.md has what of the language is taken."
        return {"type": "object", "additionalProperties": True, "description": told}

    @model_validator(mode="before")
    @classmethod
    def _has_no_null(cls, written: object) -> object:
        """Refuse null where the language has none; to the types here it is what was not written."""
        if isinstance(written, Mapping) and any(
            value is None for keyword, value in written.items() if keyword not in _NULLABLE
        ):
            raise refuse_value("has a keyword that is null")
        return written

    @model_serializer(mode="plain")
    def as_written(self) -> dict[str, Any]:
        """Return what was written and no default, in the language's own words."""
        keywords, values = _keywords(type(self)), self.__dict__
        return {keywords[name]: _write(values[name]) for name in keywords if name in self.model_fields_set}


class AnswerSchema(SchemaNode):
    """A whole schema; answers are objects, as structured outputs have it.

    Attributes:
        type: The type of every answer.
        dialect: The version of the language, for readers.
        defs: Definitions by name, which may refer to themselves.
    """

    type: TypeName
    dialect: str | None = Field(None, alias="$schema", max_length=200)
    defs: dict[str, SchemaNode] = Field(default_factory=dict, alias="$defs")

    @cached_property
    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.as_written(), ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def is_strict(self) -> bool:
        """Tell whether strict mode takes it: where a model is made to fit it, and does not only try.

        All objects are closed and all of their properties required; bounds of lengths, numbers and items are
        beyond what Azure takes: https://learn.microsoft.com/azure/ai-services/openai/how-to/structured-outputs.
        """
        nodes = [node for node, _, _ in self.walk()]
        return (
            all(map(_is_strict, nodes))
            and self.any_of is None
            and max(depth for _, depth, _ in self.walk()) <= _STRICT_DEPTH
            and sum(len(node.properties) for node in nodes) <= _STRICT_PROPERTIES
            and sum(len(node.enum or ()) for node in nodes) <= _STRICT_ENUM_VALUES
        )

    def walk(self) -> Iterator[tuple[SchemaNode, int, str]]:
        """Give each schema that it holds with its depth and place; definitions are one level deep."""
        waiting: list[tuple[SchemaNode, int, str]] = [(self, 0, "")]
        waiting += [(node, 1, f".$defs.{name}") for name, node in self.defs.items()]
        while waiting:
            node, depth, place = waiting.pop()
            yield node, depth, place
            waiting += [(part, depth + 1, place + step) for step, part in node.parts]

    @field_validator("type")
    @classmethod
    def _is_an_objects(cls, kind: JsonType) -> JsonType:
        if kind is not JsonType.OBJECT:
            raise refuse_value("must be object")
        return kind

    @model_validator(mode="after")
    def _is_within_bounds(self) -> Self:
        if len(self.text) > MOST_SCHEMA_CHARACTERS:
            raise refuse_value(f"has more than {MOST_SCHEMA_CHARACTERS} characters")
        if has_lone_surrogate(self.text):
            raise refuse_value("has a lone surrogate, which no JSON can be sent with")
        patterns = 0
        for count, (node, depth, place) in enumerate(self.walk(), start=1):
            if count > MOST_NODES:
                raise refuse_value(f"holds more than {MOST_NODES} schemas")
            if depth > MOST_DEPTH:
                raise refuse_value(f"is nested more than {MOST_DEPTH} levels deep")
            if node.definition is not None and node.definition not in self.defs:
                raise refuse_value(f"schema{place}.$ref refers to a definition that it does not have")
            if node.pattern is not None:
                patterns += pattern_size(node.pattern)
                _check_pattern(node, patterns, f"schema{place}.pattern")
        if _has_ring({name: _references(node) for name, node in self.defs.items()}):
            raise refuse_value("has a definition that is nothing but a reference to itself")
        return self


def _has_ring(references: Mapping[str, set[str]]) -> bool:
    """Tell whether definitions lead back to one at the same value: checking that has no end."""
    try:
        TopologicalSorter(references).prepare()
    except CycleError:
        return True
    return False


def _references(node: SchemaNode) -> set[str]:
    """Return the definitions that are about the same value as a schema."""
    found, waiting = set[str](), [node]
    while waiting:
        node = waiting.pop()
        waiting += node.alternatives
        if node.definition is not None:
            found.add(node.definition)
    return found


def _check_pattern(node: SchemaNode, patterns: int, place: str) -> None:
    """Refuse a pattern that is none, or too much together with those before it: then it is not compiled."""
    if patterns > MOST_PATTERNS:
        raise refuse_value(f"{place} repeats too much, by itself or with the patterns before it")
    try:
        _ = node.compiled_pattern
    except UnknownPatternError:
        problem = f"{place} is no regular expression, or has look-around, back-references, flags or \\p"
    else:
        return
    raise refuse_value(problem)


@cache
def _keywords(model: type[SchemaNode]) -> dict[str, str]:
    """Return the language's keyword for each field."""
    return {name: field.alias or name for name, field in model.model_fields.items()}


def _write(value: object) -> object:
    match value:
        case SchemaNode():
            return value.as_written()
        case list():
            return [_write(one) for one in value]
        case dict():
            return {name: _write(one) for name, one in value.items()}
        case StrEnum():
            return value.value
        case _:
            return value


def _is_strict(node: SchemaNode) -> bool:
    if not node.model_fields_set <= _STRICT_KEYWORDS:
        return False
    if not node.model_fields_set & {"type", "enum", "const", "any_of", "ref"}:
        return False
    if JsonType.OBJECT in node.types or node.properties:
        is_closed = node.additional_properties is False
        return is_closed and set(node.required) == set(node.properties)
    return JsonType.ARRAY not in node.types or node.items is not None
