"""Uploads over a connection of their own each, none that a pause has broken. Imported when first used."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceModifiedError
from azure.storage.blob import BlobBlock, ContentSettings

from shared.blob.attempts import AttemptFailedError
from shared.blob.file_content import FileContent, open_state
from shared.blob.sdk import classify, open_client, read_error_code
from shared.errors import ConfigurationError
from shared.resilience.azure_transport import OneAttemptTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core.pipeline.transport import AsyncHttpTransport
    from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

    from shared.blob.attempts import BlobAccount, FileUpload

_CONTENT_TYPES = {"none": "application/octet-stream", "gzip": "application/gzip"}
_BUFFERED_BYTES = 2 * 1024 * 1024
"""What is not larger is sent by one request; what is compressed on its way by one for each block of this."""

_STREAMED_BYTES = 64 * 1024 * 1024
_EXISTS = {"BlobAlreadyExists", "ConditionNotMet"}


class FreshConnections:
    """One container of an account, with a new connection for each attempt.

    Args:
        container: The container's name.
        account: The account.
        create_container: Whether the container is made where there is none.
        open_transport: Opens a connection.
    """

    def __init__(
        self,
        container: str,
        account: BlobAccount,
        *,
        create_container: bool,
        open_transport: Callable[[], AsyncHttpTransport[Any, Any]] = OneAttemptTransport,
    ) -> None:
        self._open_transport = open_transport
        self._container = container
        self._account = account
        self._credential = account.credential
        self._creates = create_container
        self._open = AsyncExitStack()
        # One thread, so that one has what it read last: each would keep a block's memory of its own.
        self._reader = ThreadPoolExecutor(1, "upload-reader")
        self._open.callback(self._reader.shutdown)

    async def put(self, upload: FileUpload) -> None:
        """Upload once; the store has it, whole, when this returns.

        Raises:
            AttemptFailedError: The store did not take it.
            ConfigurationError: The container is to be made, and the name is none that one can have.
            FileNotFoundError: The file is gone.
        """
        try:
            async with self._open_client() as client:
                container = client.get_container_client(self._container)
                if self._creates:
                    await self._create(container)
                await self._send(container, upload)
        except AzureError as error:
            raise _describe(error) from error

    async def close(self) -> None:
        """Close the identity, if it was opened here."""
        await self._open.aclose()

    def _open_client(self) -> BlobServiceClient:
        if self._credential is None and self._account.connection_string is None:
            from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # loads when first used

            own = DefaultAzureCredential()
            self._open.push_async_callback(own.close)
            self._credential = own
        account = self._account
        transport = self._open_transport()
        return open_client(
            account.connection_string, account.url, self._credential, transport, _BUFFERED_BYTES
        )

    async def _create(self, container: ContainerClient) -> None:
        try:
            await container.create_container()
        except ResourceExistsError:
            pass
        except HttpResponseError as error:
            if read_error_code(error) == "InvalidResourceName":
                raise ConfigurationError(["container_name"]) from error
            raise
        self._creates = False

    async def _send(self, container: ContainerClient, upload: FileUpload) -> None:
        file, _ = await asyncio.to_thread(open_state, upload.path)
        with file:
            content = FileContent(file, upload.size, upload.compression, self._reader)
            blob = container.get_blob_client(upload.name)
            settings = ContentSettings(content_type=_CONTENT_TYPES[upload.compression])
            try:
                if content.length is None or content.length <= _BUFFERED_BYTES:
                    await blob.upload_blob(
                        content,  # type: ignore[arg-type]  # the SDK awaits what an asynchronous read returns
                        length=content.length,
                        overwrite=upload.overwrite,
                        content_settings=settings,
                    )
                else:
                    await _stream(blob, content, settings, overwrite=upload.overwrite)
            except (ResourceExistsError, ResourceModifiedError) as error:
                if upload.overwrite or read_error_code(error) not in _EXISTS:
                    raise
                # its name says what is in it: it was uploaded before


async def _stream(
    blob: BlobClient, content: FileContent, settings: ContentSettings, *, overwrite: bool
) -> None:
    """Send blocks that are read while they are sent: few requests, and no block is ever in memory whole."""
    left = content.length or 0
    blocks: list[BlobBlock] = []
    while left:
        length = min(left, _STREAMED_BYTES)
        block = BlobBlock(uuid4().hex)  # nobody else's, should somebody upload the same file now
        pieces = content.pieces(length)
        await blob.stage_block(block.id, pieces, length=length)  # type: ignore[arg-type]  # it is passed on
        blocks.append(block)
        left -= length
    condition: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
    await blob.commit_block_list(blocks, content_settings=settings, **condition)


def _describe(error: AzureError) -> AttemptFailedError:
    transient = classify(error)
    if not isinstance(error, HttpResponseError):
        return AttemptFailedError("does not answer", is_final=transient is None)
    code = read_error_code(error)
    reason = f"refused the request with {error.status_code}" + (f" {code}" if code else "")
    return AttemptFailedError(reason, is_final=transient is None, retry_after=_retry_after(error))


def _retry_after(error: HttpResponseError) -> float:
    text = str(getattr(error.response, "headers", {}).get("retry-after", ""))
    return float(text) if text.isdecimal() else 0.0
