"""Schemas that are taken, and those that are refused: with their place, before anybody is asked."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.llm.answer_format import AnswerFormat
from shared.llm.answer_pattern import AnswerPattern
from shared.llm.answer_schema import MOST_DEPTH, MOST_NODES, MOST_SCHEMA_CHARACTERS, AnswerSchema

if TYPE_CHECKING:
    from types import FrameType


def schema_of(properties: dict[str, Any], **said: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **said}


def refusal(schema: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        AnswerSchema.model_validate(schema)
    problem = caught.value.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(levels - 1):
        inner = {"type": "array", "items": inner}
    return schema_of({"a": inner})


class Item(BaseModel):
    """An order's item."""

    name: str
    price: float | None = None
    tags: list[str] = []


class Order(BaseModel):
    """An order, as an application writes its schemas: by a library."""

    items: list[Item]
    state: str = "new"
    parent: Order | None = None


def test_a_schema_that_pydantic_writes_is_taken_and_sent_as_it_was_written() -> None:
    written = Order.model_json_schema()
    written["$defs"]["Order"]["properties"]["note"] = {"const": None}
    root = {"type": "object", "properties": {"order": {"$ref": "#/$defs/Order"}}, "$defs": written["$defs"]}

    schema = AnswerSchema.model_validate(root)

    assert schema.model_dump() == root
    assert json.loads(schema.text) == root


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "array"}, "type: "),
        ({}, "type: "),
        (schema_of({"a": {"$ref": "https://example.com/schema"}}), "properties.a.$ref: "),
        (
            schema_of({"a": {"$ref": "#/$defs/b"}}),
            ": schema.properties.a.$ref refers to a definition that it does not have",
        ),
        (schema_of({"a": {"type": "strin"}}), "properties.a.type"),
        (schema_of({"a": {"pattrn": "x"}}), "properties.a.pattrn: "),
        (schema_of({"a": {"not": {}}}), "properties.a.not: "),
        (schema_of({"a": {"$defs": {}}}), "properties.a.$defs: "),
        (schema_of({"a": {"pattern": None}}), "properties.a: has a keyword that is null"),
        (schema_of({"a": {"pattern": "x" * 201}}), "properties.a.pattern: "),
        (schema_of({"a": {"multipleOf": 0}}), "properties.a.multipleOf"),
        (schema_of({"a": {"enum": []}}), "properties.a.enum: "),
        (schema_of({"a": {"anyOf": []}}), "properties.a.anyOf: "),
        (schema_of({"a": {"minLength": -1}}), "properties.a.minLength: "),
        (schema_of({"a": {"maxItems": "3"}}), "properties.a.maxItems: "),
        (schema_of({}, description="x" * MOST_SCHEMA_CHARACTERS), ": has more than 32768 characters"),
        (schema_of({str(n): {} for n in range(MOST_NODES)}), ": holds more than 1000 schemas"),
        (nested(MOST_DEPTH + 1), ": is nested more than 16 levels deep"),
    ],
)
def test_a_schema_beyond_what_is_taken_is_refused_with_its_place(schema: dict[str, Any], told: str) -> None:
    assert refusal(schema).startswith(told)


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "(?=x)",
        "(?<!x)y",
        r"(a)\1",
        r"\p{L}",
        "(?i)a",
        "(?P<n>a)",
        "a{2,1}",
        "[b-a]",
        # What only Rust reads as counts, in whose copies these automata would have a million states.
        "(?:a{ 999 }){ 999 }",
        "(?:a{,999}){,999}",
        "(?:a{1\u00a0}){999}",
    ],
)
def test_a_pattern_that_is_none_or_has_what_is_not_bounded_is_refused_with_its_place(pattern: str) -> None:
    schema = schema_of({"a": {"items": {"anyOf": [{}, {"pattern": pattern}]}}})
    told = ": schema.properties.a.items.anyOf.1.pattern is no regular expression"
    assert refusal(schema).startswith(told)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(\w{50}){50}",
        r"\w{999999999999}",
        r"((a{20}){20}){20}",
        "(a|b){9999,}",
        "a{99}{99}{9}",
        "(?:a{99})?{99}",
        "a{99}+{99}",
    ],
)
def test_a_pattern_that_repeats_too_much_is_refused_before_it_is_compiled(pattern: str) -> None:
    assert refusal(schema_of({"a": {"pattern": pattern}})).startswith(": schema.properties.a.pattern repeats")


def test_patterns_that_repeat_too_much_together_are_refused() -> None:
    one = {"pattern": r"^[a-z]{90}$"}
    AnswerSchema.model_validate(schema_of({str(n): one for n in range(19)}))
    assert ".pattern repeats too much" in refusal(schema_of({str(n): one for n in range(21)}))


def test_a_schema_at_its_bounds_is_taken() -> None:
    AnswerSchema.model_validate(nested(MOST_DEPTH))
    AnswerSchema.model_validate(schema_of({str(n): {} for n in range(MOST_NODES - 1)}))
    uuid = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    AnswerSchema.model_validate(schema_of({"a": {"pattern": uuid}}))


@pytest.mark.parametrize(
    "definitions",
    [
        {"a": {"$ref": "#/$defs/a"}},
        {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}},
        {"a": {"allOf": [{"oneOf": [{"$ref": "#/$defs/a"}]}]}},
    ],
)
def test_a_definition_that_leads_to_itself_at_the_same_value_is_refused(definitions: dict[str, Any]) -> None:
    told = "nothing but a reference to itself"
    assert told in refusal(schema_of({"x": {"$ref": "#/$defs/a"}}, **{"$defs": definitions}))


def test_definitions_that_all_lead_to_one_another_are_looked_at_once_each() -> None:
    """A thousand in a row, from each of which one gets to the last: a million steps for who begins anew."""
    row = {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(MOST_NODES - 2)}
    calls = Counter[str]()

    def count(frame: FrameType, event: str, _argument: object) -> None:
        calls[frame.f_code.co_name] += event == "call"

    sys.setprofile(count)
    try:
        AnswerSchema.model_validate(schema_of({}, **{"$defs": row | {str(MOST_NODES - 2): {}}}))
    finally:
        sys.setprofile(None)

    assert calls.total() < 100 * MOST_NODES


@pytest.mark.parametrize("keyword", ["multipleOf", "minimum", "maximum", "const", "default"])
def test_a_number_that_json_does_not_have_is_refused(keyword: str) -> None:
    assert refusal(schema_of({"a": {keyword: math.inf}})).startswith(f"properties.a.{keyword}")


def test_half_a_character_anywhere_is_refused() -> None:
    for schema in ({"title": "\ud800"}, {"enum": ["x\udfff"]}):
        assert refusal(schema_of({"a": schema})) == ": has a lone surrogate, which no JSON can be sent with"


def test_a_definition_that_refers_to_itself_further_down_is_taken() -> None:
    tree = schema_of({"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}})
    AnswerSchema.model_validate(schema_of({"x": {"$ref": "#/$defs/tree"}}, **{"$defs": {"tree": tree}}))


CLOSED = {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (schema_of({"a": {"type": "string"}}, required=["a"], **CLOSED), True),
        (schema_of({"a": {"type": ["string", "null"]}}, required=["a"], **CLOSED), True),
        (schema_of({"a": {"anyOf": [{"type": "null"}, {"type": "string"}]}}, required=["a"], **CLOSED), True),
        (schema_of({"a": {"type": "array", "items": {"enum": [1]}}}, required=["a"], **CLOSED), True),
        (schema_of({"a": {"type": "string"}}, required=["a"]), False),
        (schema_of({"a": {"type": "string"}}, **CLOSED), False),
        (schema_of({"a": {}}, required=["a"], **CLOSED), False),
        (schema_of({"a": {"type": "array"}}, required=["a"], **CLOSED), False),
        (schema_of({"a": {"type": "string", "maxLength": 9}}, required=["a"], **CLOSED), False),
        (schema_of({"a": {"type": "string", "default": "x"}}, required=["a"], **CLOSED), False),
        (schema_of({"a": {"oneOf": [{"type": "string"}]}}, required=["a"], **CLOSED), False),
        (schema_of({"a": schema_of({})}, required=["a"], **CLOSED), False),
        (schema_of({}, anyOf=[{"type": "object"}], **CLOSED), False),
        (schema_of({"a": {"enum": list(range(501))}}, required=["a"], **CLOSED), False),
        (
            schema_of(
                {str(n): {"type": "null"} for n in range(101)}, required=list(map(str, range(101))), **CLOSED
            ),
            False,
        ),
    ],
)
def test_strict_mode_is_asked_for_where_the_provider_takes_the_schema(
    schema: dict[str, Any], *, strict: bool
) -> None:
    assert AnswerSchema.model_validate(schema).is_strict is strict


def test_a_schema_nested_deeper_than_azure_takes_is_not_strict() -> None:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(5):
        inner = schema_of({"a": inner}, required=["a"], **CLOSED)
    assert AnswerSchema.model_validate(inner).is_strict
    assert not AnswerSchema.model_validate(schema_of({"a": inner}, required=["a"], **CLOSED)).is_strict


def test_a_schema_is_for_the_format_that_needs_one() -> None:
    adapter = TypeAdapter(AnswerFormat)
    assert adapter.validate_python({"type": "text"}).json_schema is None
    for wrong in ({"type": "json_schema"}, {"type": "json_object", "schema": {"type": "object"}}):
        with pytest.raises(ValidationError, match="schema is for the type json_schema"):
            adapter.validate_python(wrong)
    written = {"type": "json_schema", "schema": {"type": "object"}}
    assert adapter.validate_python(written).model_dump(mode="json") == written


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^\d+$", "42", True),
        (r"^\d+$", "٤٢", False),  # digits of Unicode are none to ECMA-262
        (r"^[\w-]+$", "a_1-b", True),
        (r"^\w$", "é", False),
        (r"^\W\D$", "éé", True),
        (r"^\\d$", r"\d", True),
        (r"^\(?a\)$", "(a)", True),
        ("b", "abc", True),
        ("a$", "a\n", False),
    ],
)
def test_a_pattern_means_what_it_means_in_json_schema(pattern: str, text: str, *, matches: bool) -> None:
    assert AnswerPattern(pattern).matches(text) is matches
