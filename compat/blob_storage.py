"""`AsyncBlobStorageUploader` of the common library document."""

from __future__ import annotations

from shared.blob.uploader import AsyncBlobStorageUploader

__all__ = ["AsyncBlobStorageUploader"]
