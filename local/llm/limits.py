"""Tokens and requests per minute, judged as Azure OpenAI judges them, for the models that have a limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from local.llm.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE = 60.0
_SLICE = 10.0
"""Requests per minute are judged over so many seconds: a burst of all of them at once is refused."""


class Limit(BaseModel):
    """A limit per minute of one model or, with None, of every model by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    tokens_per_minute: int | None = Field(default=None, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)


@dataclass(slots=True)
class _Window:
    """A window's sum; it begins with the first request after the last one."""

    seconds: float
    began: float = -math.inf
    used: int = 0

    def at(self, now: float) -> _Window:
        if now - self.began >= self.seconds:
            self.began, self.used = now, 0
        return self

    def left_seconds(self, now: float) -> float:
        return max(0.0, self.began + self.seconds - now)


class Limits:
    """The limits in force and what they have let through."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits: dict[str | None, Limit] = {}
        self._tokens: dict[str, _Window] = {}
        self._requests: dict[str, _Window] = {}

    def put(self, limit: Limit) -> None:
        """Put a limit into force, in the place of the model's last one."""
        self._limits[limit.model] = limit

    def clear(self) -> None:
        """Lift all limits and forget what they let through."""
        self._limits.clear()
        self._tokens.clear()
        self._requests.clear()

    def listed(self) -> list[dict[str, Any]]:
        """List the limits."""
        return [limit.model_dump() for limit in self._limits.values()]

    def admit(self, model: str, tokens: int) -> dict[str, str]:
        """Count a request at its arrival and give the headers that tell what is left.

        Args:
            model: What is asked.
            tokens: What the request may need: its prompt and the most that its answer may have.

        Raises:
            RefusedError: 429, over the limit; a refused request counts for nothing.
        """
        limit = self._limits.get(model) or self._limits.get(None)
        if limit is None:
            return {}
        now = self._clock()
        by_tokens = self._tokens.setdefault(model, _Window(_MINUTE)).at(now)
        by_requests = self._requests.setdefault(model, _Window(_SLICE)).at(now)
        requests = _per_slice(limit.requests_per_minute)
        if requests is not None and by_requests.used + 1 > requests:
            raise _exceeded("call", limit, model, by_requests.left_seconds(now))
        if limit.tokens_per_minute is not None and by_tokens.used + tokens > limit.tokens_per_minute:
            raise _exceeded("token", limit, model, by_tokens.left_seconds(now))
        by_tokens.used += tokens
        by_requests.used += 1
        return _headers(limit, by_tokens.used, by_requests.used, requests)


def _per_slice(requests_per_minute: int | None) -> int | None:
    return None if requests_per_minute is None else max(1, int(requests_per_minute * _SLICE / _MINUTE))


def _headers(limit: Limit, tokens: int, requests: int, per_slice: int | None) -> dict[str, str]:
    headers = {}
    if limit.tokens_per_minute is not None:
        headers["x-ratelimit-limit-tokens"] = str(limit.tokens_per_minute)
        headers["x-ratelimit-remaining-tokens"] = str(limit.tokens_per_minute - tokens)
    if per_slice is not None:
        headers["x-ratelimit-limit-requests"] = str(limit.requests_per_minute)
        headers["x-ratelimit-remaining-requests"] = str(per_slice - requests)
    return headers


def _exceeded(what: str, limit: Limit, model: str, wait: float) -> RefusedError:
    milliseconds = math.ceil(wait * 1000)
    seconds = math.ceil(wait)
    kind, unit, most = (
        ("tokens", "tokens per min (TPM)", limit.tokens_per_minute)
        if what == "token"
        else ("requests", "requests per min (RPM)", limit.requests_per_minute)
    )
    return RefusedError(
        f"Rate limit reached for {model} on {unit}: Limit {most}. Please try again in {milliseconds}ms.",
        None,
        "rate_limit_exceeded",
        status=429,
        kind=kind,
        headers={
            "retry-after": str(seconds),
            "retry-after-ms": str(milliseconds),
            f"x-ratelimit-limit-{kind}": str(most),
            f"x-ratelimit-remaining-{kind}": "0",
            f"x-ratelimit-reset-{kind}": str(seconds),
        },
        azure={
            "code": "429",
            "message": f"Requests to the ChatCompletions_Create Operation have exceeded {what} rate limit of "
            "your "
            f"current local pricing tier. Please retry after {seconds} seconds.",
        },
    )
