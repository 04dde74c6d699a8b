"""Show the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.audit.models import ActorReply, AuditEntryReply
from shared.http.paging import ListReply, cut_page
from shared.tenancy.audit import AuditFilter

if TYPE_CHECKING:
    from functions.audit.models import AuditQuery
    from shared.tenancy.audit import AuditEntry, AuditTrail
    from shared.tenancy.context import PlatformContext, TenantContext


class AuditService:
    """One tenant's trail, or the platform's own."""

    def __init__(self, caller: TenantContext | PlatformContext, trail: AuditTrail) -> None:
        self._caller = caller
        self._trail = trail

    async def list(self, query: AuditQuery) -> ListReply[AuditEntryReply]:
        """Return one page of entries, the newest first."""
        wanted = AuditFilter(query.since, query.until, query.action, query.cursor)
        found = await self._trail.page(self._caller, wanted, query.fetch_limit)
        return ListReply[AuditEntryReply].of(
            cut_page(found, query.limit, lambda entry: entry.id), _render_entry
        )


def _render_entry(entry: AuditEntry) -> AuditEntryReply:
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
