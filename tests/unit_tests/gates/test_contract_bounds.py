"""Bounds as the committed contract has them: the app takes a value that is at one, and none that is past it.

The numbers are the document's, which is committed: a limit that moves in a model is found here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest
from pydantic import BaseModel, ValidationError

import function_app
from shared.http.models import PathModel, QueryModel
from tests.contract.documents import API, committed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

type Json = dict[str, Any]
type Case = tuple[str, str, Any, bool]

_SCHEMAS: Final[dict[str, Json]] = committed(API)["components"]["schemas"]
_OWN_RULES: Final = {
    ("CreateKeyRequest", "expires_at"),
    ("PutModelRequest", "base_url"),
    ("RotateKeyRequest", "expires_at"),
}
"""Values at these bounds have other rules as well: the clock, fields beside them, the form of an address."""

_LONGEST_PATTERN: Final = 2_100
_LETTERS: Final = ("a", "1", "A")


def resolved(schema: Json) -> Json:
    """Follow a reference, and leave null out of a choice."""
    if "$ref" in schema:
        return resolved(_SCHEMAS[schema["$ref"].rpartition("/")[2]])
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    return resolved(choices[0]) if len(choices) == 1 else schema


def shortest(schema: Json | Literal[True]) -> Any:  # noqa: ANN401  # whatever JSON fits
    """Make the smallest value that fits."""
    known = {} if schema is True else resolved(schema)
    if "enum" in known or "const" in known:
        return known.get("const", *known.get("enum", [])[:1])
    match known.get("type"):
        case "string":
            return text_of(known, known.get("minLength", 1))
        case "integer" | "number":
            return known.get("minimum", 1)
        case "array":
            return [shortest(known["items"])] * known.get("minItems", 0)
        case "object":
            return {name: shortest(known["properties"][name]) for name in known.get("required", [])}
    return shortest(known["anyOf"][0]) if "anyOf" in known else "a"


def text_of(schema: Json, length: int) -> str:
    """Make a text of a length that a pattern takes, or the shortest that it takes."""
    pattern = re.compile(schema.get("pattern", ""))
    for count in range(length, _LONGEST_PATTERN):
        for letter in _LETTERS:
            if pattern.search(letter * count):
                return letter * count
    raise AssertionError(schema)


def edges(schema: Json) -> Iterator[tuple[Any, bool]]:
    """Make values at each bound of a schema and past it, and tell which are taken."""
    if (most := schema.get("maxLength")) is not None and "pattern" not in schema:
        yield "a" * most, True
        yield "a" * (most + 1), False
    if (least := schema.get("minLength", 0)) > 0 and "pattern" not in schema:
        yield "a" * least, True
        yield "a" * (least - 1), False
    if (most := schema.get("maximum")) is not None:
        yield most, True
        yield most + 1, False
    if (least := schema.get("minimum")) is not None:
        yield least, True
        yield least - 1, False
    if (most := schema.get("maxItems")) is not None:
        yield [shortest(schema["items"])] * most, True
        yield [shortest(schema["items"])] * (most + 1), False
    if (least := schema.get("minItems", 0)) > 0:
        yield [shortest(schema["items"])] * least, True
        yield [], False
    if (most := schema.get("maxProperties")) is not None:
        yield {f"k{number}": shortest(schema["additionalProperties"]) for number in range(most)}, True
        yield {f"k{number}": shortest(schema["additionalProperties"]) for number in range(most + 1)}, False
    if "pattern" in schema:
        yield from edges_of_pattern(re.compile(schema["pattern"]), schema.get("maxLength", _LONGEST_PATTERN))


@cache
def edges_of_pattern(pattern: re.Pattern[str], most: int) -> tuple[tuple[str, bool], ...]:
    """Make the longest texts of one letter that a pattern takes, and those that it does not."""
    made = [("\n!", pattern.search("\n!") is not None)]
    for letter in _LETTERS:
        taken = [length for length in range(most + 1) if pattern.search(letter * length)]
        if taken and len(taken) <= most:
            made += [(letter * taken[-1], True), (letter * (taken[-1] + 1), False)]
    return tuple(made)


def cases() -> Iterator[Case]:
    """Make the cases of every field of whatever callers send."""
    for name in sorted(MODELS.keys() & _SCHEMAS.keys()):
        for field, schema in _SCHEMAS[name].get("properties", {}).items():
            for value, taken in edges(resolved(schema)):
                if not (taken and (name, field) in _OWN_RULES):
                    yield name, field, value, taken
            items = resolved(schema).get("items", resolved(schema).get("additionalProperties"))
            for value, taken in edges(resolved(items)) if isinstance(items, dict) else ():
                as_list = resolved(schema)["type"] == "array"
                yield name, field, [value] if as_list else {"k": value}, taken


def models() -> dict[str, type[BaseModel]]:
    """Find the models of what callers send, with those inside of them, by name."""
    found: dict[str, type[BaseModel]] = {}
    left: list[Any] = [model for route in function_app.runtime.routes for model in route.inputs.models()]
    while left:
        kind = left.pop()
        if not isinstance(kind, type):
            left += parts_of(kind)
        elif issubclass(kind, BaseModel) and kind.__name__ not in found:
            found[kind.__name__] = kind
            left += [field.annotation for field in kind.model_fields.values()]
    return found


def parts_of(kind: Any) -> Sequence[Any]:  # noqa: ANN401  # an annotation
    """Take an annotation apart: a named one, or one with arguments."""
    named = getattr(kind, "__value__", None)
    return [named] if named is not None else getattr(kind, "__args__", ())


MODELS: Final = models()
CASES: Final = list(cases())


def refusals(model: type[BaseModel], field: str, value: Any) -> list[str]:  # noqa: ANN401  # whatever JSON fits
    """Return what a model has against one field, whatever it has against others."""
    sent = str(value) if issubclass(model, PathModel | QueryModel) else value
    try:
        model.model_validate({field: sent})
    except ValidationError as error:
        return [found["type"] for found in error.errors() if field in {"", *found["loc"][:1]}]
    return []


@pytest.mark.parametrize("name", sorted({name for name, *_ in CASES}))
def test_what_is_at_a_bound_of_the_contract_is_taken_and_what_is_past_it_is_not(name: str) -> None:
    wrong = [
        f"{field}: {str(value)[:20]!r}… ({size_of(value)}) {'refused' if taken else 'taken'}"
        for of, field, value, taken in CASES
        if of == name and (refusals(MODELS[name], field, value) == []) is not taken
    ]
    assert wrong == []


def size_of(value: Any) -> int:  # noqa: ANN401  # whatever JSON fits
    return len(value) if isinstance(value, str | list | dict) else int(value)


def test_every_schema_that_callers_send_is_looked_at() -> None:
    assert len({name for name, *_ in CASES}) > 30
    assert len(CASES) > 200
