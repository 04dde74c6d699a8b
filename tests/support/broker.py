"""A broker in memory, where the app would send to Service Bus."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.errors import DependencyUnavailableError

if TYPE_CHECKING:
    from shared.messaging.sender import OutgoingMessage
    from shared.tenancy.context import TenantContext


@dataclass
class MemoryBroker:
    """A broker in memory; down when told."""

    sent: list[tuple[str, OutgoingMessage]] = field(default_factory=list)
    is_down: bool = False

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        if self.is_down:
            raise DependencyUnavailableError("Service Bus")
        assert json.loads(message.body)["tenant_id"] == tenant.tenant_id
        self.sent.append((queue, message))

    async def check(self, queue: str) -> None:
        """It is there."""

    def on(self, queue: str) -> list[OutgoingMessage]:
        """Return what was sent to a queue."""
        return [message for name, message in self.sent if name == queue]

    def bodies(self, queue: str) -> list[Any]:
        """Return the bodies of what was sent to a queue."""
        return [json.loads(message.body) for message in self.on(queue)]
