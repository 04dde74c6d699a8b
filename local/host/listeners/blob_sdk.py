"""A storage account of the Azure SDK behind the blob listener's protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from local.host.listeners.blob import BlobContent, BlobVersion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.storage.blob import BlobProperties
    from azure.storage.blob.aio import BlobServiceClient


class SdkBlobSource:
    """One storage account."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service

    async def list_blobs(self, container: str, prefix: str) -> AsyncIterator[BlobVersion]:
        """Yield the blobs of a container; none where the container is not there."""
        try:
            client = self._service.get_container_client(container)
            async for blob in client.list_blobs(name_starts_with=prefix or None):
                yield BlobVersion(container, blob.name, str(blob.etag).strip('"'))
        except ResourceNotFoundError:
            return

    async def read(self, version: BlobVersion) -> BlobContent | None:
        """Return that version's content, or None if it is there no more."""
        client = self._service.get_blob_client(version.container, version.name)
        try:
            download = await client.download_blob(
                etag=version.etag, match_condition=MatchConditions.IfNotModified
            )
            content = await download.readall()
        except (ResourceNotFoundError, ResourceModifiedError):
            return None
        return BlobContent(
            content=content,
            uri=client.url,
            properties_json=json.dumps(_properties(download.properties, len(content))),
            metadata_json=json.dumps(dict(download.properties.metadata or {})),
        )

    async def current(self, container: str, name: str) -> BlobVersion | None:
        """Return the version that a blob has now, or None if there is no such blob."""
        try:
            properties = await self._service.get_blob_client(container, name).get_blob_properties()
        except ResourceNotFoundError:
            return None
        return BlobVersion(container, name, str(properties.etag).strip('"'))


def _properties(properties: BlobProperties, length: int) -> dict[str, object]:
    settings = properties.content_settings
    return {
        "BlobType": str(properties.blob_type.value) if properties.blob_type else None,
        "ContentLength": length,
        "Length": length,
        "ContentType": settings.content_type,
        "ContentEncoding": settings.content_encoding,
        "ETag": properties.etag,
        "LastModified": properties.last_modified.isoformat(),
        "CreatedOn": properties.creation_time.isoformat(),
    }
