"""Requests and replies about tenants."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, model_validator

from shared.http.models import ReplyModel, RequestModel, VersionedReply
from shared.http.paging import PageQuery
from shared.tenancy.context import TENANT_ID_PATTERN, Role
from shared.tenancy.store import TenantStatus, Tier
from shared.tokens.limits import TenantLimits
from shared.validation import refuse_value


class CreateTenantRequest(RequestModel):
    """The tenant to create.

    Attributes:
        tenant_id: Id of the tenant: unique without regard to case, and never free again. Some ids are
            reserved.
        name: Name of the tenant, for people.
        tier: Tier that decides its limits; `own` has those of `free` until the administrator gives it others.
    """

    tenant_id: str = Field(pattern=TENANT_ID_PATTERN)
    name: str = Field(min_length=1, max_length=200)
    tier: Tier = Field(Tier.FREE, strict=False)


class UpdateTenantRequest(RequestModel):
    """A change of a tenant: what is left out stays as it is, and something has to change.

    Attributes:
        name: The new name.
        tier: The new tier; its limits are in force within 30 s.
        status: `suspended` locks the tenant out, within 30 s everywhere; `active` lets it in again.
    """

    name: str | None = Field(None, min_length=1, max_length=200)
    tier: Tier | None = Field(None, strict=False)
    status: Literal["active", "suspended"] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> UpdateTenantRequest:
        if self.name is None and self.tier is None and self.status is None:
            raise refuse_value("at least one of name, tier and status is required")
        return self


class TenantPageQuery(PageQuery):
    """Query of tenants, which are sorted by id.

    Attributes:
        prefix: The beginning of their ids or of their names, without regard to case.
    """

    prefix: str | None = Field(None, min_length=1, max_length=200)


class PurgeReply(ReplyModel):
    """Progress of a tenant's purge.

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


class TenantReply(VersionedReply):
    """A tenant as the administrator sees it; one that was purged has no name any more.

    Attributes:
        tenant_id: Its id.
        name: Its name, for people.
        tier: The tier that decides its limits.
        status: Whether its credentials are admitted: only those of an `active` one are.
        created_at: When it was created.
    """

    tenant_id: str
    name: str
    tier: Tier
    status: TenantStatus
    created_at: datetime


class CallerReply(ReplyModel):
    """`GET /me`: the caller, as its credential proves it.

    Attributes:
        role: What the credential may do.
        tenant_id: Its tenant; null for the platform's administrator who acts for none.
        tier: The tenant's tier; null for the administrator who acts for none.
        key_id: The key that was presented; null where a user token or the administrator's key was.
        user_id: The one user for whom it acts; null where it may name any.
        limits: The token limits of the tenant that are in force now.
    """

    role: Role
    tenant_id: str | None
    tier: Tier | None
    key_id: str | None
    user_id: str | None
    limits: TenantLimits | None


class TenantStateReply(TenantReply):
    """A tenant, or what is known of one that was purged.

    Attributes:
        purge: Progress of its purge; null where none was asked for.
    """

    purge: PurgeReply | None = None
