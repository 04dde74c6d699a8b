"""Validation of answers against a schema, in bounded work: a hostile schema or answer holds nobody up."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.llm.answer_schema import JsonType, SchemaNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shared.llm.answer_schema import AnswerSchema

MOST_CHARACTERS = 1_000_000
"""The most of an answer that is read."""

MOST_PROBLEMS = 10
_STATES_OF_A_STEP = 500
"""So many states of a pattern's automaton are passed in a step's time, at worst."""

_LONGEST_PLACE = 200
_MOST_NAMES = 20
_ANY_NAME = "*"
_MISSING = object()

type _Place = tuple[str | int, ...]


class AnswerProblem(NamedTuple):
    """One thing that is wrong with an answer.

    Attributes:
        place: Its place in the answer, as a JSON pointer; empty for the whole. A name that is not the
            schema's is `*`: nothing of the answer is told.
        problem: What is wrong, in words of the schema.
    """

    place: str
    problem: str


class UnreadableAnswerError(ValueError):
    """An answer is no JSON that can be read."""


class TooMuchWorkError(Exception):
    """Checking an answer takes more steps than are granted."""


def read_json(text: str) -> Any:  # noqa: ANN401  # any JSON
    """Read an answer.

    Raises:
        UnreadableAnswerError: It is not JSON, or too long, too deep, or has a number that no double holds.
    """
    if len(text) > MOST_CHARACTERS:
        raise UnreadableAnswerError(f"has more than {MOST_CHARACTERS} characters")
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
    except RecursionError as error:
        raise UnreadableAnswerError("is nested too deep") from error
    except ValueError as error:
        raise UnreadableAnswerError("is not JSON") from error


def find_problems(
    schema: AnswerSchema,
    value: Any,  # noqa: ANN401  # any JSON
    steps: int,
) -> list[AnswerProblem]:
    """Return what is wrong with an answer that was read: the first `MOST_PROBLEMS` things at most.

    Raises:
        TooMuchWorkError: It is not known within so many steps.
    """
    try:
        return list(islice(_Validation(schema.defs, steps).problems(schema, value, ()), MOST_PROBLEMS))
    except RecursionError:
        return [AnswerProblem("", "is nested too deep")]


@dataclass(slots=True)
class _Validation:
    """One pass over an answer.

    Attributes:
        definitions: The schema's definitions.
        steps: The steps that are left.
    """

    definitions: Mapping[str, SchemaNode]
    steps: int

    def problems(self, node: SchemaNode, value: Any, place: _Place) -> Iterator[AnswerProblem]:  # noqa: ANN401  # any JSON
        """Give what is wrong with a value."""
        self._spend(1)
        types = node.types
        if types and not any(_IS_OF_TYPE[kind](value) for kind in types):
            yield _problem(place, f"must be of type {' or '.join(types)}")
            return
        yield from self._value_problems(node, value, place)
        if isinstance(value, dict):
            yield from self._object_problems(node, value, place)
        elif isinstance(value, list):
            yield from self._array_problems(node, value, place)
        elif isinstance(value, str):
            yield from self._string_problems(node, value, place)
        elif _is_number(value):
            yield from _number_problems(node, value, place)
        yield from self._combined_problems(node, value, place)

    def _spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TooMuchWorkError

    def _value_problems(self, node: SchemaNode, value: Any, place: _Place) -> Iterator[AnswerProblem]:  # noqa: ANN401  # any JSON
        if node.enum is not None:
            self._spend(len(node.enum))
            if not any(_is_equal(value, one) for one in node.enum):
                yield _problem(place, "must be one of the values of its enum")
        if "const" in node.model_fields_set and not _is_equal(value, node.const):
            yield _problem(place, "must be the value of its const")

    def _object_problems(
        self, node: SchemaNode, value: dict[str, Any], place: _Place
    ) -> Iterator[AnswerProblem]:
        self._spend(len(node.required) + len(value))
        for name in node.required:
            if name not in value:
                yield _problem((*place, name), "is required")
        if node.additional_properties is False and not value.keys() <= node.properties.keys():
            yield _problem(place, f"has a property that is not allowed; there are: {_names(node)}")
        for name, one in value.items():
            if name in node.properties:
                yield from self.problems(node.properties[name], one, (*place, name))
            elif isinstance(node.additional_properties, SchemaNode):
                yield from self.problems(node.additional_properties, one, (*place, _ANY_NAME))

    def _array_problems(self, node: SchemaNode, value: list[Any], place: _Place) -> Iterator[AnswerProblem]:
        if len(value) < node.min_items:
            yield _problem(place, f"must have at least {node.min_items} items")
        if node.max_items is not None and len(value) > node.max_items:
            yield _problem(place, f"must have at most {node.max_items} items")
        if node.items is not None:
            for index, one in enumerate(value):
                yield from self.problems(node.items, one, (*place, index))

    def _string_problems(self, node: SchemaNode, value: str, place: _Place) -> Iterator[AnswerProblem]:
        if len(value) < node.min_length:
            yield _problem(place, f"must have at least {node.min_length} characters")
        if node.max_length is not None and len(value) > node.max_length:
            yield _problem(place, f"must have at most {node.max_length} characters")
        elif node.pattern is not None:
            pattern = node.compiled_pattern
            self._spend(1 + len(value) * pattern.weight // _STATES_OF_A_STEP)
            if not pattern.matches(value):
                yield _problem(place, "must match its pattern")

    def _combined_problems(
        self,
        node: SchemaNode,
        value: Any,  # noqa: ANN401  # any JSON
        place: _Place,
    ) -> Iterator[AnswerProblem]:
        if node.definition is not None:
            yield from self.problems(self.definitions[node.definition], value, place)
        for schema in node.all_of or ():
            yield from self.problems(schema, value, place)
        if node.any_of is not None and not any(self._fits(schema, value, place) for schema in node.any_of):
            yield _problem(place, "must fit one of the schemas of anyOf")
        if node.one_of is not None and sum(self._fits(schema, value, place) for schema in node.one_of) != 1:
            yield _problem(place, "must fit exactly one of the schemas of oneOf")

    def _fits(self, schema: SchemaNode, value: Any, place: _Place) -> bool:  # noqa: ANN401  # any JSON
        return next(self.problems(schema, value, place), _MISSING) is _MISSING


def _number_problems(node: SchemaNode, value: float, place: _Place) -> Iterator[AnswerProblem]:
    bounds = (
        (node.minimum is None or value >= node.minimum, f"must be at least {node.minimum}"),
        (node.maximum is None or value <= node.maximum, f"must be at most {node.maximum}"),
        (
            node.exclusive_minimum is None or value > node.exclusive_minimum,
            f"must be above {node.exclusive_minimum}",
        ),
        (
            node.exclusive_maximum is None or value < node.exclusive_maximum,
            f"must be below {node.exclusive_maximum}",
        ),
        (
            node.multiple_of is None or _is_multiple(value, node.multiple_of),
            f"must be a multiple of {node.multiple_of}",
        ),
    )
    for holds, problem in bounds:
        if not holds:
            yield _problem(place, problem)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_IS_OF_TYPE: dict[JsonType, Callable[[object], bool]] = {
    JsonType.OBJECT: lambda value: isinstance(value, dict),
    JsonType.ARRAY: lambda value: isinstance(value, list),
    JsonType.STRING: lambda value: isinstance(value, str),
    JsonType.BOOLEAN: lambda value: isinstance(value, bool),
    JsonType.NULL: lambda value: value is None,
    JsonType.NUMBER: _is_number,
    JsonType.INTEGER: lambda value: (
        _is_number(value)
        and (not isinstance(value, float) or value.is_integer())  # to JSON Schema 1.0 is one
    ),
}


def _is_equal(value: object, other: object) -> bool:
    """Compare as JSON does: 1 is 1.0, and true is no number."""
    return isinstance(value, bool) == isinstance(other, bool) and value == other


def _is_multiple(value: float, step: float) -> bool:
    """Tell whether a number is a multiple of another, both as they are written: 0.3 is one of 0.1."""
    return (Fraction(str(value)) / Fraction(str(step))).denominator == 1


def _names(node: SchemaNode) -> str:
    return ", ".join(islice(node.properties, _MOST_NAMES)) or "none"


def _problem(place: _Place, problem: str) -> AnswerProblem:
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)
    return AnswerProblem(pointer[:_LONGEST_PLACE], problem)


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)


def _read_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits[:20])
    return number
