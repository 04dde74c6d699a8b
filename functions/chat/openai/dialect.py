"""OpenAI's dialect: its form of refusals, as its clients raise them, and of streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from shared.errors import (
    AuthenticationError,
    BudgetExceededError,
    InternalError,
    MethodNotAllowedError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    RouteNotFoundError,
    ValidationError,
)
from shared.http.dialect import Dialect
from shared.http.error_reply import refusal_headers
from shared.http.responses import JSON, HttpResponse
from shared.llm.chat_model import ModelNotFoundError, ModelUnavailableError, PromptTooLongError
from shared.tokens.errors import TokenBudgetExhaustedError

if TYPE_CHECKING:
    from datetime import datetime

    from shared.errors import APIError

INVALID = 400
LONGEST_RETRY_SECONDS = 60.0
"""OpenAI's clients wait no longer, and would try again much earlier: they are told not to."""

SERVED = (
    "POST /chat/completions",
    "POST /embeddings",
    "GET /models",
    "GET /models/{model}",
    "POST /responses",
    "GET /responses/{response_id}",
    "DELETE /responses/{response_id}",
    "POST /responses/{response_id}/cancel",
    "GET /responses/{response_id}/input_items",
)
"""What of OpenAI's interface has a route; a test holds it against those that are declared."""

_FAMILIES = """
    answers assistants audio batches chat chatkit completions containers conversations edits embeddings
    engines evals files fine-tunes fine_tuning images models moderations organization realtime responses
    skills threads uploads vector_stores videos
"""
"""First parts of the paths that OpenAI's clients call, those of older ones too."""

_NOT_FOUND = 404
_CONFLICT = 409
_SENT_IN = ("body", "path", "query", "header")
_PROBLEMS = {
    "Field required": "missing_required_parameter",
    "Extra inputs are not permitted": "unknown_parameter",
}
_WRONG_TYPE = "Input should be a valid "
_CODES: tuple[tuple[type[APIError], str], ...] = (
    (AuthenticationError, "invalid_api_key"),
    (PermissionDeniedError, "insufficient_permissions"),
    (RouteNotFoundError, "unknown_url"),
    (MethodNotAllowedError, "method_not_supported"),
    (PayloadTooLargeError, "request_too_large"),
    (PromptTooLongError, "context_length_exceeded"),
    (ModelUnavailableError, "model_unavailable"),
    (TokenBudgetExhaustedError, "insufficient_quota"),
    (RateLimitError, "rate_limit_exceeded"),
)
_STREAM = (
    "One server-sent event, where `stream` asks for a stream. It has no name; its data is a part of the"
    " answer, the error that ends the stream before the answer is whole, or, at the end of one that is whole,"
    " `[DONE]`. A comment comes after 15 s of silence. Repeated under its Idempotency-Key, it is a stream of"
    " one part."
)


class OpenAIError(BaseModel):
    """A refusal.

    Attributes:
        message: What went wrong, for people.
        type: The kind of error: `invalid_request_error`, `requests`, `tokens`, `insufficient_quota` or
            `server_error`.
        param: The parameter that is at fault, where one is.
        code: The error, for programs; null where there is nothing to tell beyond the status.
    """

    model_config = ConfigDict(frozen=True)

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorReply(BaseModel):
    """The body of every refusal, as OpenAI has it.

    Attributes:
        error: What went wrong.
    """

    model_config = ConfigDict(frozen=True)

    error: OpenAIError


def render_refusal(error: APIError, now: datetime, request_id: str) -> HttpResponse:  # noqa: ARG001  # the dialect's
    """Render a refusal as OpenAI does; the request's id is in a header alone."""
    status = _status_of(error)
    headers = refusal_headers(error)
    if (error.retry_after or 0.0) > LONGEST_RETRY_SECONDS or (
        status == _CONFLICT and error.retry_after is None
    ):
        headers["x-should-retry"] = "false"
    told = OpenAIError(
        message=_message_of(error), type=_type_of(error), param=_param_of(error), code=_code_of(error)
    )
    content = OpenAIErrorReply(error=told).model_dump_json().encode()
    return HttpResponse(status, headers, content, type(error).__name__)


def _message_of(error: APIError) -> str:
    if isinstance(error, RouteNotFoundError):
        return f"{error.message}. Of OpenAI's interface there are: {', '.join(SERVED)}"
    return error.message


def _status_of(error: APIError) -> int:
    if isinstance(error, ModelNotFoundError):
        return _NOT_FOUND
    return INVALID if error.status == ValidationError.status else error.status


def _type_of(error: APIError) -> str:
    if isinstance(error, TokenBudgetExhaustedError):
        return "insufficient_quota"
    if isinstance(error, BudgetExceededError):
        return "tokens"
    if isinstance(error, RateLimitError):
        return "requests"
    return "server_error" if error.status >= InternalError.status else "invalid_request_error"


def _code_of(error: APIError) -> str | None:
    own = error.detail.get("code")
    if isinstance(own, str):
        return own
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    problems = _problems_of(error)
    if not problems:
        return None
    problem = next(iter(problems.values()))
    if problem.startswith(_WRONG_TYPE):
        return "invalid_type"
    return _PROBLEMS.get(problem, "invalid_value")


def _param_of(error: APIError) -> str | None:
    """Return the parameter at fault, as OpenAI writes it: `messages[0].role`."""
    if isinstance(error, ModelNotFoundError):
        return "model"
    refused = error.detail.get("param")  # by the model's provider
    place = next(iter(_problems_of(error)), refused if isinstance(refused, str) else "")
    first, *steps = place.split(".")
    if first not in _SENT_IN:
        steps = [first, *steps]
    return "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in steps).removeprefix(".") or None


def _problems_of(error: APIError) -> dict[str, str]:
    fields = error.detail.get("fields")
    return {str(name): str(told) for name, told in fields.items()} if isinstance(fields, Mapping) else {}


def _describe_events(reply: dict[str, Any], refusal: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001  # a part is no whole answer
    told = {"anyOf": [refusal, {"type": "object"}]}
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": told}
    return {
        "description": _STREAM,
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"anyOf": [{"const": "[DONE]"}, data]}},
    }


OPENAI = Dialect(
    OpenAIErrorReply, render_refusal, INVALID, "", _describe_events, "[]", frozenset(_FAMILIES.split())
)
"""The dialect of the routes that OpenAI's clients call."""
