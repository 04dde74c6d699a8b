"""Requests and replies of the routes `/tokens`; the app's own routes use the same models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

APP_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
PRINTABLE_PATTERN = r"^[ -~]+$"
MOST_TOKENS = 1_000_000_000
"""The largest count that is taken: far above any model's context, and no sum of them loses precision."""

LONGEST_NAME = 128
LONGEST_LOCK_ID = 1024

type AppId = Annotated[str, Field(pattern=APP_ID_PATTERN)]
type LockId = Annotated[str, Field(min_length=1, max_length=LONGEST_LOCK_ID)]
type Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
type LockedModel = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=PRINTABLE_PATTERN)]


class TokenRequest(BaseModel):
    """Base of every call about a lock: the application that it is for.

    Attributes:
        app_id: The application that the call is for; usage and shares of the budget are kept by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    app_id: AppId


class LockRequest(TokenRequest):
    """Tokens to take out of the budget before a model is called.

    Attributes:
        token_count: The most tokens that the call can use: the prompt's and the answer's.
        model: The model that is to be called; without one, the deployment's own.
    """

    token_count: int = Field(ge=1, le=MOST_TOKENS)
    model: LockedModel | None = None


@dataclass(frozen=True, slots=True)
class UsedTokens:
    """Tokens of a call, by kind.

    Attributes:
        prompt: Tokens of the prompt.
        completion: Tokens of the answer.
        cached: Those of the prompt that the provider had in its cache.
        reasoning: Those of the answer that it was thought with.
    """

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0


class ReportRequest(TokenRequest):
    """Tokens that a lock's call used.

    Attributes:
        request_id: The lock, by the `request_id` that it was answered with.
        prompt_tokens: Tokens of the prompt.
        cached_tokens: Those of the prompt that the provider had in its cache: its answer's `cached_tokens`.
        completion_tokens: Tokens of the answer.
        reasoning_tokens: Those of the answer that it was thought with: the answer's `reasoning_tokens`.
        user_id: An opaque id of the user, by which usage can be grouped.
    """

    request_id: LockId
    prompt_tokens: int = Field(ge=0, le=MOST_TOKENS)
    cached_tokens: int = Field(0, ge=0, le=MOST_TOKENS)
    completion_tokens: int = Field(ge=0, le=MOST_TOKENS)
    reasoning_tokens: int = Field(0, ge=0, le=MOST_TOKENS)
    user_id: Name | None = None

    @field_validator("cached_tokens", "reasoning_tokens")
    @classmethod
    def _is_part_of_its_whole(cls, tokens: int, info: ValidationInfo) -> int:
        whole = _WHOLES[info.field_name or ""]
        if tokens > info.data.get(whole, MOST_TOKENS):  # where the whole was refused, that is told
            raise PydanticCustomError("value_error", "must be <= {whole}", {"whole": whole})
        return tokens

    @classmethod
    def of(cls, app_id: str, request_id: str, used: UsedTokens, user_id: str | None) -> Self:
        """Build it for a lock."""
        return cls(
            app_id=app_id,
            request_id=request_id,
            prompt_tokens=used.prompt,
            cached_tokens=used.cached,
            completion_tokens=used.completion,
            reasoning_tokens=used.reasoning,
            user_id=user_id,
        )


_WHOLES = {"cached_tokens": "prompt_tokens", "reasoning_tokens": "completion_tokens"}


class ReleaseRequest(TokenRequest):
    """A lock to give back: its call was not made.

    Attributes:
        request_id: The lock, by the `request_id` that it was answered with.
    """

    request_id: LockId


class LockReply(BaseModel):
    """Decision about a lock.

    Attributes:
        allowed: Whether the tokens were taken, and the model may be called.
        request_id: Name of the lock, for its report or release; null where it was refused.
        message: `Locked`, or why it was refused.
    """

    model_config = ConfigDict(frozen=True)

    allowed: bool
    request_id: str | None
    message: str


class SettledReply(BaseModel):
    """A report or release is stored, now or before.

    Attributes:
        success: Always true; a refusal is an error.
    """

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
        used_requests: Locks that were reported.
        locked_requests: Locks that are not reported (yet).
        reset_time_seconds: Seconds until the whole limit is available again if nothing more is taken.
        limit_tokens: The most tokens of any 60 seconds.
        limit_requests: The most locks of any 60 seconds.
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
