"""Requests and replies about API keys."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from shared.http.models import ReplyModel, RequestModel, TenantPath
from shared.http.paging import PageQuery
from shared.tenancy.context import USER_ID_PATTERN, Role
from shared.tenancy.keys import KEY_ID_PATTERN
from shared.validation import Time

MAX_OVERLAP_SECONDS = 30 * 24 * 3600


class KeyStatus(StrEnum):
    """Whether a key works."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class KeyPath(TenantPath):
    """The path of one key.

    Attributes:
        key_id: The key's id, which is the third part of the key itself.
    """

    key_id: str = Field(pattern=KEY_ID_PATTERN)


class KeyQuery(PageQuery):
    """Query of a tenant's keys, which are sorted by id.

    Attributes:
        cursor: The `next_cursor` of the page before: the last key of that page.
    """

    cursor: str | None = Field(None, pattern=KEY_ID_PATTERN)


class CreateKeyRequest(RequestModel):
    """The API key to make.

    Attributes:
        name: What the key is for, for people.
        role: What the key may do; `admin`, the role of the platform, cannot be given away.
        user_id: The one user for whom the key acts: with the role `user` it sees that user's conversations
            and jobs alone, as a user's token does. Without it, a `user` key is a server's and names any user.
        expires_at: When the key ends; without it, it works until it is revoked.
    """

    name: str = Field(min_length=1, max_length=200)
    role: Role = Field(Role.USER, strict=False)
    user_id: str | None = Field(None, pattern=USER_ID_PATTERN)
    expires_at: Time | None = None


class RotateKeyRequest(RequestModel):
    """Replacement of a key.

    Attributes:
        overlap_seconds: How long the old key goes on working beside the new one, 30 days at most.
    """

    overlap_seconds: int = Field(24 * 3600, ge=0, le=MAX_OVERLAP_SECONDS)


class KeyReply(ReplyModel):
    """A new key.

    Attributes:
        key_id: Its id, by which it is listed, rotated and revoked.
        key: The key itself, to be sent as `Authorization: Bearer`. It is shown this once and stored nowhere.
        name: What it is for.
        role: What it may do.
        user_id: The one user for whom it acts; null where it may name any.
        created_at: When it was made.
        expires_at: When it ends; null where it does not end by itself.
    """

    key_id: str
    key: str
    name: str
    role: Role
    user_id: str | None
    created_at: datetime
    expires_at: datetime | None


class KeySummary(ReplyModel):
    """A key in a list, without its secret.

    Attributes:
        key_id: Its id.
        name: What it is for.
        role: What it may do.
        user_id: The one user for whom it acts; null where it may name any.
        status: Whether it works.
        created_at: When it was made.
        expires_at: When it ends or has ended; null where it does not end by itself.
        revoked_at: When it was revoked; null where it was not.
        replaced_by: The key that rotation made in its place; null where there is none.
    """

    key_id: str
    name: str
    role: Role
    user_id: str | None
    status: KeyStatus
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None
