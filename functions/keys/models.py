"""Requests and replies about API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from pydantic import Field

from shared.http.models import ReplyModel, RequestModel, TenantPath
from shared.http.paging import PageQuery
from shared.tenancy.context import USER_ID_PATTERN, Role
from shared.tenancy.keys import KEY_ID_PATTERN
from shared.validation import Time

MAX_OVERLAP_SECONDS = 30 * 24 * 3600
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


class KeyStatus(StrEnum):
    """Whether a key works."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class KeyPath(TenantPath):
    """The path of one key."""

    key_id: str = Field(pattern=KEY_ID_PATTERN)


class KeyQuery(PageQuery):
    """`GET /tenants/{tenant_id}/keys`: the cursor is a key's id."""

    cursor: str | None = Field(None, pattern=KEY_ID_PATTERN)


class CreateKeyRequest(RequestModel):
    """`POST /tenants/{tenant_id}/keys`; the administrator's own role cannot be given away.

    Attributes:
        user_id: The one user for whom the key acts: with the role `user` it sees that user's conversations
            and jobs alone, as a user's token does. Without it, a `user` key is a server's and names any user.
    """

    name: str = Field(min_length=1, max_length=200)
    role: Role = Field(Role.USER, strict=False)
    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)
    expires_at: Time | None = Field(None, le=_LAST)


class RotateKeyRequest(RequestModel):
    """`POST /tenants/{tenant_id}/keys/{key_id}/rotate`: the time for which the old key goes on working."""

    overlap_seconds: int = Field(24 * 3600, ge=0, le=MAX_OVERLAP_SECONDS)


class KeyReply(ReplyModel):
    """A new key: `key` is shown this once and stored nowhere."""

    key_id: str
    key: str
    name: str
    role: Role
    user_id: str | None
    created_at: datetime
    expires_at: datetime | None


class KeySummary(ReplyModel):
    """A key in a list; `replaced_by` names the one that rotation made in its place."""

    key_id: str
    name: str
    role: Role
    user_id: str | None
    status: KeyStatus
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None
