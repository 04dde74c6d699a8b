"""What goes over HTTP between applications and the token ledger; the routes and `TokenClient` share it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from shared.contracts import MOST_TOKENS
from shared.errors import ValidationError
from shared.tokens.stored_models import APP_ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.tokens.stored_models import TokenStatus

LONGEST_NAME = 128
LONGEST_LOCK_ID = 1024

type AppId = Annotated[str, Field(pattern=APP_ID_PATTERN)]
type LockId = Annotated[str, Field(min_length=1, max_length=LONGEST_LOCK_ID)]
type Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class TokenRequest(BaseModel):
    """What every call about a lock names: the application that it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    app_id: AppId


class LockRequest(TokenRequest):
    """`POST /tokens/lock`; without a model, the deployment's own is locked for."""

    token_count: int = Field(ge=1, le=MOST_TOKENS)
    model: Name | None = None


class ReportRequest(TokenRequest):
    """`POST /tokens/report`; `user_id` is an opaque id that usage can be grouped by."""

    request_id: LockId
    prompt_tokens: int = Field(ge=0, le=MOST_TOKENS)
    completion_tokens: int = Field(ge=0, le=MOST_TOKENS)
    user_id: Name | None = None


class ReleaseRequest(TokenRequest):
    """`POST /tokens/release`."""

    request_id: LockId


class LockReply(BaseModel):
    """Whether the lock was admitted: `request_id` names it, `message` says why there is none."""

    model_config = ConfigDict(frozen=True)

    allowed: bool
    request_id: str | None
    message: str


class SettledReply(BaseModel):
    """A report or release is stored, now or before."""

    model_config = ConfigDict(frozen=True)

    success: bool


def checked[M: TokenRequest](build: Callable[[], M]) -> M:
    """Build a request as the routes would take it.

    Raises:
        ValidationError: They would refuse it; the detail names each field.
    """
    try:
        return build()
    except pydantic.ValidationError as error:
        fields = {".".join(map(str, problem["loc"])): problem["msg"] for problem in error.errors()}
        named = "; ".join(f"{name}: {message}" for name, message in fields.items())
        raise ValidationError(f"Invalid request: {named}", {"fields": fields}) from error


RATE_LIMIT_HEADERS = {
    "X-RateLimit-Limit-Tokens": "The most tokens of any 60 seconds",
    "X-RateLimit-Remaining-Tokens": "How many of them are left",
    "X-RateLimit-Reset-Tokens": "Seconds until all of them are again, if nothing more is taken",
    "X-RateLimit-Limit-Requests": "The most locks of any 60 seconds",
    "X-RateLimit-Remaining-Requests": "How many of them are left",
    "X-RateLimit-Reset-Requests": "Seconds until all of them are again, if nothing more is taken",
    "Retry-After": "Only where the lock is refused: seconds until it is admitted, if nothing more is taken",
}
"""What `rate_limit_headers` and a refusal tell."""


def rate_limit_headers(status: TokenStatus) -> dict[str, str]:
    """Render what is left as the `x-ratelimit-*` headers; resets are in whole seconds."""
    reset = str(math.ceil(status.reset_time_seconds))
    return {
        "x-ratelimit-limit-tokens": str(status.limit_tokens),
        "x-ratelimit-remaining-tokens": str(status.available_tokens),
        "x-ratelimit-reset-tokens": reset,
        "x-ratelimit-limit-requests": str(status.limit_requests),
        "x-ratelimit-remaining-requests": str(status.available_requests),
        "x-ratelimit-reset-requests": reset,
    }
