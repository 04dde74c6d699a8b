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
    """The last 60 seconds against the limits that bound an application.

    Attributes:
        used_tokens: Tokens that were reported of the last 60 seconds.
        locked_tokens: Tokens that are locked and were not reported (yet).
        reset_time_seconds: When the whole limit will be available again if nothing more is taken.
        debt_tokens: By how much use that was reported beyond its locks exceeds the limit.
    """

    model_config = ConfigDict(frozen=True)

    available_tokens: int
    used_tokens: int
    locked_tokens: int
    available_requests: int
    used_requests: int
    locked_requests: int
    reset_time_seconds: float
    limit_tokens: int
    limit_requests: int
    debt_tokens: int
