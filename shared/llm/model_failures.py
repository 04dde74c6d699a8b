"""Failures of model calls: which another attempt may cure, which may have to be paid, what is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError

from shared.errors import APIError, ConfigurationError, DependencyTimeoutError, DependencyUnavailableError
from shared.llm.chat_model import (
    FilteredPromptError,
    ModelOutageError,
    ModelUnavailableError,
    PromptRejectedError,
    UnusableAnswerError,
)
from shared.llm.errors import PromptRefusedError
from shared.llm.model_dependencies import NAME
from shared.llm.provider_errors import (
    AnswerTooLongError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
)
from shared.llm.retry_after import read_retry_after
from shared.resilience.policy import Transient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.errors import JsonValue

_UNAUTHORISED = frozenset({401, 403})
_PROMPT_AT_FAULT = frozenset({400, 404, 410, 413, 422})
_TRANSIENT = frozenset({408, 409, 429})
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_NOT_FOUND = 404
_GONE = 410
_BAD_REQUEST = 400
_UNCERTAIN = frozenset({408, 409})
_FILTERED = "content_filter"
_PAID_REFUSALS = frozenset({_FILTERED, "context_length_exceeded"})
"""Azure may charge for a 400 because of the content filter or of the input's length (its page of prices)."""

_MISSING_MODEL_CODES = frozenset({"DeploymentNotFound", "model_not_found", "404", "410"})

CALL_ERRORS = (ProviderError, AzureError, APIError, ValueError)
"""Errors that a call of a model ends with; a ValueError is an answer that is not JSON."""


_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PARAMETER = re.compile(r"[A-Za-z0-9_$-]{1,64}(?:\.[A-Za-z0-9_$-]{1,64}|\[[0-9]{1,6}\]){0,20}")


class ModelCallError(Exception):
    """A failed call as it is logged: its kind, status and code.

    The provider's own words are left out: they may repeat what was said, or a credential.
    """


def classify(error: BaseException) -> Transient | None:
    """Tell which failures of the model another attempt may cure."""
    if isinstance(error, ProviderStatusError):
        if error.status in _TRANSIENT or error.status >= _SERVER_ERRORS:
            throttled = error.status == _TOO_MANY_REQUESTS
            return Transient(read_retry_after(error.headers, throttled=throttled), throttled=throttled)
        return None
    return Transient() if isinstance(error, ProviderConnectionError) else None


@dataclass(slots=True)
class CallWork:
    """Outcome of the attempts of a call.

    Attributes:
        possible: Whether one of them may have made a model work, and be paid for.
        attempts: How many were begun.
        last_error: Why the last one failed; None while it has not, or was ended by its time.
    """

    possible: bool = False
    attempts: int = 0
    last_error: Exception | None = None

    async def attempt[T](self, request: Callable[[], Awaitable[T]]) -> T:
        """Make one attempt."""
        before, self.possible = self.possible, True
        self.attempts += 1
        self.last_error = None
        try:
            return await request()
        except (ProviderError, AzureError, ConfigurationError) as error:
            self.last_error = error
            if _did_no_work(error):
                self.possible = before
            raise


def _did_no_work(error: BaseException) -> bool:
    match error:
        case ProviderStatusError():
            return _is_refused_before_work(error)
        case ProviderConnectionError():
            return not error.was_sent
        case _:
            return isinstance(error, AzureError | ConfigurationError)


def _is_refused_before_work(error: ProviderStatusError) -> bool:
    status = error.status
    is_refusal = _BAD_REQUEST <= status < _SERVER_ERRORS and status not in _UNCERTAIN
    return is_refusal and (status != _BAD_REQUEST or error.code not in _PAID_REFUSALS)


def can_be_asked_elsewhere(error: BaseException) -> bool:
    """Tell whether another deployment may be asked: this one did no work, or says that it failed."""
    status = status_of(error)
    return _did_no_work(error) or (status is not None and status >= _SERVER_ERRORS)


def may_go_elsewhere(failure: APIError, work: CallWork) -> bool:
    """Tell whether the next deployment may be asked after a call that failed."""
    if not isinstance(failure, DependencyUnavailableError | ConfigurationError | ModelUnavailableError):
        return False  # of the prompt, of the answer, or of the time: another one would do no better
    return work.last_error is None or can_be_asked_elsewhere(work.last_error)


def status_of(error: BaseException | None) -> int | None:
    """Return the status that a model answered with, if it did."""
    return error.status if isinstance(error, ProviderStatusError) else None


def code_of(error: ProviderStatusError) -> str | None:
    """Return the provider's code of a failure; whatever does not look like one is none."""
    code = error.code
    return code if code is not None and _CODE.fullmatch(code) else None


def _describe_refusal(error: ProviderStatusError, code: str) -> dict[str, JsonValue]:
    """Return the code of a refusal, and the parameter that it names, by the provider's name for that."""
    detail: dict[str, JsonValue] = {"code": code}
    if isinstance(error.parameter, str) and _PARAMETER.fullmatch(error.parameter):
        detail["param"] = error.parameter
    return detail


def describe_failure(error: Exception, work: CallWork) -> Exception:
    """Return the cause of a call's failure as it may be logged."""
    cause = work.last_error or error
    if not isinstance(cause, ProviderError):
        return cause
    code = code_of(cause) if isinstance(cause, ProviderStatusError) else None
    told = (type(cause).__name__, status_of(cause), code, cause.__cause__ and type(cause.__cause__).__name__)
    return ModelCallError(" ".join(str(fact) for fact in told if fact))


def translate_failure(error: Exception, work: CallWork, model: str) -> APIError:
    """Turn one of `CALL_ERRORS` into the app's error.

    Args:
        error: The error.
        work: Its call's attempts.
        model: The name of the model that was asked for; empty where none was.
    """
    match error:
        case ProviderStatusError():
            is_gone = _is_missing_model(error) and model and not work.possible
            return ModelUnavailableError(model) if is_gone else _refusal(error, worked=work.possible)
        case DependencyUnavailableError() | DependencyTimeoutError() if not work.possible:
            return _outage(error)
        case AzureError():
            return ModelOutageError(NAME, "did not get a credential")
        case APIError():
            return error
        case AnswerTooLongError():
            return UnusableAnswerError("gave an answer that is too long", None)
        case _:
            return UnusableAnswerError("gave an answer that is not JSON", None)


def _outage(error: DependencyUnavailableError | DependencyTimeoutError) -> ModelOutageError:
    asks = isinstance(error, DependencyUnavailableError) and error.asks_for_pause
    reason = "asks for a pause" if asks else "is not available"
    return ModelOutageError(NAME, reason, retry_after=error.retry_after or 1.0, asks_for_pause=asks)


def _refusal(error: ProviderStatusError, *, worked: bool) -> APIError:
    """Turn a status that is not worth another attempt into the app's error.

    Args:
        error: The provider's answer.
        worked: Whether this attempt, or one before it, may have made the model work.
    """
    status = error.status
    if status in _PROMPT_AT_FAULT:
        code = code_of(error) or str(status)
        if code == _FILTERED and worked:
            return FilteredPromptError()
        kind = PromptRefusedError if worked else PromptRejectedError
        return kind(f"The model refused the prompt: {code}", _describe_refusal(error, code))
    reason = f"refused the request with {status}"
    if worked:
        return DependencyUnavailableError(NAME, reason)
    if status in _UNAUTHORISED:
        return ConfigurationError(["AZURE_OPENAI_API_KEY"])
    return ModelOutageError(NAME, reason)


def _is_missing_model(error: ProviderStatusError) -> bool:
    is_missing = error.status in {_NOT_FOUND, _GONE}
    return is_missing and (not error.code or error.code in _MISSING_MODEL_CODES)
