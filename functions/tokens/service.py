"""Show what the token ledger counts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from functions.tokens.models import TokenStatusReply

if TYPE_CHECKING:
    from functions.tokens.models import StatusQuery
    from shared.tenancy.context import TenantContext
    from shared.tokens.models import TokenStatus


class ReadsBudgets(Protocol):
    """What this capability asks of the ledger."""

    async def status(self, tenant: TenantContext, app_id: str) -> TokenStatus:
        """Tell what counts now."""
        ...


class TokenService:
    """One tenant's token budgets."""

    def __init__(self, tenant: TenantContext, ledger: ReadsBudgets) -> None:
        self._tenant = tenant
        self._ledger = ledger

    async def status(self, query: StatusQuery) -> TokenStatusReply:
        """Tell what counts now against the limits that bound the application."""
        return TokenStatusReply(**asdict(await self._ledger.status(self._tenant, query.app_id)))
