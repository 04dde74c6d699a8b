"""`Container` on azure-cosmos or on the client of our own, behind the one retry layer.

Both have the same methods, results and errors. Imported when first used: azure-cosmos costs 0.2 s.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from aiohttp import ClientError
from azure.core import MatchConditions
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import (
    CosmosBatchOperationError,
    CosmosClientTimeoutError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.cosmos.container import (
    ANSWERED_BY,
    BatchFailedError,
    BatchFailure,
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
)
from shared.errors import DependencyUnavailableError, PayloadTooLargeError
from shared.resilience.azure_transport import OneAttemptTransport
from shared.resilience.background import is_in_background
from shared.resilience.policy import Transient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AsyncHttpTransport
    from azure.cosmos.aio import ContainerProxy

    from shared.cosmos.container import BatchOperation, Json, Key, Patch, Query
    from shared.resilience.dependency import Dependency
    from tenantry_client.cosmos.aio import ContainerProxy as FastContainerProxy
    from tenantry_client.cosmos.aio import CosmosClient as FastCosmosClient
    from tenantry_client.cosmos.answers import CosmosDict

type AnyCosmosClient = CosmosClient | FastCosmosClient

_GONE_OR_LATE = frozenset({408, 410, 449, 500, 502, 503, 504})
_PRECONDITION_FAILED = 412
_TOO_MANY_REQUESTS = 429
_TOO_LARGE = 413
_FOR_THE_CALLER = frozenset({404, 409, 412})
_FAILED_DEPENDENCY = 424
_FAILURES = {404: BatchFailure.MISSING, 409: BatchFailure.EXISTS, 412: BatchFailure.CHANGED}
_OK = 200
_MULTIPLE_CHOICES = 300


def open_client(
    endpoint: str,
    credential: str | AsyncTokenCredential,
    transport: AsyncHttpTransport[Any, Any] | None = None,
) -> CosmosClient:
    """Open a client whose own retries are off, down to those of its connections."""
    return CosmosClient(
        endpoint,
        credential,
        transport=transport or OneAttemptTransport(),
        enable_endpoint_discovery=False,  # with it, 503s and failed reads are tried again in each region
        retry_throttle_total=-1,  # 0 means "the default of 9" to the SDK
        retry_total=0,
        retry_connect=0,
        retry_read=0,
        retry_status=0,
    )


def open_fast_client(endpoint: str, credential: str | AsyncTokenCredential) -> FastCosmosClient:
    """Open the client of our own, for a tenth of the CPU; its own retries are off as well."""
    from tenantry_client.cosmos.aio import CosmosClient as Client  # noqa: PLC0415 - loads when it is chosen

    return Client(
        endpoint,
        credential,
        enable_endpoint_discovery=False,
        retry_throttle_total=0,
        retry_connect=0,
        retry_read=0,
    )


def classify(error: BaseException) -> Transient | None:
    """Tell which failures of Cosmos another attempt may cure."""
    if isinstance(error, CosmosBatchOperationError | CosmosHttpResponseError):
        status = error.status_code
        if status == _TOO_MANY_REQUESTS:
            headers = cast("Mapping[str, str]", getattr(error, "headers", None) or {})
            return Transient(float(headers.get("x-ms-retry-after-ms", 0)) / 1000, throttled=True)
        return Transient() if status in _GONE_OR_LATE else None
    lost = (ServiceRequestError, ServiceResponseError, CosmosClientTimeoutError, ClientError, ConnectionError)
    return Transient() if isinstance(error, lost) else None


class SdkContainer:
    """One container of the account.

    A create or a batch whose answer was lost is tried again and may then meet its own item: the repositories
    derive ids so that this is told from a foreign one, and patches that count carry a condition.

    Args:
        proxy: The container of azure-cosmos, or of the client of our own.
        dependency: The one layer that retries.
        background_bucket: Throughput bucket of work in the background; None for no share of its own.
    """

    def __init__(
        self,
        proxy: ContainerProxy | FastContainerProxy,
        dependency: Dependency,
        background_bucket: int | None = None,
    ) -> None:
        # Of both, the types of ours are the narrower ones.
        self._proxy = cast("FastContainerProxy", proxy)
        self._dependency = dependency
        self._background_bucket = background_bucket

    async def read(self, key: Key, item_id: str) -> Json | None:
        """Return the item, or None where none has this id."""
        try:
            found = await self._call(
                key, lambda: self._proxy.read_item(item_id, partition_key=_wire(key), **self._share())
            )
            return _body(found)
        except CosmosResourceNotFoundError:
            return None

    async def create(self, key: Key, body: Json) -> Json:
        """Store a new item.

        Raises:
            ItemExistsError: An item of its id is there.
        """
        try:
            return _body(await self._call(key, lambda: self._proxy.create_item(body, **self._share())))
        except CosmosResourceExistsError as error:
            raise ItemExistsError(str(body["id"])) from error

    async def upsert(self, key: Key, body: Json) -> Json:
        """Store an item, whether or not one with its id is there."""
        return _body(await self._call(key, lambda: self._proxy.upsert_item(body, **self._share())))

    async def replace(self, key: Key, body: Json, etag: str | None) -> Json:
        """Replace the item that has the body's id."""
        item_id = str(body["id"])
        return _body(
            await self._conditional(
                key,
                item_id,
                lambda: self._proxy.replace_item(item_id, body, **_if_match(etag), **self._share()),
            )
        )

    async def patch(self, key: Key, item_id: str, patch: Patch) -> Json:
        """Change an item where it stands."""
        operations = [operation.as_json() for operation in patch.operations]
        options = _if_match(patch.etag) | self._share()
        if patch.condition is not None:
            options["filter_predicate"] = f"from c where {patch.condition}"
        return _body(
            await self._conditional(
                key, item_id, lambda: self._proxy.patch_item(item_id, _wire(key), operations, **options)
            )
        )

    async def delete(self, key: Key, item_id: str, etag: str | None) -> bool:
        """Remove an item; tell whether there was one."""
        try:
            await self._conditional(
                key,
                item_id,
                lambda: self._proxy.delete_item(item_id, _wire(key), **_if_match(etag), **self._share()),
            )
        except ItemNotFoundError:
            return False
        return True

    async def batch(
        self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
    ) -> list[Json]:
        """Do all of the operations or none.

        Raises:
            BatchFailedError: One of them was refused; none was done.
            PayloadTooLargeError: An item is larger than the store takes.
        """
        options = self._share() | ({"no_response": True} if minimal else {})
        try:
            results = await self._call(
                key, lambda: self._proxy.execute_item_batch(_batch_steps(operations), _wire(key), **options)
            )
        except CosmosBatchOperationError as error:
            status = _batch_status(error)
            if status == _TOO_LARGE:
                raise PayloadTooLargeError("The item is larger than the store takes") from error
            raise BatchFailedError(error.error_index, _FAILURES.get(status, BatchFailure.REFUSED)) from error
        answered_by = {ANSWERED_BY: _physical_partition(results.get_response_headers())}
        return [_left_by(result) | answered_by for result in results]

    async def query(self, key: Key, query: Query) -> list[Json]:
        """Return the first `query.limit` results within the key's partition or prefix."""
        parameters: list[dict[str, object]] = [
            {"name": name, "value": value} for name, value in query.parameters.items()
        ]

        async def first_results() -> list[Json]:
            pages = self._proxy.query_items(
                query.text,
                parameters=parameters,
                partition_key=list(key),  # of a single value the SDK would not see that it is a prefix
                max_item_count=query.limit,
                **self._share(),
            )
            found: list[Json] = []
            left = query.max_bytes
            async for item in pages:
                found.append(item)
                if left is not None:
                    left -= len(json.dumps(item))
                if len(found) == query.limit or (left is not None and left <= 0):
                    break
            return found

        return await self._call(key, first_results)

    def _share(self) -> dict[str, Any]:
        """Name the bucket of work in the background, where it has one."""
        if self._background_bucket is None or not is_in_background():
            return {}
        return {"throughput_bucket": self._background_bucket}

    async def _call[T](self, key: Key, attempt: Callable[[], Awaitable[T]]) -> T:
        # Throughput is a partition's: one owner's flood in one container is nobody else's.
        part = f"{self._proxy.id}:{key[0]}"
        try:
            return await self._dependency.call(attempt, part)
        except CosmosBatchOperationError:
            raise
        except CosmosHttpResponseError as error:
            if error.status_code in _FOR_THE_CALLER:
                # A frame of the SDK keeps the error in a variable: with its traceback, that is a circle.
                raise error.with_traceback(None) from None
            if error.status_code == _TOO_LARGE:
                raise PayloadTooLargeError("The item is larger than the store takes") from error
            raise DependencyUnavailableError(
                self._dependency.name, f"refused the request with {error.status_code}"
            ) from error

    async def _conditional[T](self, key: Key, item_id: str, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._call(key, attempt)
        except CosmosResourceNotFoundError as error:
            raise ItemNotFoundError(item_id) from error
        except CosmosHttpResponseError as error:
            if error.status_code == _PRECONDITION_FAILED:
                raise ItemChangedError(item_id) from error
            raise


def _body(answer: CosmosDict) -> Json:
    answer[ANSWERED_BY] = _physical_partition(answer.get_response_headers())
    return answer


def _physical_partition(headers: Mapping[str, str]) -> str | None:
    """Return the id of `{id}:{version}#{lsn}`; several that have answered together are in a list of these."""
    found, _, progress = headers.get("x-ms-session-token", "").partition(":")
    return found if found and progress and "," not in progress else None


def _wire(key: Key) -> str | list[str]:
    return key[0] if len(key) == 1 else list(key)


def _if_match(etag: str | None) -> dict[str, Any]:
    return {} if etag is None else {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _batch_steps(operations: Sequence[BatchOperation]) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Build the steps anew for each attempt: the SDK takes the conditions out of those that it is given."""
    return [_batch_step(operation) for operation in operations]


def _batch_step(operation: BatchOperation) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    options: dict[str, Any] = {} if operation.etag is None else {"if_match_etag": operation.etag}
    match operation.kind:
        case "create" | "upsert":
            return operation.kind, (operation.body,), options
        case "replace":
            return "replace", (operation.item_id, operation.body), options
        case "delete" | "read":
            return operation.kind, (operation.item_id,), options
        case "patch":
            patch = operation.patch
            if patch is None:
                raise ValueError("a patch operation needs its patch")
            if patch.condition is not None:
                options["filter_predicate"] = f"from c where {patch.condition}"
            if patch.etag is not None:
                options["if_match_etag"] = patch.etag
            return "patch", (operation.item_id, [step.as_json() for step in patch.operations]), options


def _left_by(result: dict[str, Any]) -> Json:
    body: Json = result.get("resourceBody") or {}
    return {"_etag": result["eTag"]} if not body and "eTag" in result else body


def _batch_status(error: CosmosBatchOperationError) -> int:
    for response in error.operation_responses:
        status = int(response["statusCode"])
        if status != _FAILED_DEPENDENCY and not _OK <= status < _MULTIPLE_CHOICES:
            return status
    return error.status_code or _FAILED_DEPENDENCY
