"""From pydantic's complaints to refusals that name the fields and repeat nothing of what was in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import MalformedRequestError, ValidationError

if TYPE_CHECKING:
    import pydantic

    from shared.errors import APIError


def refusal(error: pydantic.ValidationError, what: str, *where: str) -> APIError:
    """Turn a model's complaints into the refusal of what was sent.

    Args:
        error: What the model refused.
        what: What was sent: `request`, `message`.
        where: What the fields' names begin with.
    """
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if any(problem["type"] == "json_invalid" for problem in problems):
        return MalformedRequestError("The body is not valid JSON")
    fields = {".".join([*where, *(str(part) for part in p["loc"])]): p["msg"] for p in problems}
    said = "; ".join(f"{name}: {problem}" if name else problem for name, problem in fields.items())
    return ValidationError(f"Invalid {what}: {said}", {"fields": fields})


def refused_field(name: str, problem: str) -> ValidationError:
    """Refuse one field of a request that no model knows, such as a header."""
    return ValidationError(f"Invalid request: {name}: {problem}", {"fields": {name: problem}})
