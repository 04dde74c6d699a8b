"""What callers send and get about exports."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shared.http.models import ParameterModel, ReplyModel


class ExportPage(ParameterModel):
    """`GET /tenants/{tenant_id}/export`: `cursor` is the `next_cursor` of the page before."""

    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, max_length=4096)


class ExportedBlobQuery(ParameterModel):
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


class ExportReply(ReplyModel):
    """One page of what a tenant owns."""

    items: list[ExportedThing]
    next_cursor: str | None


class ExportedBlobReply(ReplyModel):
    """Some of a blob's bytes, in base64; `next_offset` is None at its end."""

    name: str
    size: int
    offset: int
    content: str
    next_offset: int | None
