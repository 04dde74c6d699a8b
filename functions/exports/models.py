"""Queries and replies about exports."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shared.http.models import QueryModel, ReplyModel
from shared.http.paging import PageQuery


class ExportQuery(PageQuery):
    """`GET /tenants/{tenant_id}/export`."""

    cursor: str | None = Field(None, max_length=4096)


class ExportedBlobQuery(QueryModel):
    """`GET /tenants/{tenant_id}/export/blob`: which blob, and from which byte on."""

    name: str = Field(min_length=1, max_length=1024)
    offset: int = Field(0, ge=0, le=2**53)


class ExportedBlob(ReplyModel):
    """A blob without its content; `size` in bytes."""

    name: str
    size: int


class ExportedThing(ReplyModel):
    """One thing that the tenant owns: an item as it is stored, or a blob, whose content has its own route."""

    container: str
    item: dict[str, Any] | None = None
    blob: ExportedBlob | None = None


class ExportedBlobReply(ReplyModel):
    """Some of a blob's bytes, in base64; `next_offset` is None at its end."""

    name: str
    size: int
    offset: int
    content: str
    next_offset: int | None
