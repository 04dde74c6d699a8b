"""Queries and replies about the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.http.models import ReplyModel
from shared.http.paging import PageQuery
from shared.tenancy.audit import ENTRY_ID_PATTERN, AuditOutcome
from shared.validation import Time, text_pattern

_ACTION_PATTERN = text_pattern(r"^[a-z]+\.[a-z]+$", "an action such as tenant.create")


class AuditQuery(PageQuery):
    """Query of the audit trail, the newest entry first.

    Attributes:
        since: Entries from this time on.
        until: Entries before this time.
        action: Only entries of this action, such as `key.create`.
        cursor: The `next_cursor` of the page before: the last entry of that page.
    """

    since: Time | None = Field(None, alias="from")
    until: Time | None = Field(None, alias="to")
    action: str | None = Field(None, pattern=_ACTION_PATTERN, max_length=50)
    cursor: str | None = Field(None, pattern=ENTRY_ID_PATTERN)


class ActorReply(ReplyModel):
    """Actor of an entry.

    Attributes:
        kind: What kind of credential it acted with.
        id: A key's id or a user token's subject; empty where the kind says it all.
    """

    kind: Literal["administrator", "key", "user", "platform"]
    id: str


class AuditEntryReply(ReplyModel):
    """One thing that was done.

    Attributes:
        id: Id of the entry; ids sort as the entries came.
        at: When it was done.
        actor: Who did it.
        action: What was done, such as `key.create`.
        subject: What it was done to: the id of a key or a tenant, a setting's key, a route's name.
        outcome: Whether it took effect: `begun` means that nobody noted the end, so that it may have.
        request_id: The request that did it; null where none did.
        detail: Further facts; names and values that callers choose are not among them.
    """

    id: str
    at: datetime
    actor: ActorReply
    action: str
    subject: str
    outcome: AuditOutcome
    request_id: str | None
    detail: dict[str, str]
