"""Answers are held to their schema as JSON Schema has it, in bounded work whatever either is."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.llm.answer_format import AnswerFormat
from shared.llm.answer_schema import AnswerSchema
from shared.llm.answer_validation import (
    MOST_PROBLEMS,
    TooMuchWorkError,
    UnreadableAnswerError,
    find_problems,
    read_json,
)

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "a", "abc", "ÄÖ"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
SMALL = st.integers(0, 3)


def _schemas() -> st.SearchStrategy[dict[str, Any]]:
    def deeper(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        some = st.lists(inner, min_size=1, max_size=3)
        return st.fixed_dictionaries(
            {},
            optional={
                "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
                "properties": st.dictionaries(NAMES, inner, max_size=3),
                "required": st.lists(NAMES, max_size=2, unique=True),
                "additionalProperties": st.booleans() | inner,
                "items": inner,
                "minItems": SMALL,
                "maxItems": SMALL,
                "anyOf": some,
                "oneOf": some,
                "allOf": some,
            },
        )

    leaves = st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "enum": st.lists(SCALARS, min_size=1, max_size=3),
            "const": SCALARS,
            "minLength": SMALL,
            "maxLength": SMALL,
            "pattern": st.sampled_from(["^a", "b$", "[a-c]{2,}", "^$"]),
            "minimum": SMALL,
            "maximum": SMALL,
            "exclusiveMinimum": SMALL,
            "exclusiveMaximum": SMALL,
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "$ref": st.just("#/$defs/d"),
        },
    )
    return st.recursive(leaves, deeper, max_leaves=6)


STEPS = 10_000


def _fits(schema: dict[str, Any], value: object) -> bool:
    return not find_problems(AnswerSchema.model_validate(schema), value, STEPS)


@pytest.mark.slow
@given(_schemas(), SCALARS | VALUES, st.dictionaries(NAMES, VALUES, max_size=3))
def test_an_answer_fits_exactly_where_the_reference_implementation_says_so(
    inner: dict[str, Any], value: object, rest: dict[str, Any]
) -> None:
    schema = {"type": "object", "properties": {"x": inner}, "$defs": {"d": {"type": ["string", "array"]}}}
    for answer in ({"x": value}, rest, value):
        assert _fits(schema, answer) == jsonschema.Draft202012Validator(schema).is_valid(answer)


ORDER = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"price": {"type": "number", "minimum": 0}},
                "additionalProperties": False,
            },
        },
        "a/b": {"enum": ["x"]},
    },
    "required": ["items"],
}


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        ({"items": [{"price": 1}]}, {}),
        ({}, {"/items": "is required"}),
        ([], {"": "must be of type object"}),
        ({"items": [{"price": "1"}]}, {"/items/0/price": "must be of type number"}),
        ({"items": [{"price": True}]}, {"/items/0/price": "must be of type number"}),
        ({"items": [{}, {"price": -1}]}, {"/items/1/price": "must be at least 0"}),
        ({"items": [{"cost": 1}]}, {"/items/0": "has a property that is not allowed; there are: price"}),
        (
            {"items": [{}, {}, {}], "a/b": "secret"},
            {"/items": "must have at most 2 items", "/a~1b": "must be one of the values of its enum"},
        ),
    ],
)
def test_a_problem_is_told_with_its_place_and_without_the_answer(
    answer: object, problems: dict[str, str]
) -> None:
    assert dict(find_problems(AnswerSchema.model_validate(ORDER), answer, STEPS)) == problems


@pytest.mark.parametrize(
    ("keywords", "fits", "does_not", "problem"),
    [
        ({"type": ["string", "null"]}, None, 1, "must be of type string or null"),
        ({"type": "integer"}, 1.0, 1.5, "must be of type integer"),
        ({"type": "boolean"}, False, 0, "must be of type boolean"),
        ({"enum": [1, "a"]}, 1.0, True, "must be one of the values of its enum"),
        ({"const": None}, None, 0, "must be the value of its const"),
        ({"minItems": 1}, [1], [], "must have at least 1 items"),
        ({"maxItems": 1}, [1], [1, 2], "must have at most 1 items"),
        ({"minLength": 2}, "ÄÖ", "a", "must have at least 2 characters"),
        ({"maxLength": 2}, "ÄÖ", "abc", "must have at most 2 characters"),
        ({"pattern": "b"}, "abc", "ac", "must match its pattern"),
        ({"minimum": 1}, 1, 0.9, "must be at least 1"),
        ({"maximum": 1}, 1, 1.1, "must be at most 1"),
        ({"exclusiveMinimum": 1}, 2, 1, "must be above 1"),
        ({"exclusiveMaximum": 1}, 0, 1, "must be below 1"),
        ({"multipleOf": 3}, 9, 10, "must be a multiple of 3"),
        (
            {"additionalProperties": False},
            {},
            {"b": 1},
            "has a property that is not allowed; there are: none",
        ),
        ({"required": ["b"]}, {"b": None}, {}, "is required"),
        ({"anyOf": [{"const": 1}, {"minimum": 5}]}, 5, 4, "must fit one of the schemas of anyOf"),
        ({"oneOf": [{"minimum": 1}, {"minimum": 5}]}, 4, 5, "must fit exactly one of the schemas of oneOf"),
        ({"allOf": [{"minimum": 1}, {"maximum": 5}]}, 5, 6, "must be at most 5"),
    ],
)
def test_each_keyword_is_held_on_both_sides_of_its_bound(
    keywords: dict[str, Any], fits: object, does_not: object, problem: str
) -> None:
    schema = AnswerSchema.model_validate({"type": "object", "properties": {"a": keywords}})
    assert find_problems(schema, {"a": fits}, STEPS) == []
    assert [one.problem for one in find_problems(schema, {"a": does_not}, STEPS)] == [problem]


def test_no_more_problems_are_told_than_anybody_reads() -> None:
    answer = {"items": [{"price": -1} for _ in range(50)]}
    assert len(find_problems(AnswerSchema.model_validate(ORDER), answer, STEPS)) == MOST_PROBLEMS


def test_a_name_that_the_model_made_up_is_told_to_nobody() -> None:
    schema = AnswerSchema.model_validate({"type": "object", "additionalProperties": {"type": "integer"}})
    assert find_problems(schema, {"secret": "x"}, STEPS) == [("/*", "must be of type integer")]


def test_a_multiple_is_one_as_it_is_written() -> None:
    schema = {"type": "object", "properties": {"a": {"multipleOf": 0.1}}}
    assert _fits(schema, {"a": 0.3})
    assert _fits(schema, {"a": 1e300})
    assert not _fits(schema, {"a": 0.35})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Here you are: {}",
        "```json\n{}\n```",
        '{"a": 1',
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        "1" * 5_000,
        "[" * 100_000,
        '"' + "x" * 1_000_000 + '"',
    ],
)
def test_what_no_reader_reads_is_no_answer(text: str) -> None:
    with pytest.raises(UnreadableAnswerError):
        read_json(text)


def test_a_half_of_a_character_matches_no_pattern() -> None:
    schema = {"type": "object", "properties": {"a": {"pattern": "."}}}
    assert not _fits(schema, read_json('{"a": "\\ud800"}'))


WIDE = {"anyOf": [{"$ref": "#/$defs/d"}, {"$ref": "#/$defs/d"}]}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        # Two ways at each level: twice the work with each level of the answer.
        (
            {
                "type": "object",
                "properties": {"x": {"$ref": "#/$defs/d"}},
                "$defs": {"d": {"type": "object", "properties": {"x": WIDE}, "additionalProperties": False}},
            },
            '{"x":' * 50 + '{"y":1}' + "}" * 50,
        ),
        # Each of many items against each of many alternatives.
        (
            {
                "type": "object",
                "properties": {
                    "x": {"type": "array", "items": {"anyOf": [{"const": number} for number in range(900)]}}
                },
            },
            json.dumps({"x": [899] * 20_000}),
        ),
        # A long text against many patterns.
        (
            {
                "type": "object",
                "properties": {"x": {"allOf": [{"pattern": f"(a*)*b{number}|^"} for number in range(800)]}},
            },
            json.dumps({"x": "a" * 900_000}),
        ),
    ],
)
@pytest.mark.slow
async def test_a_hostile_schema_or_answer_is_given_up_after_bounded_work(
    schema: dict[str, Any], text: str
) -> None:
    json_schema = AnswerFormat.model_validate({"type": "json_schema", "schema": schema})
    assert await json_schema.find_problems(text) == [("", "takes too much work to check")]


async def test_what_the_loop_has_no_time_for_is_checked_beside_it() -> None:
    items = {"type": "array", "items": {"anyOf": [{"const": number} for number in range(100)]}}
    schema = {"type": "object", "properties": {"x": items}}
    json_schema = AnswerFormat.model_validate({"type": "json_schema", "schema": schema})
    short = json.dumps({"x": [99] * 100})
    with pytest.raises(TooMuchWorkError):
        find_problems(AnswerSchema.model_validate(schema), json.loads(short), 2_000)
    assert await json_schema.find_problems(short) == []


def test_an_answer_that_is_nested_without_an_end_is_given_up() -> None:
    tree = {"type": "array", "items": {"$ref": "#/$defs/tree"}}
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/tree"}}, "$defs": {"tree": tree}}
    deep = read_json('{"x":' + "[" * 900 + "]" * 900 + "}")
    problems = find_problems(AnswerSchema.model_validate(schema), deep, STEPS)
    assert problems == [("", "is nested too deep")]


async def test_a_format_without_a_schema_wants_an_object_or_nothing() -> None:
    json_object = AnswerFormat.model_validate({"type": "json_object"})
    assert await json_object.find_problems('{"a": 1.5}') == []
    assert await json_object.find_problems("[1]") == [("", "must be of type object")]
    assert await json_object.find_problems("no") == [("", "is not JSON")]
    assert await AnswerFormat.model_validate({"type": "text"}).find_problems("no") == []


async def test_a_long_answer_is_checked_as_a_short_one_is() -> None:
    json_schema = AnswerFormat.model_validate({"type": "json_schema", "schema": ORDER})
    long = json.dumps({"items": [], "note": "x" * 10_000})
    assert await json_schema.find_problems(long) == []
    assert await json_schema.find_problems(long.replace("items", "item")) == [("/items", "is required")]
