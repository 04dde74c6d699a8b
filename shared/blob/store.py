"""What the app asks of a blob store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class BlobStore(Protocol):
    """One container of blobs."""

    async def upload(self, name: str, path: Path) -> None:
        """Store a file's content under a name, over whatever had it; memory does not grow with the file.

        Raises:
            DependencyUnavailableError: The store does not take it.
        """
        ...

    async def read(self, name: str) -> bytes | None:
        """Return a blob's content, or None where there is none of this name."""
        ...

    async def exists(self, name: str) -> bool:
        """Tell whether there is a blob of this name."""
        ...
