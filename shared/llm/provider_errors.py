"""Failures of one request to a model's provider, as they are raised before anybody judges them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


class ProviderError(Exception):
    """A request to a provider failed. The provider's own words are in none of them."""


class ProviderStatusError(ProviderError):
    """The answer is a refusal.

    Attributes:
        status: Its status.
        headers: Its headers, looked up without regard to case.
        code: The provider's code of the error, where it tells one.
        parameter: The parameter that it names, where it names one.
    """

    def __init__(self, status: int, headers: Mapping[str, str], code: str | None, parameter: object) -> None:
        super().__init__(f"answered {status}")
        self.status = status
        self.headers = headers
        self.code = code
        self.parameter = parameter

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], content: bytes) -> Self:
        """Read a refusal's body, which is JSON or anything else."""
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        error = body.get("error", body) if isinstance(body, dict) else None
        told = error if isinstance(error, dict) else {}
        code = told.get("code")
        return cls(status, headers, None if code is None else str(code), told.get("param"))


class ProviderConnectionError(ProviderError):
    """No answer came, or it broke off.

    Attributes:
        was_sent: Whether the request may have reached the provider.
    """

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent


class AnswerTooLongError(ProviderError):
    """An answer that has more bytes than any answer has, or that is compressed although nobody asked."""
