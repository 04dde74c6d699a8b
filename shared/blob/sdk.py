"""`BlobStore` on azure-storage-blob, behind the one retry layer. Imported when first used."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobServiceClient

from shared.blob.store import BlobInfo, BlobPage, BlobPart
from shared.errors import DependencyUnavailableError, ValidationError
from shared.resilience.azure_transport import OneAttemptTransport
from shared.resilience.policy import Policy, Transient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AsyncHttpTransport
    from azure.storage.blob.aio import BlobClient, ContainerClient

    from shared.resilience.dependency import Dependency

POLICY = Policy(attempt_seconds=60, total_seconds=150, backoff_seconds=0.5)
"""An attempt sends a whole file."""

_BLOCK_BYTES = 4 * 1024 * 1024
_BAD_REQUEST = 400
_NOT_SATISFIABLE = 416
_NO_CURSOR = {"fields": {"query.cursor": "is none that a page had"}}
_LATER = frozenset({408, 429, 500, 502, 503, 504})


def open_client(
    connection_string: str | None,
    account_url: str | None,
    credential: AsyncTokenCredential | None,
    transport: AsyncHttpTransport[Any, Any] | None = None,
    block_bytes: int = _BLOCK_BYTES,
) -> BlobServiceClient:
    """Open a client whose own retries are off, and which holds no more than a block of a file at a time.

    Raises:
        ValueError: Neither a connection string nor an address with a credential is given.
    """
    options: dict[str, Any] = {
        "transport": transport or OneAttemptTransport(),
        "retry_total": 0,
        "max_single_put_size": block_bytes,
        "max_block_size": block_bytes,
    }
    if connection_string is not None:
        return BlobServiceClient.from_connection_string(connection_string, **options)
    if account_url is None or credential is None:
        raise ValueError("an account's URL and a credential, or a connection string")
    return BlobServiceClient(account_url, credential, **options)


def classify(error: BaseException) -> Transient | None:
    """Tell which failures of Blob Storage another attempt may cure."""
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return Transient() if error.status_code in _LATER else None
    lost = (ServiceRequestError, ServiceResponseError, ClientError, ConnectionError)
    return Transient() if isinstance(error, lost) else None


def read_error_code(error: HttpResponseError) -> str:
    """Return the store's own name of a failure, such as `BlobAlreadyExists`; empty where it gave none."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


class SdkBlobStore:
    """One container of the account."""

    def __init__(self, container: ContainerClient, dependency: Dependency) -> None:
        self._container = container
        self._dependency = dependency

    async def upload(self, name: str, path: Path) -> None:
        """Store a file's content under a name that says what it is; what is there stays, being the same."""

        async def attempt() -> None:
            with await asyncio.to_thread(path.open, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                try:
                    await self._blob(name).upload_blob(
                        file,
                        length=size,
                        overwrite=False,
                        content_settings=ContentSettings(content_type="application/gzip"),
                    )
                except ResourceExistsError as error:
                    if read_error_code(error) != "BlobAlreadyExists":
                        raise

        await self._call(attempt)

    async def write(self, name: str, content: bytes) -> None:
        """Store a content under a name, over whatever had it."""

        async def attempt() -> None:
            settings = ContentSettings(content_type="application/json")
            await self._blob(name).upload_blob(content, overwrite=True, content_settings=settings)

        await self._call(attempt)

    async def read(self, name: str) -> bytes | None:
        """Return a blob's content, or None where there is none of this name."""

        async def attempt() -> bytes | None:
            try:
                download = await self._blob(name).download_blob()
                return await download.readall()
            except ResourceNotFoundError:
                return None

        return await self._call(attempt)

    async def exists(self, name: str) -> bool:
        """Tell whether there is a blob of this name."""
        return await self._call(lambda: self._blob(name).exists())

    async def page(self, prefix: str, cursor: str | None, limit: int) -> BlobPage:
        """List blobs whose names begin so, in order.

        Raises:
            ValidationError: The cursor is none that a page had.
        """

        async def attempt() -> BlobPage:
            listed = self._container.list_blobs(name_starts_with=prefix, results_per_page=limit)
            pages: Any = listed.by_page(continuation_token=cursor)
            try:
                found = [BlobInfo(blob.name, blob.size) async for blob in await anext(pages)]
            except HttpResponseError as error:
                if cursor is not None and error.status_code == _BAD_REQUEST:
                    raise ValidationError("The cursor is not valid", _NO_CURSOR) from error
                raise
            return BlobPage(tuple(found), pages.continuation_token or None)

        return await self._call(attempt)

    async def read_part(self, name: str, offset: int, length: int) -> BlobPart | None:
        """Return `length` bytes from `offset`, fewer at the end, or None where there is no such blob."""

        async def attempt() -> BlobPart | None:
            try:
                download = await self._blob(name).download_blob(offset=offset, length=length)
                found = download.properties
                # "bytes 0-3/10"; a blob without content has no range, and its size is what was asked for
                size = int(found.content_range.rpartition("/")[2]) if found.content_range else found.size
                return BlobPart(await download.readall(), size)
            except ResourceNotFoundError:
                return None
            except HttpResponseError as error:
                if error.status_code != _NOT_SATISFIABLE:
                    raise
                properties = await self._blob(name).get_blob_properties()
                return BlobPart(b"", properties.size)  # there is nothing at, or after, the offset

        return await self._call(attempt)

    async def delete(self, name: str) -> bool:
        """Remove a blob; tell whether there was one."""

        async def attempt() -> bool:
            try:
                await self._blob(name).delete_blob(delete_snapshots="include")
            except ResourceNotFoundError:
                return False
            return True

        return await self._call(attempt)

    async def check(self) -> None:
        """Ask for the container, which proves that the account answers and has it."""

        async def attempt() -> None:
            await self._container.get_container_properties()

        await self._call(attempt)

    def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(name)

    async def _call[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._dependency.call(attempt)
        except AzureError as error:
            status = getattr(error, "status_code", None)
            reason = "does not answer" if status is None else f"refused the request with {status}"
            raise DependencyUnavailableError(self._dependency.name, reason) from error
