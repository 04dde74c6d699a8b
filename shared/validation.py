"""From pydantic's complaints to refusals that name the fields and repeat nothing of what was in them."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator

from shared.errors import MalformedRequestError, ValidationError

if TYPE_CHECKING:
    import pydantic

    from shared.errors import APIError


def _day(value: object) -> object:
    # Without this a number would be read as seconds since 1970.
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII) is None:
        raise ValueError("must be a day such as 2026-01-31")
    return value


type Day = Annotated[date, BeforeValidator(_day)]
"""A parameter that is a day, as `2026-01-31`."""


MOST_NAMED = 100
"""How many problems are named: of a megabyte of them, telling takes seconds, and fifty times the space."""


def refusal(error: pydantic.ValidationError, what: str, *where: str) -> APIError:
    """Turn a model's complaints into the refusal of what was sent.

    Args:
        error: What the model refused.
        what: What was sent: `request`, `message`.
        where: What the fields' names begin with.
    """
    if error.error_count() == 1 and error.errors(include_input=False)[0]["type"] == "json_invalid":
        return MalformedRequestError("The body is not valid JSON")
    return invalid(error, what, *where)


def invalid(error: pydantic.ValidationError, what: str, *where: str) -> ValidationError:
    """Name each field of what was sent that a model refused; the arguments are those of `refusal`."""
    fields = _refused_fields(error, *where)
    said = "; ".join(f"{name}: {problem}" if name else problem for name, problem in fields.items())
    return ValidationError(f"Invalid {what}: {said}", {"fields": fields})


def _refused_fields(error: pydantic.ValidationError, *where: str) -> dict[str, str]:
    """Tell what is wrong by field; where that is more than `MOST_NAMED` things, only how many they are."""
    count = error.error_count()
    if count > MOST_NAMED:
        return {".".join(where): f"has {count} problems; no more than {MOST_NAMED} are named"}
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return {".".join([*where, *(str(part) for part in p["loc"])]): p["msg"] for p in problems}


def refused_field(name: str, problem: str) -> ValidationError:
    """Refuse one field of a request that no model knows, such as a header."""
    return ValidationError(f"Invalid request: {name}: {problem}", {"fields": {name: problem}})
