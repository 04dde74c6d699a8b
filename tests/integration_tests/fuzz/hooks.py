"""What schemathesis cannot know of the app's requests."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies
from pydantic import ValidationError

from shared.http.request_parsing import LARGEST_INTEGER
from shared.llm.answer_schema import AnswerSchema
from shared.llm.deployments import MODEL_NAME_PATTERN

_FIRST_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_SECONDS = int((datetime(2199, 12, 31, tzinfo=UTC) - _FIRST_TIME).total_seconds())
# A pattern only filters what a format generates, and one time in fifty would be of these years.
schemathesis.openapi.format(
    "date-time",
    strategies.integers(0, _SECONDS).map(
        lambda second: (_FIRST_TIME + timedelta(seconds=second)).isoformat()
    ),
)

_VALID_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,200}[\x21-\x7e])?")
_LINE_BREAK = re.compile("\n|%0a", re.IGNORECASE)
_NAME_MODELS = {"model", "summary_model"}
_MODEL = "gpt-4o"
_WITHOUT_A_PARAMETER = "missing_parameter"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: Any, kwargs: Any) -> None:  # noqa: ANN401  # the hook's call
    """Change what no rule of the document can say.

    A schema for answers is an object to the document: one that is not taken becomes the smallest that is.
    Where a model is named, it is one that there is. Each Idempotency-Key is made its own: the same one with
    another body is rightly a 422. Line breaks are left out of paths: the worker's web server answers those by
    itself, before the app is asked.
    """
    for name, value in (case.path_parameters or {}).items():
        if isinstance(value, str) and _LINE_BREAK.search(value):
            case.path_parameters[name] = _LINE_BREAK.sub("%09", value)
    if getattr(case.meta.phase.data, "scenario", None) == _WITHOUT_A_PARAMETER:
        return  # a case that was changed is sent as it stands, with what was to be left out
    body = with_models_known(with_schemas_taken(as_every_reader_reads_it(case.body)))
    if repr(body) != repr(case.body):
        case.body = body
    for name, value in (case.headers or {}).items():
        if name.lower() == "idempotency-key" and isinstance(value, str) and _VALID_KEY.fullmatch(value):
            case.headers[name] = f"{value}-{uuid.uuid4().hex}"


def with_schemas_taken(body: Any) -> Any:  # noqa: ANN401  # JSON of any shape
    """Replace the schema of a body's `response_format` where it is an object and not taken."""
    match body:
        case {"response_format": {"schema": dict() as schema} as answer_format} if not _is_taken(schema):
            return {**body, "response_format": {**answer_format, "schema": {"type": "object"}}}
    return body


def with_models_known(body: Any) -> Any:  # noqa: ANN401  # JSON of any shape
    """Name a model that there is wherever a body names one."""
    match body:
        case dict():
            return {
                name: _MODEL
                if name in _NAME_MODELS and isinstance(value, str) and re.fullmatch(MODEL_NAME_PATTERN, value)
                else with_models_known(value)
                for name, value in body.items()
            }
        case list():
            return [with_models_known(value) for value in body]
    return body


def _is_taken(schema: dict[str, Any]) -> bool:
    try:
        AnswerSchema.model_validate(schema)
    except ValidationError:
        return False
    return True


def as_every_reader_reads_it(body: Any) -> Any:  # noqa: ANN401  # JSON of any shape
    """Write whole numbers as such, and none that a double does not hold.

    To JSON Schema 29.0 is an integer, to a strict model it is not. And a schema of any JSON has no place for
    the rule that all of it must survive every reader (RFC 7493).
    """
    match body:
        case int() if abs(body) > LARGEST_INTEGER:
            return LARGEST_INTEGER
        case float() if body.is_integer():
            return as_every_reader_reads_it(int(body))
        case dict():
            return {name: as_every_reader_reads_it(value) for name, value in body.items()}
        case list():
            return [as_every_reader_reads_it(value) for value in body]
    return body
