"""Sends the alerts of one tenant's budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.messaging.sender import OutgoingMessage

if TYPE_CHECKING:
    from shared.messaging.sender import MessageSender
    from shared.tenancy.context import TenantContext
    from shared.tokens.alerts import BudgetAlerts

_AT_ONCE = 100


class AlertOutbox:
    """Finds what was crossed and sends what is pending.

    A message is sent before that is noted. A crash in between sends it once more, with the same id, by which
    the queue drops it.

    Args:
        tenant: Whose budgets they are.
        alerts: What was crossed.
        sender: The way to the broker.
        queue: Where alerts go.
    """

    def __init__(
        self, tenant: TenantContext, alerts: BudgetAlerts, sender: MessageSender, queue: str
    ) -> None:
        self._tenant = tenant
        self._alerts = alerts
        self._sender = sender
        self._queue = queue

    async def sweep(self) -> int:
        """Send an alert for each crossing that has had none; tell how many.

        Raises:
            DependencyUnavailableError: The broker or the store is down; what is left stays pending.
        """
        await self._alerts.claim()
        pending = await self._alerts.pending(_AT_ONCE)
        for item in pending:
            message = OutgoingMessage(item.message_id, item.body.encode())
            await self._sender.send(self._tenant, self._queue, message)
            await self._alerts.mark_sent(item)
        return len(pending)
