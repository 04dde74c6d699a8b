"""Outbox of the alerts of one tenant's budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.messaging.outbox import Outbox
from shared.messaging.sender import OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.messaging.sender import MessageSender
    from shared.tenancy.context import TenantContext
    from shared.tokens.alerts import AlertItem, BudgetAlerts


class AlertRepository:
    """Alerts to be sent: those that are pending, once one is claimed for each crossing that has had none.

    Args:
        alerts: The tenant's alerts.
    """

    def __init__(self, alerts: BudgetAlerts) -> None:
        self._alerts = alerts

    async def pending(self, limit: int) -> Sequence[AlertItem]:
        """Find what was crossed, and return the alerts that are still to be sent.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        await self._alerts.claim()
        return await self._alerts.pending(limit)

    async def mark_sent(self, entry: AlertItem) -> None:
        """Note that an alert is with the broker.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        await self._alerts.mark_sent(entry)


def open_alert_outbox(
    tenant: TenantContext, alerts: BudgetAlerts, sender: MessageSender, queue: str
) -> Outbox[AlertItem]:
    """Open the outbox of one tenant's alerts.

    Args:
        tenant: The tenant.
        alerts: Its alerts.
        sender: The way to the broker.
        queue: The queue of alerts; it drops a message that has the id of one before.
    """

    def address(alert: AlertItem) -> tuple[str, OutgoingMessage]:
        return queue, OutgoingMessage(alert.message_id, alert.body.encode())

    return Outbox(tenant, AlertRepository(alerts), address, sender)
