"""Base models of the HTTP edge: paths, queries and bodies that come in, replies that go out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class RequestModel(BaseModel):
    """Body that a caller sends: frozen, strict about types, refusing fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class ReplyModel(BaseModel):
    """Body that a caller gets."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    def headers(self) -> dict[str, str]:
        """Return what the reply also says as headers."""
        return {}


class VersionedReply(ReplyModel):
    """A stored thing; its `etag` is also sent as the ETag header."""

    etag: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the ETag."""
        return {"etag": self.etag} if self.etag else {}


class AcceptedReply(ReplyModel):
    """Work that was accepted; where to look for it is also sent as the Location header."""

    status_url: str

    def headers(self) -> dict[str, str]:
        """Return the Location."""
        return {"location": self.status_url}


class PathModel(BaseModel):
    """Path parameters: texts, read into the types that the fields declare."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class QueryModel(BaseModel):
    """Query parameters: texts, read into the types that the fields declare."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TenantPath(PathModel):
    """Path of a route below one tenant, for its own administrators and the platform's."""

    tenant_id: str
