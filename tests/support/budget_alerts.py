"""Instances of the app that tell of budgets, a broker under control, and somebody who spends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from shared.cosmos.partition import Partition
from shared.errors import DependencyUnavailableError
from shared.tokens.counters import TENANT_COUNTER, new_counter
from tests.support.fakes import Call, tenant_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.messaging.sender import OutgoingMessage
    from shared.tenancy.context import TenantContext
    from tests.support.whole_app import WholeApp

ACME = tenant_context("acme", tier="standard")


class KilledError(BaseException):
    """The instance's end, which nothing in the app may catch."""


class Broker:
    """Keeps what was sent; down when told, killing its caller when told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, OutgoingMessage]] = []
        self.is_down = False
        self.after_sending: Callable[[], None] = lambda: None

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        await asyncio.sleep(0)
        if self.is_down:
            raise DependencyUnavailableError("Service Bus")
        assert json.loads(message.body)["tenant_id"] == tenant.tenant_id
        self.sent.append((queue, message))
        self.after_sending()

    def received(self) -> dict[str, Any]:
        """Return what a receiver gets: the queue drops what has the id of one before."""
        assert {queue for queue, _ in self.sent} <= {"budget-alerts-out"}
        bodies: dict[str, bytes] = {}
        for _, message in self.sent:
            assert bodies.setdefault(message.message_id, message.body) == message.body
        return {message_id: json.loads(body) for message_id, body in bodies.items()}


class Instance:
    """One instance of the app: its timer, fired by hand, and the ledger's books."""

    def __init__(self, app: WholeApp, broker: Broker | None = None) -> None:
        self.app, self.broker = app, broker or Broker()
        app.runtime.__dict__["sender"] = self.broker

    async def spend(self, tenant_id: str = "acme", **spent: int) -> None:
        """Put what was reported where the ledger puts it."""
        partition = Partition.of(tenant_context(tenant_id), self.app.runtime.container("ledger"))
        await partition.upsert(new_counter(TENANT_COUNTER).model_copy(update={"spent": spent}))

    async def sweep(self) -> None:
        await self.app.tick("send_budget_alerts")

    def told(self) -> set[tuple[str, str, int]]:
        return {(one["period"], one["starts"], one["percent"]) for one in self.broker.received().values()}


class Spender:
    """One application of acme's, over the app's routes."""

    def __init__(self, instance: Instance, headers: dict[str, str]) -> None:
        self._app = instance.app
        self.headers = headers

    async def lock(self, tokens: int) -> Any:  # noqa: ANN401  # JSON
        body = {"app_id": "bot", "token_count": tokens}
        return (await self._app.must("lock_tokens", Call.of(body, headers=self.headers))).json()

    async def use(self, tokens: int) -> bool:
        """Lock and report; tell whether the lock was admitted."""
        request_id = (await self.lock(tokens))["request_id"]
        if request_id is None:
            return False
        body = {"app_id": "bot", "request_id": request_id, "prompt_tokens": tokens, "completion_tokens": 0}
        await self._app.must("report_tokens", Call.of(body, headers=self.headers))
        return True
