"""Port to a container that files are put into, one attempt at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from azure.core.credentials_async import AsyncTokenCredential

    from shared.blob.file_content import Compression


@dataclass(frozen=True, slots=True)
class FileUpload:
    """A file as it is to be stored.

    Attributes:
        name: The blob's name.
        size: How many of the file's bytes are stored, from its beginning.
        overwrite: Whether a blob of this name is replaced; where it is not, its name says what is in it, and
            one that is there is this one.
    """

    path: Path
    name: str
    size: int
    compression: Compression
    overwrite: bool


@dataclass(frozen=True, slots=True)
class BlobAccount:
    """Storage account.

    Attributes:
        url: Its address, for an identity; None where there is a connection string.
        credential: The identity; `DefaultAzureCredential` where None.
    """

    url: str | None
    connection_string: str | None = field(repr=False)
    credential: AsyncTokenCredential | None


class AttemptFailedError(Exception):
    """One attempt to upload failed.

    Attributes:
        is_final: Whether another attempt would fail like it.
        retry_after: Seconds that the store asked to wait.
    """

    def __init__(self, reason: str, *, is_final: bool, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.retry_after = retry_after


class UploadAttempts(Protocol):
    """Container that files can be put into."""

    async def put(self, upload: FileUpload) -> None:
        """Try once to store a file; raises `AttemptFailedError`."""
        ...

    async def close(self) -> None:
        """Close what was opened."""
        ...
