"""Errors of responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from shared.errors import JsonValue


class ResponseNotFoundError(NotFoundError):
    """No such response for this tenant, or user."""

    def __init__(self, response_id: str) -> None:
        super().__init__(f"Response with id '{response_id}' not found.", {"response_id": response_id})


class PreviousResponseError(ValidationError):
    """The response that another one is to go on with is not there, or has no answer; `detail` says which."""

    def __init__(self, response_id: str, problem: str, code: str | None = None) -> None:
        detail: dict[str, JsonValue] = {
            "response_id": response_id,
            "fields": {"body.previous_response_id": problem},
        }
        if code is not None:
            detail["code"] = code
        super().__init__(f"Previous response with id '{response_id}' {problem}.", detail)


class OperationReusedError(ValidationError):
    """The Idempotency-Key stands for a response to another request, which is kept longer than the key is."""

    def __init__(self) -> None:
        problem = "was used with another request"
        super().__init__(f"The Idempotency-Key {problem}", {"fields": {"header.idempotency-key": problem}})


class ReferencedItemError(ValidationError):
    """An item that the input refers to is not there."""

    def __init__(self, item_id: str, path: str) -> None:
        super().__init__(
            f"Item with id '{item_id}' not found.", {"fields": {path: "is no item that is stored"}}
        )


class ResponseNotCancellableError(ValidationError):
    """The response cannot be cancelled: it is over, or is not made in the background."""

    def __init__(self, response_id: str, problem: str) -> None:
        super().__init__(
            f"Response '{response_id}' {problem}: it cannot be cancelled", {"response_id": response_id}
        )


class ResponseNotFollowedError(ValidationError):
    """The response has no stored events: it is not made in the background as a stream."""

    def __init__(self, response_id: str) -> None:
        problem = "is for responses that are created with background and stream"
        super().__init__(
            f"Response '{response_id}' cannot be followed: stream {problem}",
            {"fields": {"query.stream": problem}},
        )
