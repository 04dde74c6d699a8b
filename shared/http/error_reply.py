"""Shape of every error, and how one is rendered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from shared.errors import AuthenticationError, MethodNotAllowedError
from shared.http.responses import JSON, RETRY_AFTER, HttpResponse

if TYPE_CHECKING:
    from datetime import datetime

    from shared.errors import APIError


class ErrorReply(BaseModel):
    """The body of a refusal, in the shape of the bot manager document plus the request id.

    Attributes:
        error: Name of the error, for programs; it stays the same over releases.
        message: What went wrong, for people.
        detail: Facts about it; an invalid request has each field at fault under `fields`.
        timestamp: When it was refused, in UTC.
        request_id: The request's id, under which it stands in the logs.
    """

    model_config = ConfigDict(frozen=True)

    error: str
    message: str
    detail: dict[str, Any]
    timestamp: str
    request_id: str


def refusal_headers(error: APIError) -> dict[str, str]:
    """Return the headers of a refusal, whatever the form of its body."""
    headers = {"content-type": JSON}
    if error.retry_after is not None:
        headers[RETRY_AFTER] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, AuthenticationError):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowedError):
        headers["allow"] = ", ".join(error.allowed)
    return headers


def render_error(error: APIError, now: datetime, request_id: str) -> HttpResponse:
    """Render a refusal in this app's own form."""
    reply = ErrorReply(
        error=type(error).__name__,
        message=error.message,
        detail=dict(error.detail),
        timestamp=now.isoformat(),
        request_id=request_id,
    )
    return HttpResponse(error.status, refusal_headers(error), reply.model_dump_json().encode(), reply.error)
