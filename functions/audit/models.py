"""Queries and replies about the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from shared.http.models import ReplyModel
from shared.http.paging import PageQuery
from shared.tenancy.audit import ENTRY_ID_PATTERN, AuditOutcome
from shared.validation import Time

_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


class AuditQuery(PageQuery):
    """`GET /audit`: entries from `from` on and before `to`, the newest first."""

    since: Time | None = Field(None, alias="from", ge=_FIRST, le=_LAST)
    until: Time | None = Field(None, alias="to", ge=_FIRST, le=_LAST)
    action: str | None = Field(None, pattern=r"^[a-z]+\.[a-z]+$", max_length=50)
    cursor: str | None = Field(None, pattern=ENTRY_ID_PATTERN)


class ActorReply(ReplyModel):
    """Actor of an entry; `id` is a key's id or a user token's subject."""

    kind: Literal["administrator", "key", "user", "platform"]
    id: str


class AuditEntryReply(ReplyModel):
    """One thing that was done; `begun` means that nobody noted whether it took effect."""

    id: str
    at: datetime
    actor: ActorReply
    action: str
    subject: str
    outcome: AuditOutcome
    request_id: str | None
    detail: dict[str, str]
