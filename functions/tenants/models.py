"""What callers send and get about tenants."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from shared.http import ParameterModel, ReplyModel, RequestModel, VersionedReply
from shared.tenancy.context import TENANT_ID_PATTERN
from shared.tenancy.store import TenantStatus, Tier


class CreateTenantRequest(RequestModel):
    """`POST /tenants`."""

    tenant_id: str = Field(pattern=TENANT_ID_PATTERN)
    name: str = Field(min_length=1, max_length=200)
    tier: Tier = Field(Tier.FREE, strict=False)


class TenantPage(ParameterModel):
    """`GET /tenants`: `cursor` is the `next_cursor` of the page before."""

    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, max_length=200)


class TenantReply(VersionedReply):
    """A tenant as the administrator sees it."""

    tenant_id: str
    name: str
    tier: Tier
    status: TenantStatus
    created_at: datetime


class TenantListReply(ReplyModel):
    """One page of tenants."""

    items: list[TenantReply]
    next_cursor: str | None
