"""Queries and replies about exports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from shared.http.models import QueryModel, ReplyModel
from shared.http.paging import PageQuery


class ExportQuery(PageQuery):
    """Query of an export.

    Attributes:
        cursor: The `next_cursor` of the page before; without it, the export begins.
    """

    cursor: str | None = Field(None, max_length=4096)


class ExportedBlobQuery(QueryModel):
    """Some of a blob to export.

    Attributes:
        name: The blob's name, as the export lists it.
        container: The container that it is in, as the export lists it after `blobs:`.
        offset: The first byte that is wanted; `next_offset` of the part before.
    """

    name: str = Field(min_length=1, max_length=1024)
    container: Literal["logs", "jobs", "content"] = "logs"
    offset: int = Field(0, ge=0, le=2**53)


class ExportedBlob(ReplyModel):
    """A blob without its content.

    Attributes:
        name: The blob's name.
        size: Its size in bytes.
    """

    name: str
    size: int


class ExportedThing(ReplyModel):
    """One thing that the tenant owns.

    Attributes:
        container: Where it is stored.
        item: A stored item, whole but for what a key could be told from; null for a blob.
        blob: A blob, whose content has its own route; null for an item.
    """

    container: str
    item: dict[str, Any] | None = None
    blob: ExportedBlob | None = None


class ExportedBlobReply(ReplyModel):
    """Some of a blob's bytes.

    Attributes:
        name: The blob's name.
        size: Size of the whole blob, in bytes.
        offset: The first byte that is shown.
        content: The bytes, in base64; 1 MiB at most.
        next_offset: The offset of the next part; null at the end.
    """

    name: str
    size: int
    offset: int
    content: str
    next_offset: int | None
