"""Dead letters in the whole app, with a broker and a model under control."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shared.llm.structured_model import StructuredModel
from tests.support.broker import MemoryBroker
from tests.support.fakes import Call
from tests.support.whole_app import EchoModel
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from shared.messaging.sender import OutgoingMessage
    from tests.support.fakes import Answer
    from tests.support.whole_app import WholeApp

TEXT = "the printer prints every page twice"


class KilledError(BaseException):
    """The process ends."""


class DeadLetterApp:
    """The app, called as its callers and the host call it.

    Attributes:
        boss: A tenant administrator's key of `acme`.
        stranger: One of `globex`.
        user: A user's key of `acme`.
    """

    def __init__(self, app: WholeApp, keys: dict[str, dict[str, str]]) -> None:
        self.app = app
        self.boss, self.stranger, self.user = keys["boss"], keys["stranger"], keys["user"]
        self.broker = MemoryBroker()
        model = StructuredModel(EchoModel())
        app.runtime.__dict__.update(metered_model=lambda *_: model, sender=self.broker)

    async def exhaust(self, function: str = "give_up_job", **fields: object) -> None:
        """Let a dead-letter queue hand a message over."""
        body = {"tenant_id": "acme", "id": "j1", "text": TEXT} | fields
        await self.app.functions[function](FakeDelivery(json.dumps(body).encode(), session_id="acme#2"))

    async def refuse(self, **fields: object) -> None:
        """Let the queue hand a message over that can never be a job."""
        body = {"tenant_id": "acme", "id": "j1", "text": TEXT, "prompt_name": "both"} | fields
        await self.app.functions["run_job"](FakeDelivery(json.dumps(body).encode()))

    async def deliver(self, message: OutgoingMessage) -> None:
        """Let the queue hand over what was sent to it."""
        await self.app.functions["run_job"](FakeDelivery(message.body, message.message_id))

    async def listed(self, query: str = "", headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """List dead letters."""
        call = Call(query=query, headers=headers or self.boss)
        items: list[dict[str, Any]] = (await self.app.must("list_dead_letters", call)).json()["items"]
        return items

    async def replay(self, letter_id: str, headers: dict[str, str] | None = None) -> Answer:
        """Replay one."""
        call = Call({"dead_letter_id": letter_id}, headers=headers or self.boss)
        return await self.app.client.call("replay_dead_letter", call)

    async def die_in_replay(self, letter_id: str) -> None:
        """Let a replay end with its process, when it is about to send the message."""
        send, store = self.broker.send, self.app.cosmos.transport

        async def ask_nothing() -> None:
            raise KilledError

        async def die(*_: object) -> None:
            store.fault = ask_nothing
            raise KilledError

        self.broker.send = die  # type: ignore[method-assign,assignment]  # until the end of this
        assert (await self.replay(letter_id)).status == 500  # what nobody reads
        self.broker.send, store.fault = send, None  # type: ignore[method-assign]  # as it was

    async def replay_all(self, headers: dict[str, str] | None = None, **selected: object) -> Answer:
        """Replay many."""
        return await self.app.client.call(
            "replay_dead_letters", Call.of(selected, headers=headers or self.boss)
        )

    async def delete(self, letter_id: str, headers: dict[str, str] | None = None) -> Answer:
        """Delete one."""
        call = Call({"dead_letter_id": letter_id}, headers=headers or self.boss)
        return await self.app.client.call("delete_dead_letter", call)

    async def job(self, job_id: str = "j1") -> dict[str, Any]:
        """Return a job as it stands."""
        call = Call({"job_id": job_id}, headers=self.boss)
        shown: dict[str, Any] = (await self.app.must("get_job", call)).json()
        return shown

    async def audited(self, action: str, headers: dict[str, str] | None = None) -> list[tuple[str, str]]:
        """Return the subjects and outcomes of an action."""
        operation = "list_audit" if headers is None else "list_platform_audit"
        call = Call(query=f"action={action}", headers=headers or self.boss)
        items = (await self.app.must(operation, call)).json()["items"]
        return [(item["subject"], item["outcome"]) for item in items]

    async def suspend(self, tenant_id: str = "acme", status: str = "suspended") -> None:
        """Suspend a tenant, or make it active again."""
        body = {"status": status}
        await self.app.must("update_tenant", Call.of(body, headers=self.app.admin, tenant_id=tenant_id))
