"""The failures that a client sees, each with the service's status, code and sub-status."""

from __future__ import annotations

from typing import Final

_CODES: Final[dict[int, str]] = {
    304: "NotModified",
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    424: "FailedDependency",
    429: "429",
    449: "RetryWith",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}


class SubStatus:
    """The sub-status codes that clients act on."""

    PARTITION_KEY_MISMATCH: Final = 1001
    OWNER_NOT_FOUND: Final = 1003
    CROSS_PARTITION_NOT_SERVABLE: Final = 1004
    COLLECTION_RID_MISMATCH: Final = 1024
    CONDITION_NOT_MET: Final = 1110
    REQUEST_RATE: Final = 3200


class CosmosError(Exception):
    """A request that is answered with an error of the service.

    Args:
        status: The HTTP status.
        message: What the client is told.
        substatus: The service's finer code, 0 for none.
        retry_after_ms: How long a throttled client is to wait.
        details: JSON that the client's SDK reads.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        substatus: int = 0,
        retry_after_ms: int | None = None,
        details: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.substatus = substatus
        self.retry_after_ms = retry_after_ms
        self.details = details

    @property
    def code(self) -> str:
        """The name that the body carries for the status."""
        return _CODES.get(self.status, str(self.status))


def bad_request(message: str, substatus: int = 0) -> CosmosError:
    """Build a 400."""
    return CosmosError(400, message, substatus=substatus)


def unsupported(what: str) -> CosmosError:
    """Build the 400 that names what this endpoint does not do."""
    return CosmosError(400, f"{what} is not supported by the local endpoint.")


def not_found(what: str = "Entity with the specified id does not exist in the system.") -> CosmosError:
    """Build a 404 for the resource itself."""
    return CosmosError(404, what)


def owner_not_found() -> CosmosError:
    """Build the 404 for a resource whose database or container does not exist."""
    return CosmosError(404, "Owner resource does not exist", substatus=SubStatus.OWNER_NOT_FOUND)


def conflict(message: str = "Entity with the specified id already exists in the system.") -> CosmosError:
    """Build a 409."""
    return CosmosError(409, message)


def precondition_failed(substatus: int = 0) -> CosmosError:
    """Build a 412."""
    return CosmosError(412, "One of the specified pre-condition is not met", substatus=substatus)


def not_modified() -> CosmosError:
    """Build a 304, which travels as an error because it ends the operation without a result."""
    return CosmosError(304, "")


def not_servable_across_partitions(plan: str) -> CosmosError:
    """Build the 400 at which an SDK carries a query out by its plan, one partition at a time."""
    return CosmosError(
        400,
        "The provided cross partition query can not be directly served by the gateway. This is a first "
        "chance (internal) exception that all newer clients will know how to handle gracefully. This "
        "exception is traced, but unless you see it bubble up as an exception (which only happens on older "
        "SDK clients), then you can safely ignore this message.",
        substatus=SubStatus.CROSS_PARTITION_NOT_SERVABLE,
        details=plan,
    )


def too_large(message: str = "Request size is too large") -> CosmosError:
    """Build a 413."""
    return CosmosError(413, message)
