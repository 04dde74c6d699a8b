"""Errors of the client where azure-cosmos is not installed, with its names and attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUB_STATUS = "x-ms-substatus"


class AnswerOfError(Protocol):
    """An answer as an error needs it."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        ...

    @property
    def reason(self) -> str:
        """The words beside the status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        ...


class AzureError(Exception):
    """Any failure of a request."""

    def __init__(self, message: object = None, *_: object, **details: Any) -> None:  # noqa: ANN401 - whatever the caller or the service has
        super().__init__(str(message))
        self.message = str(message)
        self.inner_exception: BaseException | None = details.get("error")


class ServiceRequestError(AzureError):
    """The request was not sent: no connection could be had."""


class ServiceResponseError(AzureError):
    """The request was sent, and no answer came that could be read: it may have had its effect."""


class DecodeError(AzureError):
    """An answer whose body is no JSON."""


class HttpResponseError(AzureError):
    """An answer that tells of a failure.

    Attributes:
        response: The answer.
        status_code: Its status.
        reason: The words beside the status.
    """

    def __init__(self, message: object = None, response: AnswerOfError | None = None, **details: Any) -> None:  # noqa: ANN401 - whatever the caller or the service has
        super().__init__(message, **details)
        self.response = response
        self.status_code: int | None = None if response is None else response.status_code
        self.reason: str | None = None if response is None else response.reason


class ResourceExistsError(HttpResponseError):
    """There is a resource of this name already."""


class ResourceNotFoundError(HttpResponseError):
    """There is no such resource."""


class CosmosHttpResponseError(HttpResponseError):
    """An answer of the service that tells of a failure.

    Attributes:
        headers: The answer's headers.
        sub_status: The service's finer code.
        http_error_message: The body.
    """

    def __init__(
        self,
        status_code: int | None = None,
        message: object = None,
        response: AnswerOfError | None = None,
        **details: Any,  # noqa: ANN401 - whatever the caller or the service has
    ) -> None:
        self.headers: Mapping[str, str] = {} if response is None else response.headers
        self.sub_status: int | None = details.pop("sub_status", None)
        self.http_error_message = message
        status = status_code or (0 if response is None else response.status_code)
        if _SUB_STATUS in self.headers:
            self.sub_status = int(self.headers[_SUB_STATUS])
        super().__init__(_told(status, self.sub_status, message), response, **details)
        self.status_code = status


class CosmosResourceNotFoundError(ResourceNotFoundError, CosmosHttpResponseError):
    """404."""


class CosmosResourceExistsError(ResourceExistsError, CosmosHttpResponseError):
    """409."""


class CosmosAccessConditionFailedError(CosmosHttpResponseError):
    """412."""


class CosmosBatchOperationError(HttpResponseError):
    """A transactional batch that was rolled back.

    Attributes:
        error_index: The place of the operation that failed, counted from 0.
        headers: The answer's headers.
        operation_responses: The answer of each operation.
    """

    def __init__(
        self,
        error_index: int | None = None,
        headers: Mapping[str, str] | None = None,
        status_code: int | None = None,
        message: object = None,
        operation_responses: list[dict[str, Any]] | None = None,
    ) -> None:
        self.error_index = error_index
        self.headers = headers or {}
        self.sub_status = int(self.headers[_SUB_STATUS]) if _SUB_STATUS in self.headers else None
        self.http_error_message = message
        self.operation_responses = operation_responses or []
        super().__init__(_told(status_code or 0, self.sub_status, message))
        self.status_code = status_code


class CosmosClientTimeoutError(AzureError):
    """An operation that was not done within the time that its caller gave it."""

    def __init__(self, message: object = None, **details: Any) -> None:  # noqa: ANN401 - whatever the caller or the service has
        super().__init__(message or "The request failed to complete within the given timeout.", **details)
        self.response = None
        self.history = None


def _told(status: int, sub_status: int | None, message: object) -> str:
    finer = "" if sub_status is None else f" Sub-status: {sub_status}"
    return f"Status code: {status}{finer}\n{message}"
