"""Requests and replies of the routes `/tokens`; the app's own routes use the same models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

APP_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
MOST_TOKENS = 1_000_000_000
"""The largest count that is taken: far above any model's context, and no sum of them loses precision."""

LONGEST_NAME = 128
LONGEST_LOCK_ID = 1024

type AppId = Annotated[str, Field(pattern=APP_ID_PATTERN)]
type LockId = Annotated[str, Field(min_length=1, max_length=LONGEST_LOCK_ID)]
type Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class TokenRequest(BaseModel):
    """Base of every call about a lock: the application that it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

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


class TokenStatus(BaseModel):
    """Counts of the last 60 seconds, and the headroom under all limits of an application.

    Attributes:
        available_tokens: The size of the largest lock that is admitted now.
        tokens_limited_by: The limit that says so, by its name: `tokens_per_minute`, `tokens_per_day`, ...
        used_tokens: Tokens that were reported.
        locked_tokens: Tokens that are locked and not reported (yet).
        available_requests: The number of locks that are admitted now.
        requests_limited_by: The limit that says so: `requests_per_minute` or `concurrency`.
        reset_time_seconds: Seconds until the whole limit is available again if nothing more is taken.
        debt_tokens: Tokens by which use that was reported beyond its locks exceeds the limit.
    """

    model_config = ConfigDict(frozen=True)

    available_tokens: int
    tokens_limited_by: str = "tokens_per_minute"
    used_tokens: int
    locked_tokens: int
    available_requests: int
    requests_limited_by: str = "requests_per_minute"
    used_requests: int
    locked_requests: int
    reset_time_seconds: float
    limit_tokens: int
    limit_requests: int
    debt_tokens: int
