"""The error family: each error knows its HTTP status, and only the edges catch them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

type JsonValue = str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None
type Detail = Mapping[str, JsonValue]


class APIError(Exception):
    """An expected failure: what the caller is told, and whether trying again can help.

    Args:
        message: One sentence for the caller; holds no secret and no other tenant's data.
        detail: Machine-readable facts that belong to the message.
        retry_after: Seconds until another attempt makes sense, where that is known.

    Attributes:
        status: The HTTP status that the edge answers with; nothing else decides by it.
        transient: Whether the same request may succeed later: a queue delivers it again.
        is_outage: Whether something that the app needs is at fault, and said nothing of what was asked: what
            was known before still holds.
    """

    status: ClassVar[int] = 500
    transient: ClassVar[bool] = False
    is_outage: ClassVar[bool] = False

    def __init__(
        self, message: str, detail: Detail | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail: Detail = detail or {}
        self.retry_after = retry_after


class MalformedRequestError(APIError):
    """The body is not JSON, or not the JSON that its headers announce."""

    status = 400


class AuthenticationError(APIError):
    """There is no credential, or it is not valid (any more)."""

    status = 401


class PermissionDeniedError(APIError):
    """The credential is valid, but its role may not do this."""

    status = 403


class NotFoundError(APIError):
    """Nothing is there, or it is another tenant's: the two look the same."""

    status = 404


class RouteNotFoundError(NotFoundError):
    """No route has this path."""


class MethodNotAllowedError(APIError):
    """The path is a route's, but not under this method.

    Attributes:
        allowed: The methods that it has.
    """

    status = 405

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(f"{method} is not one of {', '.join(allowed)}", {"allowed": list(allowed)})


class ConflictError(APIError):
    """The request contradicts what is stored."""

    status = 409


class PreconditionFailedError(APIError):
    """The caller's `If-Match` names a state that is no longer the stored one."""

    status = 412


class PayloadTooLargeError(APIError):
    """The body is larger than this route takes."""

    status = 413


class ValidationError(APIError):
    """A field is missing, unknown or out of its range; `detail` names it."""

    status = 422


class RateLimitError(APIError):
    """A rate was reached: the same request succeeds after `retry_after`."""

    status = 429
    transient = True


class BudgetExceededError(RateLimitError):
    """The tenant's token budget does not admit this call now."""


class InternalError(APIError):
    """A defect of ours; the log has it under the request id."""

    status = 500
    transient = True


class DependencyUnavailableError(APIError):
    """A store, queue or model is down or refuses work.

    Attributes:
        dependency: Its name.
        asks_for_pause: Whether it asked itself to be left alone until `retry_after`, as who is throttled is.
    """

    status = 503
    transient = True
    is_outage = True

    def __init__(
        self,
        dependency: str,
        reason: str = "is not available",
        *,
        retry_after: float = 1.0,
        asks_for_pause: bool = False,
    ) -> None:
        super().__init__(f"{dependency} {reason}", {"dependency": dependency}, retry_after=retry_after)
        self.dependency = dependency
        self.asks_for_pause = asks_for_pause


class ConfigurationError(APIError):
    """The deployment lacks settings; `detail` names them."""

    status = 503
    transient = True
    is_outage = True

    def __init__(self, missing: Sequence[str]) -> None:
        names = ", ".join(missing)
        super().__init__(f"Missing or invalid settings: {names}", {"settings": list(missing)})
        self.missing = tuple(missing)


class DependencyTimeoutError(APIError):
    """A dependency did not answer in time."""

    status = 504
    transient = True
    is_outage = True

    def __init__(self, dependency: str, seconds: float) -> None:
        super().__init__(
            f"{dependency} did not answer within {seconds:g} s", {"dependency": dependency}, retry_after=1.0
        )
        self.dependency = dependency


class DeadlineExceededError(DependencyTimeoutError):
    """The request's own time was over, whatever the dependency would still have answered."""

    def __init__(self, dependency: str) -> None:
        super().__init__(dependency, 0)
        self.message = f"The time for this request was over before {dependency} had answered"
        self.args = (self.message,)
