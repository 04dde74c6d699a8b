"""Port to a blob store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob without its content; `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class BlobPage:
    """Some blobs in order of their names; `cursor` leads to the next ones, None where there are none."""

    blobs: tuple[BlobInfo, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class BlobPart:
    """Some of a blob's bytes; `size` is the whole blob's."""

    content: bytes
    size: int


class BlobStore(Protocol):
    """One container of blobs."""

    async def upload(self, name: str, path: Path) -> None:
        """Store a file's content under a name that says what it is: one that is there is the same, and stays.

        Memory does not grow with the file.

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
