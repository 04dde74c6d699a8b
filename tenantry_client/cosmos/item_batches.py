"""Transactional batches: operations in azure-cosmos's form, and the error that names the one that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenantry_client.cosmos.exceptions import CosmosBatchOperationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenantry_client.cosmos.answers import ResponseHeaders

type BatchStep = tuple[str, tuple[Any, ...]] | tuple[str, tuple[Any, ...], dict[str, Any]]

BATCH_HEAD: Final = (
    "x-ms-cosmos-is-batch-request: True\r\nx-ms-cosmos-batch-atomic: True\r\n"
    "x-ms-cosmos-batch-continue-on-error: False\r\ncontent-type: application/json\r\n"
)
_FAILED: Final = 400
_FAILED_BY_ANOTHER: Final = 424
_WORDS: Final = {
    400: "BAD_REQUEST - Request being sent is invalid.",
    401: "UNAUTHORIZED - The input authorization token can't serve the request.",
    403: "FORBIDDEN",
    404: "NOT_FOUND - Entity with the specified id does not exist in the system.",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT - Entity with the specified id already exists in the system.",
    410: "GONE",
    412: "PRECONDITION_FAILED - Operation cannot be performed because one of the specified precondition is "
    "not met",
    413: "REQUEST_ENTITY_TOO_LARGE - Document size exceeds limit.",
    424: "FAILED_DEPENDENCY - There is a failure in the transactional batch.",
    429: "TOO_MANY_REQUESTS",
    449: "RETRY_WITH - Conflicting request to resource has been attempted. Retry to avoid conflicts.",
}
_ARGUMENTS: Final = {"create": 1, "upsert": 1, "read": 1, "delete": 1, "replace": 2, "patch": 2}


def render_batch(steps: Sequence[BatchStep]) -> list[dict[str, Any]]:
    """Write the operations as the service reads them.

    Raises:
        IndexError: A step has no arguments.
        AttributeError: A step is of no kind that there is, or has other arguments than its kind.
    """
    return [_render(index, step) for index, step in enumerate(steps)]


def _render(index: int, step: BatchStep) -> dict[str, Any]:
    if len(step) < 2:  # noqa: PLR2004 - its kind, its arguments, its keywords
        raise IndexError(f"Operation {index} in batch is missing a field.")
    kind, arguments = str(step[0]).lower(), step[1]
    options: Mapping[str, Any] = step[2] if len(step) > 2 else {}  # noqa: PLR2004 - its kind, its arguments, its keywords
    if _ARGUMENTS.get(kind) != len(arguments):
        raise AttributeError(
            f"Operation type or args passed in not recognized for operation with index {index}."
        )
    rendered: dict[str, Any] = {"operationType": kind.capitalize()}
    if kind in {"create", "upsert"}:
        rendered["resourceBody"] = arguments[0]
    else:
        rendered["id"] = arguments[0]
    if kind == "replace":
        rendered["resourceBody"] = arguments[1]
    if kind == "patch":
        rendered["resourceBody"] = {"operations": arguments[1]}
        if options.get("filter_predicate") is not None:
            rendered["resourceBody"]["condition"] = options["filter_predicate"]
    if options.get("if_match_etag") is not None:
        rendered["ifMatch"] = options["if_match_etag"]
    elif options.get("if_none_match_etag") is not None:
        rendered["ifNoneMatch"] = options["if_none_match_etag"]
    return rendered


def check_batch(results: list[dict[str, Any]], headers: ResponseHeaders) -> None:
    """Refuse the results of a batch that was rolled back.

    Raises:
        CosmosBatchOperationError: One of its operations failed.
    """
    statuses = [int(result["statusCode"]) for result in results]
    if all(status < _FAILED for status in statuses):
        return
    causes = [
        (index, status)
        for index, status in enumerate(statuses)
        if status >= _FAILED and status != _FAILED_BY_ANOTHER
    ]
    index, status = causes[-1] if causes else (0, 0)
    words = _WORDS.get(status, str(status))
    raise CosmosBatchOperationError(
        error_index=index,
        headers=headers,
        status_code=status,
        message=f"There was an error in the transactional batch on index {index}. Error message: {words}",
        operation_responses=results,
    )
