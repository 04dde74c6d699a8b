"""Show the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.audit.models import ActorReply, AuditEntryReply, AuditListReply
from shared.tenancy.audit import AuditFilter

if TYPE_CHECKING:
    from functions.audit.models import AuditPage
    from shared.tenancy.audit import AuditEntry, AuditTrail
    from shared.tenancy.context import PlatformContext, TenantContext


class AuditService:
    """One tenant's trail, or the platform's own."""

    def __init__(self, who: TenantContext | PlatformContext, trail: AuditTrail) -> None:
        self._who = who
        self._trail = trail

    async def list(self, page: AuditPage) -> AuditListReply:
        """Return one page of entries, the newest first."""
        wanted = AuditFilter(page.since, page.until, page.action, page.cursor)
        found = await self._trail.page(self._who, wanted, page.limit + 1)
        shown = found[: page.limit]
        return AuditListReply(
            items=[_reply(entry) for entry in shown],
            next_cursor=shown[-1].id if len(found) > page.limit else None,
        )


def _reply(entry: AuditEntry) -> AuditEntryReply:
    return AuditEntryReply(
        id=entry.id,
        at=entry.at,
        actor=ActorReply(kind=entry.actor.kind, id=entry.actor.id),
        action=entry.action,
        subject=entry.subject,
        outcome=entry.outcome,
        request_id=entry.request_id,
        detail=entry.detail,
    )
