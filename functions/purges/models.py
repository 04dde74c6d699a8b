"""Reply to a request for a purge."""

from __future__ import annotations

from datetime import datetime

from shared.http.models import AcceptedReply, ReplyModel, VersionedReply
from shared.tenancy.store import TenantStatus, Tier


class PurgeProgressReply(ReplyModel):
    """Progress of a purge.

    Attributes:
        requested_at: When the purge was asked for.
        closed_at: Since when no credential of the tenant's is given out.
        removed: Items and blobs removed so far, by container.
        counts: The last count of what is left, by container: zeros are the proof.
        counted_at: When it was last counted what is left.
        finished_at: Since when nothing is left, nor can come.
    """

    requested_at: datetime
    closed_at: datetime | None
    removed: dict[str, int]
    counts: dict[str, int] | None
    counted_at: datetime | None
    finished_at: datetime | None


class PurgeAcceptedReply(VersionedReply, AcceptedReply):
    """A purge that goes on in the background.

    Attributes:
        tenant_id: Its id.
        name: Its name, for people.
        tier: The tier that decides its limits.
        status: Whether its credentials are admitted: only those of an `active` one are.
        created_at: When it was created.
        purge: How far the purge is.
    """

    tenant_id: str
    name: str
    tier: Tier
    status: TenantStatus
    created_at: datetime
    purge: PurgeProgressReply | None = None

    def headers(self) -> dict[str, str]:
        """Return the ETag and the Location."""
        return VersionedReply.headers(self) | AcceptedReply.headers(self)
