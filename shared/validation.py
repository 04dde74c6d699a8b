"""Validation of inputs: refusals name the fields at fault, and neither repeat nor hold any of the input."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import pydantic
from pydantic import AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from shared.errors import MalformedRequestError, ValidationError
from shared.tracebacks import MOST_PROBLEMS, release_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

    from shared.errors import APIError


_SURROGATE = re.compile("[\ud800-\udfff]")


def has_lone_surrogate(text: str) -> bool:
    """Tell whether a text has half of a surrogate pair, which no UTF-8 has; pydantic takes it in JSON."""
    return _SURROGATE.search(text) is not None


def _day(value: object) -> object:
    # Without this a number would be read as seconds since 1970.
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII) is None:
        raise refuse_value("must be a day such as 2026-01-31")
    return value


type Day = Annotated[date, BeforeValidator(_day)]
"""A parameter that is a day, as `2026-01-31`."""


def _time(value: object) -> object:
    # The same holds for a number in a text, and for a day without a time.
    if isinstance(value, datetime) or (isinstance(value, str) and _TIME.fullmatch(value)):
        return value
    if isinstance(value, str) and _TIME.fullmatch(f"20{value[2:]}"):
        raise refuse_value("must be of the years 2000 to 2199")
    raise refuse_value("must be a time such as 2026-01-31T10:30:00Z")


_DATE = r"2[01][0-9]{2}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?"
TIME_PATTERN = rf"^{_DATE}[Tt ]{_CLOCK}([Zz]|[+-][0-9]{{2}}:?[0-9]{{2}})$"
"""The years are in it because JSON Schema has no bounds of times, and the document tells what is refused."""

_TIME = re.compile(TIME_PATTERN)

# Strict, it would take no text from a validator; `_time` is as strict.
Time = Annotated[
    AwareDatetime, Field(strict=False, json_schema_extra={"pattern": TIME_PATTERN}), BeforeValidator(_time)
]
"""A time with its offset, as RFC 3339 has it, of the years 2000 to 2199: `2026-01-31T10:30:00Z`."""

MOST_NAMED = MOST_PROBLEMS
"""How many problems are named: of a megabyte of them, telling takes seconds, and fifty times the space."""


_WORDS: dict[str, str] = {}
"""What the patterns of this process's models mean, in words."""


def text_pattern(pattern: str, words: str) -> str:
    """Return a pattern of texts, and let refusals say in words what it means: a caller reads no expressions.

    Args:
        pattern: The regular expression.
        words: The rest of `must be …`.

    Raises:
        ValueError: The same pattern has other words elsewhere.
    """
    if _WORDS.setdefault(pattern, words) != words:
        raise ValueError(f"the pattern of '{words}' has other words already: '{_WORDS[pattern]}'")
    return pattern


def find_words(pattern: str) -> str | None:
    """Return the words that a pattern has, if it has any."""
    return _WORDS.get(pattern)


def validate_input[T](build: Callable[[], T], what: str, *where: str) -> T:
    """Build what a model makes of an input, or refuse that with each field at fault, repeating nothing of it.

    Args:
        build: Validates the input.
        what: What was sent, for the message: `request`, `message`.
        where: What the fields' names begin with.

    Raises:
        MalformedRequestError: The input is not JSON.
        ValidationError: The model refuses it; `detail` names the fields.
    """
    try:
        return build()
    except pydantic.ValidationError as error:
        refusal = _describe(error, what, *where)
        release_frames(error)
    # Outside of the block above, so that the refusal does not hold the error as its context.
    try:
        raise refusal
    finally:
        del refusal  # its traceback holds this frame


def refuse_value(problem: str) -> PydanticCustomError:
    """Build what a validator raises.

    A ValueError would be held by pydantic-core with its traceback, where the collector does not see it.
    """
    return PydanticCustomError("value_error", "{problem}", {"problem": problem})


def _describe(error: pydantic.ValidationError, what: str, *where: str) -> APIError:
    if error.error_count() == 1 and error.errors(include_input=False)[0]["type"] == "json_invalid":
        return MalformedRequestError("The body is not valid JSON")
    fields = _name_problems(error, *where)
    said = "; ".join(f"{name}: {problem}" if name else problem for name, problem in fields.items())
    return ValidationError(f"Invalid {what}: {said}", {"fields": fields})


def _name_problems(error: pydantic.ValidationError, *where: str) -> dict[str, str]:
    """Tell what is wrong by field; where that is more than `MOST_NAMED` things, only how many they are."""
    count = error.error_count()
    if count > MOST_NAMED:
        return {".".join(where): f"has {count} problems; no more than {MOST_NAMED} are named"}
    problems = error.errors(include_url=False, include_input=False)
    return {".".join([*where, *(str(part) for part in p["loc"])]): describe_problem(p) for p in problems}


def describe_problem(problem: ErrorDetails) -> str:
    """Say what is wrong with a field: of a text's pattern its words."""
    pattern = problem.get("ctx", {}).get("pattern")
    if problem["type"] != "string_pattern_mismatch" or pattern is None:
        return problem["msg"]
    words = find_words(pattern)
    return "is not written as it has to be" if words is None else f"must be {words}"


def refused_field(name: str, problem: str) -> ValidationError:
    """Refuse one field of a request that no model knows, such as a header."""
    return ValidationError(f"Invalid request: {name}: {problem}", {"fields": {name: problem}})
