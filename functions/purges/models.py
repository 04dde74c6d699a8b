"""Reply to a request for a purge."""

from __future__ import annotations

from datetime import datetime

from shared.http.models import AcceptedReply, ReplyModel, VersionedReply
from shared.tenancy.store import TenantStatus, Tier


class PurgeProgressReply(ReplyModel):
    """Progress of a purge.

    Attributes:
        closed_at: Since when no credential of the tenant's is given out.
        removed: Items and blobs removed so far, by container.
        counts: The last count of what is left, by container: zeros are the proof.
        finished_at: Since when nothing is left, nor can come.
    """

    requested_at: datetime
    closed_at: datetime | None
    removed: dict[str, int]
    counts: dict[str, int] | None
    counted_at: datetime | None
    finished_at: datetime | None


class PurgeAcceptedReply(VersionedReply, AcceptedReply):
    """A purge that goes on in the background; `status_url` shows the tenant with its progress."""

    tenant_id: str
    name: str
    tier: Tier
    status: TenantStatus
    created_at: datetime
    purge: PurgeProgressReply | None = None

    def headers(self) -> dict[str, str]:
        """Return the ETag and the Location."""
        return VersionedReply.headers(self) | AcceptedReply.headers(self)
