"""Made-up values validate against whatever schema asks for them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.llm.instances import NoInstanceError, instance
from local.llm.patterns import UnmatchableError, matching
from local.llm.strict import check_strict

if TYPE_CHECKING:
    from tests.unit_tests.local_llm.client import Model

NAMES = st.text("abcdefgh_", min_size=1, max_size=5)


def strict_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def bounded(least: int, more: int) -> dict[str, int]:
    return {"minimum": least, "maximum": least + more}


LEAVES = st.one_of(
    st.just({"type": "string"}),
    st.builds(
        lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
        st.integers(0, 60),
        st.integers(0, 60),
    ),
    st.sampled_from(
        ["[a-z]{3}-\\d{2,4}", "^(a|b)+$", "^\\S+@\\S+$", "^[^a-c]x?.\\w\\W\\s\\D$", "^a{2,}b*?$"]
    ).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.sampled_from(["date-time", "email", "uuid", "date"]).map(lambda f: {"type": "string", "format": f}),
    st.lists(st.text(max_size=4), min_size=1, unique=True).map(
        lambda values: {"type": "string", "enum": values}
    ),
    st.builds(
        lambda kind, bounds: {"type": kind} | bounds,
        st.sampled_from(["integer", "number"]),
        st.one_of(
            st.just({}),
            st.builds(bounded, st.integers(-500, 500), st.integers(0, 300)),
            st.builds(lambda low: {"exclusiveMinimum": low}, st.integers(-50, 50)),
            st.builds(lambda high: {"exclusiveMaximum": high}, st.integers(-50, 50)),
            st.builds(lambda step: {"multipleOf": step, "minimum": 1}, st.integers(1, 20)),
        ),
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": "x"}, {"type": ["string", "null"]}]),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, max_size=3).map(strict_object),
        st.builds(
            lambda items, least, more: {
                "type": "array",
                "items": items,
                "minItems": least,
                "maxItems": least + more,
            },
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda choices: {"anyOf": choices}),
    ),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, SCHEMAS, max_size=4).map(strict_object), st.text(max_size=3))
@pytest.mark.slow
def test_every_strict_schema_gets_a_value_that_validates(schema: dict[str, Any], seed: str) -> None:
    check_strict(schema, "a", "response_format")
    made = instance(schema, seed)

    jsonschema.validate(made, schema)
    assert made == instance(schema, seed)


TREE = {
    "$defs": {
        "node": strict_object(
            {
                "name": {"type": "string"},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "more": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            }
        )
    },
    **strict_object({"root": {"$ref": "#/$defs/node"}}),
}
LOOSE: list[dict[str, Any]] = [
    TREE,
    {},
    {"properties": {"a": {"type": "integer"}}, "required": ["a", "b"]},
    {
        "allOf": [
            {"type": "object", "required": ["a"]},
            {"required": ["b"], "properties": {"b": {"const": 1}}},
        ]
    },
    {"allOf": [{"allOf": [{"required": ["a"]}]}, {"type": "object", "allOf": [{"required": ["b"]}]}]},
    {"allOf": [True, {"const": 1}]},
    {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "integer"}]},
    {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False, "maxItems": 2},
    {"items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 3},
    {"type": "object", "additionalProperties": {"type": "boolean"}},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    {"type": "number", "multipleOf": 0.25, "minimum": 0.2, "maximum": 0.3},
    {"definitions": {"a/b": {"const": 5}}, "properties": {"x": {"$ref": "#/definitions/a~1b"}}},
]


@pytest.mark.parametrize("schema", LOOSE)
def test_other_schemas_get_one_too(schema: dict[str, Any]) -> None:
    jsonschema.validate(instance(schema, "seed"), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"not": {}},
        {"allOf": [False]},
        {"anyOf": [False]},
        {"properties": {"a": {"$ref": "https://example.com/schema"}}},
        {"$ref": "#/$defs/a/b", "$defs": {"a": 5}},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
        {"$defs": {"a": strict_object({"a": {"$ref": "#/$defs/a"}})}, "$ref": "#/$defs/a"},
        {"type": "string", "pattern": "a", "maxLength": 0},
        {"type": "string", "pattern": "((a{1000}){1000}){1000}"},
        {"type": "array", "minItems": 1_000_000_000},
        {"type": "string", "minLength": 1_000_000_000},
    ],
)
def test_what_no_value_is_found_for_is_said(schema: dict[str, Any]) -> None:
    with pytest.raises(NoInstanceError):
        instance(schema, "seed")


@pytest.mark.parametrize(
    "pattern", ["^[^\\d]$", "a|b", "(?i:x)y", "^\\w{1,3}$", "x{0}y", "[^a]", "^(?:ab)+?$", "^$"]
)
def test_a_text_is_found_for_a_pattern(pattern: str) -> None:
    assert re.search(pattern, matching(pattern, lambda text: len(text) < 9))


def test_a_pattern_and_its_lengths_fit_together() -> None:
    assert len(matching("^[a-z]+$", lambda text: len(text) >= 20)) >= 20


def test_a_pattern_beyond_reach_is_said() -> None:
    with pytest.raises(UnmatchableError, match="no text"):
        matching("a$b", bool)


async def test_an_answer_keeps_to_the_schema(model: Model) -> None:
    wrapped = {"name": "tree", "strict": True, "schema": TREE}
    formatted = {"type": "json_schema", "json_schema": wrapped}
    choice = await model.said(response_format=formatted)

    jsonschema.validate(json.loads(choice["message"]["content"]), TREE)


async def test_json_that_is_asked_for_is_json_and_plainly_a_stand_ins(model: Model) -> None:
    asked = [{"role": "user", "content": "Answer in JSON"}]
    choice = await model.said(messages=asked, response_format={"type": "json_object"})

    assert json.loads(choice["message"]["content"])["stand_in_for"] == "gpt-4o"


async def test_plain_text_may_be_asked_for(model: Model) -> None:
    assert await model.said(response_format={"type": "text"}) == await model.said()
