"""Errors of calls to a deployment: one family, each with the status that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

_LONGEST_LINE = 500


class TenantryError(Exception):
    """A call that did not do what was asked.

    Attributes:
        message: One sentence, the deployment's own where it gave one.
        status: The HTTP status that was answered; None where nothing was.
        name: The deployment's name for it, such as `LockNotFoundError`; empty where it gave none.
        detail: Machine-readable facts that belong to the message.
        retry_after: Seconds until another try makes sense, where that is known.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        name: str = "",
        detail: Mapping[str, JsonValue] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.name = name
        self.detail = dict(detail or {})
        self.retry_after = retry_after


class MissingKeyError(TenantryError):
    """No key is set, or it is none that could be sent."""


class MissingExtraError(TenantryError):
    """An optional dependency that is not installed; the message says how to get it."""


class InvalidRequestError(TenantryError):
    """An argument that the deployment does not take (400, 422); `detail` names the fields."""


class InvalidPromptFileError(TenantryError):
    """A file that is no prompt that could be saved; the message says why, in one line of 500 characters."""

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}...")


class CredentialError(TenantryError):
    """No or no valid key or token (401)."""


class ForbiddenError(TenantryError):
    """A valid key whose role may not do this (403)."""


class NoSuchLockError(TenantryError):
    """No lock of this application, or one older than 24 hours (404)."""


class TooManyRequestsError(TenantryError):
    """More requests than the deployment takes of this tenant (429), after three attempts."""


class OutOfReachError(TenantryError):
    """No usable answer: three attempts failed, or so many calls before that none is made now."""


class NoAnswerInTimeError(OutOfReachError):
    """No answer within the time that a call may take."""


class OverlongAnswerError(OutOfReachError):
    """An answer with more bytes than this call reads."""


class UnexpectedAnswerError(OutOfReachError):
    """An answer that a deployment does not give to this call: a redirect, a proxy's page, a missing route."""
