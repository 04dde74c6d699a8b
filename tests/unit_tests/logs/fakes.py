"""A blob store in memory that fails and waits as it is told, and log lines."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from functions.logs.chunks import BlobPath, read_lines
from shared.errors import DependencyUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

DAY = "2026-01-31"
STAMP = "20260131T103000000000Z"


class FakeBlobs:
    """Blobs by name; uploads whose name contains one of `failing` fail."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.failing: set[str] = set()
        self.uploads: list[str] = []
        self.reads: list[str] = []
        self.before_read: Callable[[], None] = lambda: None
        self.before: Callable[[str], Awaitable[None]] | None = None

    async def upload(self, name: str, path: Path) -> None:
        self.uploads.append(name)
        if self.before is not None:
            await self.before(name)
        if any(part in name for part in self.failing):
            raise DependencyUnavailableError("Blob Storage")
        content = await asyncio.to_thread(path.read_bytes)
        assert self.blobs.setdefault(name, content) == content, "its name says what is in it"

    async def read(self, name: str) -> bytes | None:
        self.reads.append(name)
        self.before_read()
        return self.blobs.get(name)

    async def exists(self, name: str) -> bool:
        return name in self.blobs


def lines_of(blobs: Mapping[str, bytes]) -> dict[str, str]:
    """Return the lines of all chunks by owner and day, each chunk's in their order."""
    found: dict[str, str] = {}
    for name, content in sorted(blobs.items()):
        path = BlobPath.parse(name)
        place = f"{path.owner}/{path.day.isoformat()}"
        found[place] = found.get(place, "") + b"".join(read_lines(path, content)).decode()
    return found


def line(tenant: str | None, at: str = "2026-01-31T10:00:00+00:00", level: str = "INFO") -> str:
    """Write a log line as the formatter does."""
    fields = {
        "timestamp": at,
        "level": level,
        "logger": "functions.x",
        "message": "Hello",
        "app": "tenantry",
        "request_id": None,
        "tenant_id": tenant,
    }
    return json.dumps(fields) + "\n"


def rotated(folder: Path, content: str, instance: str = "vm-1", stamp: str = STAMP) -> Path:
    """Put a rotated file into the folder."""
    path = folder / f"tenantry-{instance}.{stamp}.jsonl"
    path.write_text(content)
    return path
